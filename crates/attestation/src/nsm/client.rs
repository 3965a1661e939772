//! What callers ask of an NSM.

use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use zeroize::{Zeroize, Zeroizing};

use super::{DeviceNsm, NsmDigest, NsmError, NsmProvider, NsmRequest, NsmResponse, SocketNsm, WireError};
use crate::pcr::Pcr;

/// The NSM of this enclave, wherever it is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Nsm {
    provider: Arc<dyn NsmProvider>,
}

/// A register's state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PcrState {
    /// True if it can no longer be extended.
    pub is_locked: bool,
    /// What it holds.
    pub value: Pcr,
}

/// What a module says about itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NsmDescription {
    /// The instance's id, `-enc`, and the enclave's id.
    pub module_id: String,
    /// Major, minor and patch version.
    pub version: (u16, u16, u16),
    /// How many registers it has.
    pub max_pcrs: u16,
    /// Which of them are locked.
    pub locked_pcrs: BTreeSet<u16>,
    /// What registers are digests of.
    pub digest: NsmDigest,
}

impl Nsm {
    /// Asks through `provider`.
    #[must_use]
    pub fn new(provider: Arc<dyn NsmProvider>) -> Self {
        Self { provider }
    }

    /// Opens whatever stands at `path`: a device, or the socket of something that speaks like one.
    ///
    /// # Errors
    /// [`NsmError::Open`] and [`NsmError::NotAnNsm`].
    pub fn open(path: &Path) -> Result<Self, NsmError> {
        let metadata = path.metadata().map_err(|source| NsmError::Open { path: path.to_owned(), source })?;
        if metadata.file_type().is_char_device() {
            Ok(Self::new(Arc::new(DeviceNsm::open_at(path)?)))
        } else if metadata.file_type().is_socket() {
            Ok(Self::new(Arc::new(SocketNsm::new(path))))
        } else {
            Err(NsmError::NotAnNsm { path: path.to_owned() })
        }
    }

    /// Asks for an attestation document with these three in it, each of at most 1024 bytes.
    ///
    /// # Errors
    /// [`NsmError`]; [`NsmError::Refused`] if one of them is too long.
    pub fn attest(
        &self,
        public_key: Option<&[u8]>,
        user_data: Option<&[u8]>,
        nonce: Option<&[u8]>,
    ) -> Result<Vec<u8>, NsmError> {
        let request = NsmRequest::Attestation {
            user_data: user_data.map(<[u8]>::to_vec),
            nonce: nonce.map(<[u8]>::to_vec),
            public_key: public_key.map(<[u8]>::to_vec),
        };
        let response = self.ask(&request)?;
        let NsmResponse::Attestation { document } = response else {
            return Err(unexpected(&request, &response));
        };
        Ok(document)
    }

    /// Asks for `length` random bytes, by as many calls as it takes. They are wiped when dropped.
    ///
    /// # Errors
    /// [`NsmError`].
    pub fn random(&self, length: usize) -> Result<Zeroizing<Vec<u8>>, NsmError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        while bytes.len() < length {
            let response = self.ask(&NsmRequest::GetRandom)?;
            let NsmResponse::GetRandom { mut random } = response else {
                return Err(unexpected(&NsmRequest::GetRandom, &response));
            };
            let wanted = (length - bytes.len()).min(random.len());
            bytes.extend_from_slice(random.get(..wanted).unwrap_or_default());
            random.zeroize();
            // An answer of nothing, taken for an answer, would make this loop for ever.
            if wanted == 0 {
                return Err(NsmError::Malformed(WireError::Missing { field: "random" }));
            }
        }
        Ok(bytes)
    }

    /// Reads a register.
    ///
    /// # Errors
    /// [`NsmError`]; [`NsmError::Refused`] if there is none with this index.
    pub fn describe_pcr(&self, index: u16) -> Result<PcrState, NsmError> {
        let request = NsmRequest::DescribePcr { index };
        let response = self.ask(&request)?;
        let NsmResponse::DescribePcr { lock, data } = response else {
            return Err(unexpected(&request, &response));
        };
        Ok(PcrState { is_locked: lock, value: pcr(&data)? })
    }

    /// Measures `data` into a register and returns its new value.
    ///
    /// # Errors
    /// [`NsmError`]; [`NsmError::Refused`] if the register is locked or does not exist.
    pub fn extend_pcr(&self, index: u16, data: &[u8]) -> Result<Pcr, NsmError> {
        let request = NsmRequest::ExtendPcr { index, data: data.to_vec() };
        let response = self.ask(&request)?;
        let NsmResponse::ExtendPcr { data } = response else {
            return Err(unexpected(&request, &response));
        };
        pcr(&data)
    }

    /// Locks a register until the enclave ends: from then on it stands in every document.
    ///
    /// # Errors
    /// [`NsmError`]; [`NsmError::Refused`] if it is locked already or does not exist.
    pub fn lock_pcr(&self, index: u16) -> Result<(), NsmError> {
        let request = NsmRequest::LockPcr { index };
        let response = self.ask(&request)?;
        if response == NsmResponse::LockPcr { Ok(()) } else { Err(unexpected(&request, &response)) }
    }

    /// Locks all registers below `range`.
    ///
    /// # Errors
    /// [`NsmError`]; [`NsmError::Refused`] if there are not so many.
    pub fn lock_pcrs(&self, range: u16) -> Result<(), NsmError> {
        let request = NsmRequest::LockPcrs { range };
        let response = self.ask(&request)?;
        if response == NsmResponse::LockPcrs { Ok(()) } else { Err(unexpected(&request, &response)) }
    }

    /// Asks the module what it is.
    ///
    /// # Errors
    /// [`NsmError`].
    pub fn describe(&self) -> Result<NsmDescription, NsmError> {
        let response = self.ask(&NsmRequest::DescribeNsm)?;
        let NsmResponse::DescribeNsm {
            version_major,
            version_minor,
            version_patch,
            module_id,
            max_pcrs,
            locked_pcrs,
            digest,
        } = response
        else {
            return Err(unexpected(&NsmRequest::DescribeNsm, &response));
        };
        let version = (version_major, version_minor, version_patch);
        Ok(NsmDescription { module_id, version, max_pcrs, locked_pcrs, digest })
    }

    /// Asks; a refusal is an error.
    fn ask(&self, request: &NsmRequest) -> Result<NsmResponse, NsmError> {
        let response = self.provider.process(request)?;
        if let NsmResponse::Error(code) = response {
            return Err(NsmError::Refused { asked: request.name(), code });
        }
        Ok(response)
    }
}

fn unexpected(request: &NsmRequest, response: &NsmResponse) -> NsmError {
    NsmError::UnexpectedResponse { asked: request.name(), found: response.name() }
}

fn pcr(data: &[u8]) -> Result<Pcr, NsmError> {
    Pcr::try_from(data).map_err(|_| NsmError::Malformed(WireError::Missing { field: "data" }))
}

#[cfg(test)]
mod tests;

//! The payload of an attestation document (AWS, attestation_process.md §2.2 and §3.2.2), taken apart and
//! checked field by field. Nothing in here is verified: the signature is `crate::verify`'s business.
//!
//! Where real documents and the page differ, real documents win: an optional field that was not given
//! is `null`, and a public key may be empty. Where the page differs from itself, the wider reading holds:
//! §2.2 gives `user_data` and `nonce` 1024 bytes, §3.2.2.2 only 512, and AWS's own `nsm-check` asks for
//! 1024 and gets them. Where AWS's enclave documents have `pcrs`, those of NitroTPM have `nitrotpm_pcrs`;
//! they measure something else and are refused by name. A field that nobody knows yet is checked for form
//! and passed over: AWS signed it, and a new one must not lock enclaves out.

use crate::cbor::{CborError, Reader};
use crate::pcr::PCR_COUNT;

/// AWS's limits (attestation_process.md §2.2): of each certificate, and of `public_key`, `user_data` and
/// `nonce` each.
const CERTIFICATE_BYTES_MAX: usize = 1_024;
const OPTIONAL_BYTES_MAX: usize = 1_024;
const PCR_LENGTHS_BYTES: [usize; 3] = [32, 48, 64];
/// The only digest that AWS allows.
const DIGEST: &str = "SHA384";

/// Our own limits. Real module ids have 39 bytes and real bundles 4 certificates; each certificate costs
/// a signature check.
const MODULE_ID_BYTES_MAX: usize = 256;
const CABUNDLE_LENGTH_MAX: usize = 16;
/// Fields of a future NSM; each is compared with those before it.
const UNKNOWN_FIELDS_MAX: usize = 16;

/// The registers that say whether an enclave runs in debug mode; every document has them.
pub(crate) const DEBUG_PCRS: [u8; 3] = [0, 1, 2];

/// Why a payload is not an enclave's attestation document.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum PayloadError {
    /// The document is NitroTPM's, not an enclave's.
    #[error("the document has `nitrotpm_pcrs`")]
    NotNsm,
    /// One field is wrong.
    #[error("`{field}`: {problem}")]
    Field {
        /// Its name; `document` for the map that holds them all.
        field: &'static str,
        /// What is wrong with it.
        problem: PayloadProblem,
    },
}

/// What is wrong with one field of a payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PayloadProblem {
    /// Not the CBOR that should stand there.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// A mandatory field is not there.
    #[error("the field is missing")]
    Missing,
    /// The field is there twice.
    #[error("the field occurs twice")]
    Duplicate,
    /// Its length in bytes, or its number of entries, is not allowed.
    #[error("the length {length} is not allowed")]
    Length {
        /// The length or number.
        length: usize,
    },
    /// A digest other than SHA384.
    #[error("the digest must be SHA384")]
    Digest,
    /// A register's index above 31.
    #[error("the index {index} is above 31")]
    PcrIndex {
        /// The index.
        index: u64,
    },
    /// A register twice.
    #[error("PCR{index} occurs twice")]
    PcrDuplicate {
        /// The index.
        index: u8,
    },
    /// PCR0, 1 or 2 is not there.
    #[error("PCR{index} is missing")]
    PcrMissing {
        /// The index.
        index: u8,
    },
}

/// The values of the registers in a document, by index.
pub(crate) type PcrSlots<'a> = [Option<&'a [u8]>; PCR_COUNT as usize];

/// A payload's fields, well-formed and not verified.
#[derive(Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) module_id: &'a str,
    pub(crate) timestamp_ms: u64,
    pub(crate) pcrs: PcrSlots<'a>,
    /// The certificate of the key that signed the document.
    pub(crate) certificate: &'a [u8],
    /// The certificates above it, root first.
    pub(crate) cabundle: Vec<&'a [u8]>,
    pub(crate) public_key: Option<&'a [u8]>,
    pub(crate) user_data: Option<&'a [u8]>,
    pub(crate) nonce: Option<&'a [u8]>,
}

impl<'a> Payload<'a> {
    /// Takes a payload apart.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, PayloadError> {
        let mut fields = Fields::default();
        let mut reader = Reader::new(payload);
        let whole = in_field("document");
        let mut entries = reader.map().map_err(whole)?;
        while reader.more(&mut entries).map_err(whole)? {
            let name = reader.text().map_err(whole)?;
            fields.read(name, &mut reader)?;
        }
        reader.finish().map_err(whole)?;
        fields.complete()
    }

    /// True if the hypervisor started the enclave in debug mode: it then zeroes PCR0, 1 and 2, and its
    /// console shows everything. One of them is enough: each is a SHA-384 of what was measured, which is
    /// never zero, and a register that measures nothing must not count as production.
    pub(crate) fn is_debug(&self) -> bool {
        DEBUG_PCRS.iter().any(|index| {
            let value = self.pcrs.get(usize::from(*index)).copied().flatten();
            value.is_some_and(|value| value.iter().all(|byte| *byte == 0))
        })
    }
}

/// Fields as they come, in whatever order.
#[derive(Default)]
struct Fields<'a> {
    module_id: Option<&'a str>,
    digest: Option<&'a str>,
    timestamp_ms: Option<u64>,
    pcrs: Option<PcrSlots<'a>>,
    certificate: Option<&'a [u8]>,
    cabundle: Option<Vec<&'a [u8]>>,
    /// The inner option is the value's: `null` is given, and is none.
    public_key: Option<Option<&'a [u8]>>,
    user_data: Option<Option<&'a [u8]>>,
    nonce: Option<Option<&'a [u8]>>,
    unknown: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    fn read(&mut self, name: &'a str, reader: &mut Reader<'a>) -> Result<(), PayloadError> {
        match name {
            "module_id" => set("module_id", &mut self.module_id, module_id(reader)),
            "digest" => set("digest", &mut self.digest, digest(reader)),
            "timestamp" => set("timestamp", &mut self.timestamp_ms, reader.uint().map_err(Into::into)),
            "pcrs" => set("pcrs", &mut self.pcrs, pcrs(reader)),
            "certificate" => set("certificate", &mut self.certificate, certificate(reader)),
            "cabundle" => set("cabundle", &mut self.cabundle, cabundle(reader)),
            "public_key" => set("public_key", &mut self.public_key, optional(reader)),
            "user_data" => set("user_data", &mut self.user_data, optional(reader)),
            "nonce" => set("nonce", &mut self.nonce, optional(reader)),
            "nitrotpm_pcrs" => Err(PayloadError::NotNsm),
            unknown => self.pass_over(unknown, reader),
        }
    }

    fn pass_over(&mut self, name: &'a str, reader: &mut Reader<'a>) -> Result<(), PayloadError> {
        let problem = if self.unknown.contains(&name) {
            PayloadProblem::Duplicate
        } else if self.unknown.len() == UNKNOWN_FIELDS_MAX {
            PayloadProblem::Length { length: UNKNOWN_FIELDS_MAX + 1 }
        } else {
            self.unknown.push(name);
            return reader.skip().map_err(in_field("document"));
        };
        Err(PayloadError::Field { field: "document", problem })
    }

    fn complete(self) -> Result<Payload<'a>, PayloadError> {
        required("digest", self.digest)?;
        Ok(Payload {
            module_id: required("module_id", self.module_id)?,
            timestamp_ms: required("timestamp", self.timestamp_ms)?,
            pcrs: required("pcrs", self.pcrs)?,
            certificate: required("certificate", self.certificate)?,
            cabundle: required("cabundle", self.cabundle)?,
            public_key: self.public_key.flatten(),
            user_data: self.user_data.flatten(),
            nonce: self.nonce.flatten(),
        })
    }
}

fn in_field(field: &'static str) -> impl Fn(CborError) -> PayloadError + Copy {
    move |error| PayloadError::Field { field, problem: error.into() }
}

fn set<T>(
    field: &'static str,
    slot: &mut Option<T>,
    value: Result<T, PayloadProblem>,
) -> Result<(), PayloadError> {
    let value = value.map_err(|problem| PayloadError::Field { field, problem })?;
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(PayloadError::Field { field, problem: PayloadProblem::Duplicate }),
    }
}

fn required<T>(field: &'static str, slot: Option<T>) -> Result<T, PayloadError> {
    slot.ok_or(PayloadError::Field { field, problem: PayloadProblem::Missing })
}

fn within(length: usize, min: usize, max: usize) -> Result<(), PayloadProblem> {
    if (min..=max).contains(&length) { Ok(()) } else { Err(PayloadProblem::Length { length }) }
}

fn module_id<'a>(reader: &mut Reader<'a>) -> Result<&'a str, PayloadProblem> {
    let text = reader.text()?;
    within(text.len(), 1, MODULE_ID_BYTES_MAX)?;
    Ok(text)
}

fn digest<'a>(reader: &mut Reader<'a>) -> Result<&'a str, PayloadProblem> {
    let text = reader.text()?;
    if text == DIGEST { Ok(text) } else { Err(PayloadProblem::Digest) }
}

fn certificate<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], PayloadProblem> {
    let der = reader.bytes()?;
    within(der.len(), 1, CERTIFICATE_BYTES_MAX)?;
    Ok(der)
}

fn cabundle<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, PayloadProblem> {
    let mut items = reader.array()?;
    let mut bundle = Vec::with_capacity(4);
    while reader.more(&mut items)? {
        bundle.push(certificate(reader)?);
        within(bundle.len(), 1, CABUNDLE_LENGTH_MAX)?;
    }
    if bundle.is_empty() { Err(PayloadProblem::Length { length: 0 }) } else { Ok(bundle) }
}

fn optional<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, PayloadProblem> {
    if reader.take_null()? {
        return Ok(None);
    }
    let value = reader.bytes()?;
    within(value.len(), 0, OPTIONAL_BYTES_MAX)?;
    Ok(Some(value))
}

fn pcrs<'a>(reader: &mut Reader<'a>) -> Result<PcrSlots<'a>, PayloadProblem> {
    let mut slots: PcrSlots<'a> = [None; PCR_COUNT as usize];
    let mut entries = reader.map()?;
    while reader.more(&mut entries)? {
        let index = reader.uint()?;
        let value = reader.bytes()?;
        let slot = usize::try_from(index).ok().and_then(|index| slots.get_mut(index));
        let slot = slot.ok_or(PayloadProblem::PcrIndex { index })?;
        if !PCR_LENGTHS_BYTES.contains(&value.len()) {
            return Err(PayloadProblem::Length { length: value.len() });
        }
        if slot.replace(value).is_some() {
            // The slot exists, so the index is below 32.
            return Err(PayloadProblem::PcrDuplicate { index: u8::try_from(index).unwrap_or(u8::MAX) });
        }
    }
    match DEBUG_PCRS.into_iter().find(|index| slots.get(usize::from(*index)).copied().flatten().is_none()) {
        Some(index) => Err(PayloadProblem::PcrMissing { index }),
        None => Ok(slots),
    }
}

#[cfg(test)]
mod tests;

//! What a caller expects of a document.

use std::collections::BTreeMap;

use super::{VerifyError, time};
use crate::document::Payload;
use crate::pcr::{PCR_COUNT, Pcr};

/// What a document must say beyond being genuine. Nothing that was left out is checked, save that an
/// enclave in debug mode is refused; and nothing can be expected to be empty, because a comparison with
/// nothing is one that somebody forgot to fill in.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expectations {
    pcrs: BTreeMap<u8, Pcr>,
    public_key: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    user_data: Option<Vec<u8>>,
    max_age_secs: Option<u64>,
    allow_debug: bool,
}

/// An expectation that no document can be compared with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ExpectationError {
    /// An empty value, or no PCR at all.
    #[error("the expected {what} is empty; give a value, or leave the expectation out")]
    Empty {
        /// Which expectation.
        what: &'static str,
    },
    /// A register that does not exist.
    #[error("there is no PCR{index}; the registers are PCR0 to PCR31")]
    PcrIndex {
        /// The register.
        index: u8,
    },
    /// Two different values for one register.
    #[error("PCR{index} is expected to have two different values")]
    PcrTwice {
        /// The register.
        index: u8,
    },
}

impl Expectations {
    /// A genuine document of any enclave that is not in debug mode.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Expects PCR`index` to be `value`.
    ///
    /// # Errors
    /// [`ExpectationError`] for a register above 31, and for a second value for the same.
    pub fn pcr(mut self, index: u8, value: Pcr) -> Result<Self, ExpectationError> {
        if index >= PCR_COUNT {
            return Err(ExpectationError::PcrIndex { index });
        }
        match self.pcrs.insert(index, value) {
            Some(other) if other != value => Err(ExpectationError::PcrTwice { index }),
            _ => Ok(self),
        }
    }

    /// Expects all these registers.
    ///
    /// # Errors
    /// [`ExpectationError`] if there are none, and as [`Self::pcr`].
    pub fn pcrs(self, pcrs: impl IntoIterator<Item = (u8, Pcr)>) -> Result<Self, ExpectationError> {
        let mut pcrs = pcrs.into_iter().peekable();
        if pcrs.peek().is_none() {
            return Err(ExpectationError::Empty { what: "set of PCRs" });
        }
        pcrs.try_fold(self, |expectations, (index, value)| expectations.pcr(index, value))
    }

    /// Expects the document's `public_key` to be these bytes.
    ///
    /// # Errors
    /// [`ExpectationError::Empty`] if there are none.
    pub fn public_key(mut self, public_key: &[u8]) -> Result<Self, ExpectationError> {
        self.public_key = Some(filled("public_key", public_key)?);
        Ok(self)
    }

    /// Expects the document's `nonce` to be these bytes.
    ///
    /// # Errors
    /// [`ExpectationError::Empty`] if there are none.
    pub fn nonce(mut self, nonce: &[u8]) -> Result<Self, ExpectationError> {
        self.nonce = Some(filled("nonce", nonce)?);
        Ok(self)
    }

    /// Expects the document's `user_data` to be these bytes.
    ///
    /// # Errors
    /// [`ExpectationError::Empty`] if there are none.
    pub fn user_data(mut self, user_data: &[u8]) -> Result<Self, ExpectationError> {
        self.user_data = Some(filled("user_data", user_data)?);
        Ok(self)
    }

    /// Expects the document to be at most so old at the moment of verification.
    #[must_use]
    pub const fn max_age_secs(mut self, max_age_secs: u64) -> Self {
        self.max_age_secs = Some(max_age_secs);
        self
    }

    /// Says whether an enclave in debug mode, whose operator reads everything in it, may pass.
    #[must_use]
    pub const fn allow_debug(mut self, allow_debug: bool) -> Self {
        self.allow_debug = allow_debug;
        self
    }

    /// True if a PCR is expected: otherwise any code of anybody passes.
    #[must_use]
    pub fn pins_code(&self) -> bool {
        !self.pcrs.is_empty()
    }

    pub(super) fn check(&self, payload: &Payload<'_>, at_ms: u64) -> Result<(), VerifyError> {
        let age_ms = at_ms.saturating_sub(payload.timestamp_ms);
        if let Some(max_age_secs) = self.max_age_secs
            && age_ms > max_age_secs.saturating_mul(1_000)
        {
            return Err(VerifyError::TooOld { age_secs: time::secs(age_ms).0, max_age_secs });
        }
        if payload.is_debug() && !self.allow_debug {
            return Err(VerifyError::DebugMode);
        }
        for (index, expected) in &self.pcrs {
            let found = payload.pcrs.get(usize::from(*index)).copied().flatten();
            if found != Some(expected.as_bytes()) {
                let found = found.map(hex::encode);
                return Err(VerifyError::PcrMismatch { index: *index, expected: *expected, found });
            }
        }
        let differs = |expected: &Option<Vec<u8>>, found: Option<&[u8]>| {
            expected.as_deref().is_some_and(|expected| found != Some(expected))
        };
        if differs(&self.public_key, payload.public_key) {
            return Err(VerifyError::PublicKeyMismatch);
        }
        if differs(&self.nonce, payload.nonce) {
            return Err(VerifyError::NonceMismatch);
        }
        if differs(&self.user_data, payload.user_data) {
            return Err(VerifyError::UserDataMismatch);
        }
        Ok(())
    }
}

fn filled(what: &'static str, value: &[u8]) -> Result<Vec<u8>, ExpectationError> {
    if value.is_empty() { Err(ExpectationError::Empty { what }) } else { Ok(value.to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_expectation_is_an_error() {
        let empty = |what| Err(ExpectationError::Empty { what });
        assert_eq!(Expectations::none().public_key(&[]), empty("public_key"));
        assert_eq!(Expectations::none().nonce(&[]), empty("nonce"));
        assert_eq!(Expectations::none().user_data(&[]), empty("user_data"));
        assert_eq!(Expectations::none().pcrs([]), empty("set of PCRs"));
    }

    #[test]
    fn a_register_is_expected_once() {
        let other = Pcr::from_bytes([1; 48]);
        let once = Expectations::none().pcr(31, Pcr::ZERO).unwrap();
        assert!(once.pins_code() && !Expectations::none().pins_code());
        assert_eq!(once.clone().pcr(31, Pcr::ZERO), Ok(once.clone()));
        assert_eq!(once.clone().pcr(31, other), Err(ExpectationError::PcrTwice { index: 31 }));
        assert_eq!(once.pcrs([(0, other), (32, other)]), Err(ExpectationError::PcrIndex { index: 32 }));
    }
}

//! Why a document was refused.

use units::UnixSecs;

use crate::chain::ChainError;
use crate::cose::CoseError;
use crate::document::{PayloadError, PayloadProblem};
use crate::pcr::Pcr;

/// The first reason to refuse a document. The codes are those of `encli attestation verify`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VerifyError {
    /// Not a COSE_Sign1 as an NSM makes it.
    #[error("this is not a signed attestation document; give the whole document as the NSM returned it")]
    CoseMalformed(#[source] CoseError),
    /// The signed content is not an attestation document.
    #[error("the document's field `{field}` is malformed; ask the enclave for a new document")]
    PayloadMalformed {
        /// The field; `document` for the map that holds them all.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        problem: PayloadProblem,
    },
    /// A document of NitroTPM.
    #[error(
        "this is a NitroTPM document (`nitrotpm_pcrs`): it measures an instance, not an enclave; give a \
         document of an enclave's NSM"
    )]
    NotNsm,
    /// The certificates do not lead to the trusted root.
    #[error(
        "the document's certificates do not lead to the trusted root; check that the trust root is the \
         one of the machine that made the document"
    )]
    ChainUntrusted(#[source] ChainError),
    /// The signature does not fit the content.
    #[error("the document's signature does not verify; it was altered, ask for a new document")]
    SignatureInvalid,
    /// A certificate of the chain ended before the moment of verification.
    #[error(
        "certificate {index} of the document's chain (0 is the root) expired at {not_after}, before the \
         time of verification {at} (Unix seconds); ask for a new document, or verify at the time it was made"
    )]
    CertificateExpired {
        /// Its place in the chain.
        index: usize,
        /// Its last second.
        not_after: UnixSecs,
        /// The moment of verification.
        at: UnixSecs,
    },
    /// A certificate of the chain begins after the moment of verification.
    #[error(
        "certificate {index} of the document's chain (0 is the root) is not valid before {not_before}, and \
         the time of verification is {at} (Unix seconds); check the clock"
    )]
    CertificateNotYetValid {
        /// Its place in the chain.
        index: usize,
        /// Its first second.
        not_before: UnixSecs,
        /// The moment of verification.
        at: UnixSecs,
    },
    /// A timestamp of zero, or one that lies in the future.
    #[error(
        "the document's `timestamp` {timestamp_ms} does not fit the time of verification {at_ms} (Unix \
         milliseconds); check the clock, or ask for a new document"
    )]
    TimestampInvalid {
        /// The document's timestamp, in milliseconds.
        timestamp_ms: u64,
        /// The moment of verification, in milliseconds.
        at_ms: u64,
    },
    /// The document is older than the caller allows.
    #[error("the document is {age_secs} s old, and at most {max_age_secs} s are allowed; ask for a new one")]
    TooOld {
        /// Its age, in whole seconds.
        age_secs: u64,
        /// The most allowed.
        max_age_secs: u64,
    },
    /// The enclave runs in debug mode.
    #[error(
        "the enclave runs in debug mode (PCR0, PCR1 or PCR2 is zero): its operator reads everything in it; \
         allow debug mode only for development"
    )]
    DebugMode,
    /// A register does not have the expected value.
    #[error(
        "PCR{index} is {}, not {expected} as expected; check which build was pinned",
        found.as_deref().unwrap_or("not in the document")
    )]
    PcrMismatch {
        /// The register.
        index: u8,
        /// The expected value.
        expected: Pcr,
        /// The document's, in hex, if it has the register.
        found: Option<String>,
    },
    /// Another `public_key` than expected.
    #[error("the document's `public_key` is not the expected one; it was made for another key")]
    PublicKeyMismatch,
    /// Another `nonce` than expected.
    #[error("the document's `nonce` is not the expected one; ask for a document with this nonce")]
    NonceMismatch,
    /// Another `user_data` than expected.
    #[error("the document's `user_data` is not the expected one; it says something else than expected")]
    UserDataMismatch,
}

impl VerifyError {
    /// The stable code, for machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CoseMalformed(_) => "cose_malformed",
            Self::PayloadMalformed { .. } => "payload_malformed",
            Self::NotNsm => "not_nsm",
            Self::ChainUntrusted(_) => "chain_untrusted",
            Self::SignatureInvalid => "signature_invalid",
            Self::CertificateExpired { .. } => "certificate_expired",
            Self::CertificateNotYetValid { .. } => "certificate_not_yet_valid",
            Self::TimestampInvalid { .. } => "timestamp_invalid",
            Self::TooOld { .. } => "too_old",
            Self::DebugMode => "debug_mode",
            Self::PcrMismatch { .. } => "pcr_mismatch",
            Self::PublicKeyMismatch => "public_key_mismatch",
            Self::NonceMismatch => "nonce_mismatch",
            Self::UserDataMismatch => "user_data_mismatch",
        }
    }
}

impl From<CoseError> for VerifyError {
    fn from(error: CoseError) -> Self {
        Self::CoseMalformed(error)
    }
}

impl From<ChainError> for VerifyError {
    fn from(error: ChainError) -> Self {
        Self::ChainUntrusted(error)
    }
}

impl From<PayloadError> for VerifyError {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::NotNsm => Self::NotNsm,
            PayloadError::Field { field, problem } => Self::PayloadMalformed { field, problem },
        }
    }
}

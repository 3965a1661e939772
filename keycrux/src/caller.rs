//! Who asks: an enclave that proves itself for this very request.

use attestation::{Expectations, TrustRoot, VerifiedDocument, VerifyAt, VerifyError, verify};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::key::PublicKey;
use protocol::rpc::{Code, Failure};

/// Oldest document that is taken. The request's signature, by the key in the document, says that it is
/// meant now; this bounds for how long a build is believed that may have been replaced since.
pub const DOCUMENT_AGE_SECS_MAX: u64 = 300;
/// Longest document in base64: the NSM's own limit is 12 KiB.
const DOCUMENT_BASE64_MAX: usize = 17 * 1_024;

/// Verifies the document that came with a request of `caller`: made by an enclave under `root`, not in
/// debug mode, not long ago, and for the key that signed the request. A document that was copied is for
/// another key.
///
/// # Errors
/// [`Failure`] with the code of the first reason to refuse.
pub fn verify_caller(
    root: &TrustRoot,
    caller: &PublicKey,
    attestation: &str,
    now_ms: u64,
) -> Result<VerifiedDocument, Failure> {
    if attestation.len() > DOCUMENT_BASE64_MAX {
        return Err(Failure::new(Code::AttestationInvalid, "the attestation is longer than any NSM makes"));
    }
    let raw = STANDARD
        .decode(attestation)
        .map_err(|_| Failure::new(Code::AttestationInvalid, "params.attestation is not base64"))?;
    let expectations = Expectations::none()
        .max_age_secs(DOCUMENT_AGE_SECS_MAX)
        .public_key(&caller.to_bytes())
        .map_err(|e| Failure::new(Code::AttestationInvalid, e.to_string()))?;
    verify(&raw, &expectations, root, VerifyAt::Millis(now_ms))
        .map_err(|e| Failure::new(code(&e), format!("the attestation is refused: {e}")))
}

const fn code(error: &VerifyError) -> Code {
    match error {
        VerifyError::CoseMalformed(_)
        | VerifyError::PayloadMalformed { .. }
        | VerifyError::NotNsm
        | VerifyError::SignatureInvalid
        | VerifyError::NonceMismatch
        | VerifyError::ChainUntrusted(_)
        | VerifyError::UserDataMismatch => Code::AttestationInvalid,
        VerifyError::CertificateExpired { .. }
        | VerifyError::CertificateNotYetValid { .. }
        | VerifyError::TimestampInvalid { .. }
        | VerifyError::TooOld { .. } => Code::TooOld,
        VerifyError::DebugMode => Code::DebugMode,
        VerifyError::PcrMismatch { .. } => Code::PcrMismatch,
        VerifyError::PublicKeyMismatch => Code::KeyMismatch,
    }
}

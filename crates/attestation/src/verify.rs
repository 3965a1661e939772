//! The one way from bytes to a [`VerifiedDocument`].
//!
//! In order: the form of COSE and payload, the chain to the pinned root, the signature, the time of
//! certificates and document, and what the caller expects. So whatever is refused with a code that stands
//! below `signature_invalid` in [`VerifyError`] was made by an NSM under the given root.

mod error;
mod expectations;
mod time;
mod verified;

pub use error::VerifyError;
pub use expectations::{ExpectationError, Expectations};
pub use time::VerifyAt;
pub use verified::VerifiedDocument;

use crate::chain::{Chain, OutsideValidity};
use crate::cose::CoseSign1;
use crate::document::Payload;
use crate::root::TrustRoot;

/// How far a document's timestamp may lie after the moment of verification: two honest clocks differ.
const CLOCK_LEEWAY_MS: u64 = 2_000;

/// Verifies an attestation document: made by an NSM under `root`, valid `at` that time, and as
/// `expectations` say. All of that, or an error.
///
/// `document` is the COSE_Sign1, with or without CBOR tag 18; [`crate::decode_input`] turns base64 and
/// hex into it.
///
/// # Errors
/// [`VerifyError`] with the first reason to refuse.
pub fn verify(
    document: &[u8],
    expectations: &Expectations,
    root: &TrustRoot,
    at: VerifyAt,
) -> Result<VerifiedDocument, VerifyError> {
    let cose = CoseSign1::parse(document)?;
    let payload = Payload::parse(cose.payload())?;
    let chain = Chain::follow(&payload.cabundle, payload.certificate, root.der())?;
    if !cose.is_signed_by(chain.leaf().key) {
        return Err(VerifyError::SignatureInvalid);
    }
    let timestamp_ms = payload.timestamp_ms;
    let at_ms = at.resolve(timestamp_ms);
    // Asked first: a document without a time of its own cannot be verified at it.
    if timestamp_ms == 0 {
        return Err(VerifyError::TimestampInvalid { timestamp_ms, at_ms });
    }
    check_certificate_times(&chain, at_ms)?;
    if timestamp_ms > at_ms.saturating_add(CLOCK_LEEWAY_MS) {
        return Err(VerifyError::TimestampInvalid { timestamp_ms, at_ms });
    }
    expectations.check(&payload, at_ms)?;
    Ok(VerifiedDocument::new(&payload, chain.leaf(), root))
}

/// Checks every certificate of the chain at whole seconds, both ends of its validity included.
fn check_certificate_times(chain: &Chain<'_>, at_ms: u64) -> Result<(), VerifyError> {
    let at = time::secs(at_ms);
    chain.check_validity(time::signed(at)).map_err(|outside| match outside {
        OutsideValidity::NotYet { index, not_before_secs } => {
            VerifyError::CertificateNotYetValid { index, not_before: time::unix(not_before_secs), at }
        }
        OutsideValidity::Expired { index, not_after_secs } => {
            VerifyError::CertificateExpired { index, not_after: time::unix(not_after_secs), at }
        }
    })
}

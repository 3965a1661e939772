//! What several tests need.

use std::sync::LazyLock;

use attestation::{Expectations, VerifiedDocument, VerifyAt, VerifyError, verify};
use attestation_sim::{Forge, IssuedChain, SimRoot, sign};
use units::UnixSecs;

/// When the documents of these tests are made.
pub(crate) const NOW: UnixSecs = UnixSecs(1_750_000_000);

/// One root for all tests that do not ask about roots.
pub(crate) static ROOT: LazyLock<SimRoot> = LazyLock::new(|| SimRoot::generate().unwrap());

/// The verdict at the document's own time, without expectations.
pub(crate) fn verdict(document: &[u8]) -> Result<VerifiedDocument, VerifyError> {
    verify_with(document, &Expectations::none(), VerifyAt::DocumentTime)
}

pub(crate) fn verify_with(
    document: &[u8],
    expectations: &Expectations,
    at: VerifyAt,
) -> Result<VerifiedDocument, VerifyError> {
    verify(document, expectations, ROOT.trust_root(), at)
}

/// A good document, changed.
pub(crate) fn forged(change: impl FnOnce(&mut Forge)) -> Vec<u8> {
    let mut forge = Forge::at(NOW);
    change(&mut forge);
    forge.document(&ROOT).unwrap()
}

/// A document with certificates of the caller's making, signed by the leaf of `chain`.
pub(crate) fn with_certificates(chain: &IssuedChain, certificate: &[u8], cabundle: &[Vec<u8>]) -> Vec<u8> {
    sign(&Forge::at(NOW).payload.encode(certificate, cabundle), chain.leaf_key()).unwrap()
}

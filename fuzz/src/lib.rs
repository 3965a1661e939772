//! What several targets share: the world in which their inputs are read.
//!
//! The root, the document and the first inputs of every target were made by `examples/corpus.rs` with a
//! simulated NSM whose keys nobody kept, and are the same in every run: what a run finds can be repeated.

use std::sync::LazyLock;

use attestation::cbor::Writer;
use attestation::{Expectations, TrustRoot, VerifiedDocument, VerifyAt, VerifyError, verify};
use nostr::key::{Keys, SecretKey};
use units::UnixSecs;

mod draft;

pub use draft::Draft;

/// The root above [`DOCUMENT`].
pub const ROOT: &[u8] = include_bytes!("../seeds/root.der");
/// A document that verifies.
pub const DOCUMENT: &[u8] = include_bytes!("../seeds/document.cbor");
/// When it was made.
pub const NOW: UnixSecs = UnixSecs(1_750_000_000);
/// What ES384's protected header says.
const ES384: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

static TRUST: LazyLock<TrustRoot> = LazyLock::new(|| TrustRoot::from_der(ROOT).expect("the root is one"));

/// The root above [`DOCUMENT`], trusted.
pub fn trust() -> &'static TrustRoot {
    &TRUST
}

/// The verdict on a document, debug mode and all: nothing but forgery is refused.
pub fn verdict(document: &[u8]) -> Result<VerifiedDocument, VerifyError> {
    verify(document, &Expectations::none().allow_debug(true), trust(), VerifyAt::DocumentTime)
}

/// True if the only payload that was ever signed stands in the document, unchanged.
pub fn holds_payload(document: &[u8]) -> bool {
    // Before it stand the headers and its length, behind it the signature and its length.
    let payload = &DOCUMENT[10..DOCUMENT.len() - 98];
    document.windows(payload.len()).any(|window| window == payload)
}

/// A COSE_Sign1 of the right form around any payload, with a signature of nobody's.
pub fn enveloped(payload: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(payload.len() + 128);
    writer.array(4).bytes(&ES384).map(0).bytes(payload).bytes(&[1; 96]);
    writer.into_bytes()
}

/// One of a few keys that always are the same: 0 is the service that [`DOCUMENT`] names.
pub fn keys(number: u8) -> Keys {
    Keys::new(SecretKey::from_slice(&[number.wrapping_add(1).max(1); 32]).expect("a small number is a key"))
}

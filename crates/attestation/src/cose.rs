//! COSE_Sign1 (RFC 9052 §4.2) with ES384 (RFC 9053 §2.1), as the NSM signs with it.
//!
//! The form is AWS's and no wider: tag 18 or none, a protected header that says {1: −35} and nothing
//! else, an empty unprotected header, a payload, and a signature of r ‖ s. Both halves of the curve are
//! taken for `s`: the NSM signs with either, so a document's bytes are not a name for it.

use aws_lc_rs::digest::{Context, Digest, SHA384};

use crate::cbor::{CborError, Reader, Writer};
use crate::p384::PublicKey;

/// CBOR tag of a COSE_Sign1.
const TAG_SIGN1: u64 = 18;
/// Header label "alg" (RFC 9052, table 2).
const LABEL_ALG: i64 = 1;
/// "ECDSA w/ SHA-384" (RFC 9053, table 1).
const ALG_ES384: i64 = -35;
/// r and s, 48 bytes each.
const SIGNATURE_BYTES: usize = 96;
/// AWS's limit for the payload (attestation_process.md §3.1).
const PAYLOAD_BYTES_MAX: usize = 16_384;
/// Around the payload stand some 110 bytes; the rest is slack for longer spellings of the same.
pub(crate) const DOCUMENT_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 256;

/// Why bytes are not a signed document.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CoseError {
    /// The text that should hold a document is neither base64 nor hex.
    #[error("the input is neither a COSE_Sign1 nor the base64 or hex of one")]
    NotADocument,
    /// The document is larger than any real one can be.
    #[error("the document has {length} bytes, more than {DOCUMENT_BYTES_MAX}")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
    },
    /// The CBOR of the outer structure is broken.
    #[error("the outer structure is not the CBOR of a COSE_Sign1")]
    Cbor(#[source] CborError),
    /// A CBOR tag other than 18 around it.
    #[error("the document carries CBOR tag {0}, not 18 (COSE_Sign1)")]
    Tag(u64),
    /// Not an array of four.
    #[error("a COSE_Sign1 is an array of four: protected, unprotected, payload, signature")]
    NotFourItems,
    /// The protected header is not {1: −35}.
    #[error("the protected header must say ES384 ({{1: -35}}) and nothing else")]
    ProtectedHeader,
    /// Something stands in the unprotected header.
    #[error("the unprotected header must be an empty map")]
    UnprotectedHeader,
    /// The payload is empty or above AWS's limit.
    #[error("the payload has {length} bytes, outside 1 to {PAYLOAD_BYTES_MAX}")]
    PayloadSize {
        /// Its length in bytes.
        length: usize,
    },
    /// The signature is not r ‖ s.
    #[error("the signature has {length} bytes; ES384 has {SIGNATURE_BYTES} (r and s, not DER)")]
    SignatureSize {
        /// Its length in bytes.
        length: usize,
    },
}

impl From<CborError> for CoseError {
    fn from(error: CborError) -> Self {
        Self::Cbor(error)
    }
}

/// The parts of a COSE_Sign1, not verified yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoseSign1<'a> {
    protected: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> CoseSign1<'a> {
    /// Takes a document apart.
    pub(crate) fn parse(document: &'a [u8]) -> Result<Self, CoseError> {
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(CoseError::TooLarge { length: document.len() });
        }
        let mut reader = Reader::new(document);
        match reader.take_tag()? {
            None | Some(TAG_SIGN1) => {}
            Some(other) => return Err(CoseError::Tag(other)),
        }
        let mut items = reader.array()?;
        let mut next = |reader: &mut Reader<'a>| match reader.more(&mut items) {
            Ok(true) => Ok(()),
            Ok(false) => Err(CoseError::NotFourItems),
            Err(error) => Err(error.into()),
        };
        next(&mut reader)?;
        let protected = reader.bytes()?;
        next(&mut reader)?;
        let mut unprotected = reader.map()?;
        if reader.more(&mut unprotected)? {
            return Err(CoseError::UnprotectedHeader);
        }
        next(&mut reader)?;
        let payload = reader.bytes()?;
        next(&mut reader)?;
        let signature = reader.bytes()?;
        match next(&mut reader) {
            Err(CoseError::NotFourItems) => {}
            Ok(()) => return Err(CoseError::NotFourItems),
            Err(error) => return Err(error),
        }
        reader.finish()?;

        if !says_es384(protected) {
            return Err(CoseError::ProtectedHeader);
        }
        if payload.is_empty() || payload.len() > PAYLOAD_BYTES_MAX {
            return Err(CoseError::PayloadSize { length: payload.len() });
        }
        if signature.len() != SIGNATURE_BYTES {
            return Err(CoseError::SignatureSize { length: signature.len() });
        }
        Ok(Self { protected, payload, signature })
    }

    /// The bytes that were signed, whoever signed them.
    pub(crate) const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// True if `key` made the signature.
    pub(crate) fn is_signed_by(&self, key: PublicKey<'_>) -> bool {
        key.verifies_fixed(&signed_digest(self.protected, self.payload), self.signature)
    }
}

/// True for the map {1: −35}, in any well-formed spelling.
fn says_es384(protected: &[u8]) -> bool {
    let read = || -> Result<bool, CborError> {
        let mut reader = Reader::new(protected);
        let mut entries = reader.map()?;
        let is_es384 = reader.more(&mut entries)? && reader.int()? == LABEL_ALG && reader.int()? == ALG_ES384;
        let is_all = is_es384 && !reader.more(&mut entries)?;
        reader.finish()?;
        Ok(is_all)
    };
    read().unwrap_or(false)
}

/// SHA-384 of the Sig_structure (RFC 9052 §4.4): ["Signature1", protected, external_aad = h'', payload].
/// The payload is hashed where it lies.
fn signed_digest(protected: &[u8], payload: &[u8]) -> Digest {
    let mut head = Writer::with_capacity(32);
    head.array(4).text("Signature1").bytes(protected).bytes(&[]).bytes_head(payload.len());
    let mut context = Context::new(&SHA384);
    context.update(&head.into_bytes());
    context.update(payload);
    context.finish()
}

#[cfg(test)]
mod tests;

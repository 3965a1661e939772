//! Nitro attestation.
//!
//! Two things, and nothing of either elsewhere in the house:
//! - [`verify`]: from the bytes of an attestation document to a [`VerifiedDocument`], or to the reason
//!   why not. One function, one result. A [`VerifiedDocument`] comes from nowhere else.
//! - [`nsm`]: the Nitro Security Module that makes documents, behind one trait: the device of a real
//!   enclave, or a Unix socket that speaks the same bytes.
//!
//! Sources: AWS, aws-nitro-enclaves-nsm-api, `docs/attestation_process.md`; RFC 8949 (CBOR), RFC 9052
//! (COSE), RFC 5280 (X.509).
//!
//! ```
//! use attestation::{Expectations, TrustRoot, VerifyAt, verify};
//!
//! let refused = verify(b"not a document", &Expectations::none(), &TrustRoot::aws(), VerifyAt::DocumentTime);
//! assert_eq!(refused.map_err(|error| error.code()), Err("cose_malformed"));
//! ```

pub mod cbor;
pub mod nsm;

mod chain;
mod cose;
mod document;
mod input;
mod p384;
mod pcr;
mod root;
mod verify;

pub use chain::{ChainError, ChainProblem};
pub use cose::CoseError;
pub use document::PayloadProblem;
pub use input::decode_input;
pub use pcr::{PCR_COUNT, Pcr, PcrFormatError, pcr_digest};
pub use root::{TrustRoot, TrustRootError};
pub use verify::{ExpectationError, Expectations, VerifiedDocument, VerifyAt, VerifyError, verify};

//! A simulated Nitro Security Module with its own root, for development and tests.
//!
//! What it signs is what a real NSM signs: the same CBOR, COSE and chain of five certificates, checked by
//! the same verifier. What differs is the root: [`SimRoot`] is made by whoever runs it, and a verifier
//! that trusts AWS's root refuses everything from here. No shipped program depends on this crate.
//!
//! - [`SimNsm`] is the module itself: registers, locks, documents. It is a
//!   [`NsmProvider`](attestation::nsm::NsmProvider), so tests may use it in their own process.
//! - [`Server`] puts it behind a Unix socket, as the program `attestation-sim` does for other processes.
//! - [`Forge`] makes single documents, at any time and with any fault.

mod certificate;
mod chain;
mod device;
mod document;
mod error;
mod forge;
mod key;
mod registers;
mod root;
mod server;

pub use certificate::{BasicConstraints, CertificateSpec, KeyUse};
pub use chain::{ChainSpec, IssuedChain};
pub use device::{InstanceId, InstanceIdError, SimConfig, SimNsm};
pub use document::{PayloadSpec, sign};
pub use error::{IssueError, RootError, ServeError};
pub use forge::Forge;
pub use key::SimKey;
pub use registers::image_pcrs;
pub use root::SimRoot;
pub use server::{Server, ServerHandle};

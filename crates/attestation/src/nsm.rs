//! The Nitro Security Module: the device that measures an enclave, signs its attestation documents and
//! gives it random bytes.
//!
//! Requests and responses are the CBOR of AWS's driver (aws-nitro-enclaves-nsm-api, `src/api`): an
//! operation without fields is its name as text, one with fields a map of one entry. [`NsmProvider`]
//! carries them: [`DeviceNsm`] to `/dev/nsm`, [`SocketNsm`] over a Unix socket to whatever speaks the same
//! bytes. [`Nsm`] is what callers use.
//!
//! Calls block, for milliseconds on the device; asynchronous callers make them on a blocking thread.

mod client;
mod device;
mod error;
pub mod frame;
mod message;
mod socket;
mod wire;

pub use client::{Nsm, NsmDescription, PcrState};
pub use device::DeviceNsm;
pub use error::{NsmError, WireError};
pub use message::{NsmDigest, NsmErrorCode, NsmRequest, NsmResponse};
pub use socket::SocketNsm;

/// The largest request that the device takes, in bytes (`NSM_REQUEST_MAX_SIZE`).
pub const REQUEST_BYTES_MAX: usize = 0x1000;

/// The largest response that the device gives, in bytes (`NSM_RESPONSE_MAX_SIZE`).
pub const RESPONSE_BYTES_MAX: usize = 0x3000;

/// Something that answers NSM requests.
pub trait NsmProvider: Send + Sync + std::fmt::Debug {
    /// Carries one request out and waits for the response. A refusal by the NSM itself is a response,
    /// [`NsmResponse::Error`].
    ///
    /// # Errors
    /// [`NsmError`] if there is no response.
    fn process(&self, request: &NsmRequest) -> Result<NsmResponse, NsmError>;
}

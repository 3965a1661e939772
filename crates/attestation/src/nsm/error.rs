//! What can go wrong between a caller and an NSM.

use std::io;
use std::path::PathBuf;

use super::NsmErrorCode;
use crate::cbor::CborError;

/// Why an NSM call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum NsmError {
    /// The device or socket is not there, or may not be opened.
    #[error("cannot open the NSM at {}; check that it exists and may be read and written", path.display())]
    Open {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Neither a device nor a socket stands at the path.
    #[error("{} is neither a device nor a Unix socket", path.display())]
    NotAnNsm {
        /// The path.
        path: PathBuf,
    },
    /// The device or the connection failed.
    #[error("the NSM call failed")]
    Io(#[source] io::Error),
    /// No answer in time.
    #[error("the NSM did not answer within {timeout_secs} s")]
    Timeout {
        /// The time it had.
        timeout_secs: u64,
    },
    /// The request does not fit.
    #[error("the request has {length} bytes, more than an NSM takes ({})", super::REQUEST_BYTES_MAX)]
    RequestTooLarge {
        /// Its length in bytes.
        length: usize,
    },
    /// The answer cannot be read.
    #[error("the NSM's answer is malformed")]
    Malformed(#[source] WireError),
    /// The NSM answered another question.
    #[error("the NSM answered {found} to {asked}")]
    UnexpectedResponse {
        /// The request's name.
        asked: &'static str,
        /// The response's name.
        found: &'static str,
    },
    /// The NSM refused.
    #[error("the NSM refused {asked}: {code}")]
    Refused {
        /// The request's name.
        asked: &'static str,
        /// Its reason.
        code: NsmErrorCode,
    },
}

/// Why bytes are not an NSM message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WireError {
    /// Not the CBOR that should stand there.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// Not an array or map of one.
    #[error("a message is a name, or a map with one entry")]
    NotOneEntry,
    /// An operation, code or digest that is not known here.
    #[error("`{name}` is not known here")]
    Unknown {
        /// The name.
        name: String,
    },
    /// A field that must be there.
    #[error("the field `{field}` is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field twice.
    #[error("the field `{field}` occurs twice")]
    Duplicate {
        /// The field.
        field: &'static str,
    },
}

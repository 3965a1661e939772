//! Why the parent did not do what was asked.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why the parent refused.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The request is not one of this channel, or out of order.
    BadRequest,
    /// An object or a list above its bound.
    TooLarge,
    /// The bytes are not what their id says: they were damaged on the way.
    DigestMismatch,
    /// It would leave less free space than the operator wants.
    NoSpace,
    /// Too many instances, or too many generations that were never confirmed.
    TooMany,
    /// A generation names an object that is not there.
    ObjectMissing,
    /// No such object.
    NoSuchObject,
    /// No such generation.
    NoSuchGeneration,
    /// The store itself failed; the parent's log says how.
    StoreFailed,
}

impl RefusalCode {
    /// The code as it is sent and logged.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::DigestMismatch => "digest_mismatch",
            Self::NoSpace => "no_space",
            Self::TooMany => "too_many",
            Self::ObjectMissing => "object_missing",
            Self::NoSuchObject => "no_such_object",
            Self::NoSuchGeneration => "no_such_generation",
            Self::StoreFailed => "store_failed",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the parent's store did not do what was asked, as the enclave sees it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The parent cannot be reached.
    #[error("the parent's backup store cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The stream broke.
    #[error("the stream to the parent's backup store broke")]
    Gone(#[source] io::Error),
    /// Nothing, or too little, came in time.
    #[error("the parent's backup store stalled: no {awaited} within {secs} s")]
    Stalled {
        /// What was waited for.
        awaited: &'static str,
        /// How long.
        secs: u64,
    },
    /// An answer that is not one of this channel, or not to what was asked.
    #[error("the parent's backup store answered {awaited} with what is not understood")]
    Malformed {
        /// What was asked.
        awaited: &'static str,
    },
    /// More bytes announced than wanted; none of them were taken.
    #[error("the parent's backup store offers {bytes} bytes where at most {max} can be right")]
    TooLong {
        /// What it offers.
        bytes: u64,
        /// What can be right.
        max: u64,
    },
    /// The parent said no.
    #[error("the parent's backup store refused ({code}): {message}")]
    Refused {
        /// Why.
        code: RefusalCode,
        /// Its own words.
        message: String,
    },
}

impl StoreError {
    /// A stable code for logs and answers.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "backup_unreachable",
            Self::Gone(_) => "backup_stream_broke",
            Self::Stalled { .. } => "backup_stalled",
            Self::Malformed { .. } => "backup_malformed_reply",
            Self::TooLong { .. } => "backup_too_long",
            Self::Refused { code, .. } => code.as_str(),
        }
    }
}

//! The backup channel: how sealed objects reach the parent's store, and come back.
//!
//! A stream of its own, so that a backup never delays a call. The enclave speaks first: a frame
//! (4-byte big-endian length, JSON) with a [`Request`], followed without any further framing by as
//! many raw bytes as the request announces. The parent answers every request in order with a frame
//! that holds a [`Reply`], again followed by what it announces. Requests may be sent ahead of their
//! answers; each end bounds how many it takes. The parent sees ids and sizes, never contents: an
//! object's id is the SHA-256 of its sealed bytes, which differ each time the same content is sealed.

mod error;
mod ids;
mod store;

use serde::{Deserialize, Serialize};

pub use self::error::{RefusalCode, StoreError};
pub use self::ids::{Head, InstanceId, ObjectId, ParseIdError};
pub use self::store::BackupStore;

/// The version spoken here; the first request names it.
pub const VERSION: u32 = 1;
/// Longest frame of this channel, in bytes: `list` is the largest answer, at 150 bytes a generation.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Largest object, in bytes: the sealed manifest of a backup with [`OBJECTS_MAX`] chunks.
pub const OBJECT_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// Objects of one generation: 64 GiB in chunks of 1 MiB, and the manifest.
pub const OBJECTS_MAX: u32 = 65_537;
/// Generations that `list` tells.
pub const LIST_MAX: usize = 256;
/// Puts that may be unanswered at once. The parent holds each in memory until it is on disk.
pub const PUTS_AHEAD_MAX: usize = 8;
/// Gets that may be unanswered at once. Their requests are tiny, so that the enclave never has much
/// to write while the parent writes an object: both directions are never full at once.
pub const GETS_AHEAD_MAX: usize = 4;

/// From the enclave.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// First on every stream.
    Open {
        /// [`VERSION`].
        version: u32,
        /// Whose objects the rest is about.
        instance: InstanceId,
    },
    /// Which of these objects are not there? Their ids follow, 32 bytes each.
    Lacking {
        /// How many ids follow.
        objects: u32,
    },
    /// Keep this object, whose sealed bytes follow.
    Put {
        /// SHA-256 of what follows.
        object: ObjectId,
        /// How many bytes follow.
        bytes: u32,
    },
    /// Make a generation of these objects, whose ids follow, the manifest's among them.
    Commit {
        /// What the generation will be known by.
        head: Head,
        /// How many ids follow.
        objects: u32,
    },
    /// The key stores name this generation as the newest: older ones may go now.
    Confirm {
        /// The generation.
        head: Head,
    },
    /// Send this object.
    Get {
        /// Which.
        object: ObjectId,
    },
    /// Which generations are there?
    List {},
}

/// From the parent, one for each request, in their order.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "re", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// To `open`.
    Opened {},
    /// To `lacking`: the ids that are not there follow.
    Lacking {
        /// How many ids follow.
        objects: u32,
    },
    /// To `put`: the object is on disk under its name.
    Stored {},
    /// To `commit`: the generation and everything it needs are on disk.
    Committed {},
    /// To `confirm`.
    Confirmed {
        /// Generations that were removed.
        removed: u32,
    },
    /// To `get`: the object's bytes follow.
    Object {
        /// How many bytes follow.
        bytes: u32,
    },
    /// To `list`: the newest last, at most [`LIST_MAX`].
    Generations {
        /// The generations.
        generations: Vec<Generation>,
    },
    /// To any: it was not done, and nothing was changed.
    Refused {
        /// Why, for programs.
        code: RefusalCode,
        /// Why, and what to do, for people.
        message: String,
    },
}

/// One generation, as the parent lists it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// What it is known by.
    pub head: Head,
    /// When it was committed, by the parent's clock.
    pub committed_at: u64,
    /// Whether it was confirmed.
    pub confirmed: bool,
}

impl Request {
    /// How many raw bytes follow the request, if it may be made at all.
    ///
    /// # Errors
    /// [`RefusalCode::TooLarge`] if it announces more than its bound.
    pub fn payload_bytes(&self) -> Result<u32, RefusalCode> {
        match self {
            Self::Open { .. } | Self::Confirm { .. } | Self::Get { .. } | Self::List {} => Ok(0),
            Self::Put { bytes, .. } => bounded(*bytes, OBJECT_BYTES_MAX),
            Self::Lacking { objects } | Self::Commit { objects, .. } => ids_bytes(*objects),
        }
    }
}

/// How many bytes so many ids take.
///
/// # Errors
/// [`RefusalCode::TooLarge`] above [`OBJECTS_MAX`].
pub fn ids_bytes(objects: u32) -> Result<u32, RefusalCode> {
    bounded(objects, OBJECTS_MAX).map(|objects| objects * 32)
}

fn bounded(value: u32, max: u32) -> Result<u32, RefusalCode> {
    if value <= max { Ok(value) } else { Err(RefusalCode::TooLarge) }
}

#[cfg(test)]
mod tests;

//! State that survives: snapshots of files, sealed with a secret that only attested builds hold, in a
//! store that is not trusted.
//!
//! A file is cut into chunks of 1 MiB. A chunk is compressed (zstd; see [`Packing`]), sealed (age) and stored under the
//! SHA-256 of its sealed bytes; what the last acknowledged snapshot has already of the same source is not
//! sent again, and zeros are not sent at all. A *manifest* says which chunks make which files, carries a MAC, and is
//! sealed like them. Its id is the *head*, which the key stores remember. Whoever restores begins with
//! the head, so that every byte that comes back is checked by a digest that the parent could not
//! choose, before anything parses, decrypts or decompresses it.
//!
//! What the parent may learn: how many objects there are, their sizes, and which a generation shares
//! with the one before it. What it may do: withhold. Everything else is refused with a code.
//!
//! [`Engine`] is where to start.

mod copy;
mod engine;
mod error;
mod manifest;
mod restore;
mod seal;
mod secret;
mod snapshot;
mod source;

pub use copy::{Copied, copy_frozen};
pub use engine::{Engine, Progress, Restored, Snapshot, SnapshotStats};
pub use error::{RestoreError, SnapshotError};
pub use manifest::ManifestError;
pub use secret::{DeriveError, DiskSecret};
pub use source::{Content, NameError, Packing, Source, SourceName};

/// Bytes of a chunk. Chosen, not measured against other sizes yet: smaller ones cost an X25519 exchange, a file and
/// an answer each, larger ones are sent again for a change of one page.
pub const CHUNK_BYTES: usize = 1024 * 1024;
/// Largest sealed chunk: what compression, age's header (200 bytes) and tags (16 per 64 KiB) can add.
pub(crate) const CHUNK_SEALED_BYTES_MAX: u32 = 1024 * 1024 + 16 * 1024;
/// Chunks of one snapshot that are not zeros: 64 GiB. The manifest is held in memory.
pub(crate) const CHUNKS_MAX: usize = 65_536;

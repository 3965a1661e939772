//! The manifest: which chunks make which files of a generation. Pure.
//!
//! Sealed it is `age(zstd(mac ‖ json))`: 32 bytes of HMAC-SHA256 over the JSON, then the JSON, which is
//! canonical (RFC 8785). Nothing is parsed before the MAC was found to be right.

mod wire;

use aws_lc_rs::hmac;
use protocol::canonical::CanonicalError;
use protocol::parent::backup::{InstanceId, ObjectId};
use thiserror::Error;
use units::UnixSecs;

use crate::seal::ChunkName;
use crate::secret::Keys;
use crate::source::{NameError, SourceName};
use crate::{CHUNK_BYTES, CHUNK_SEALED_BYTES_MAX, CHUNKS_MAX};

/// The form described here.
const FORMAT: u32 = 1;
/// Bytes of the MAC before the JSON.
const MAC_BYTES: usize = 32;
/// Longest manifest before it is sealed, in bytes: 65,536 chunks take 160 each, 4,096 names 280.
pub(crate) const MANIFEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest source, in bytes, holes included: an image's size, of which most may be empty.
const SOURCE_BYTES_MAX: u64 = 1 << 40;

/// A generation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Manifest {
    /// Whose it is.
    pub(crate) owner: InstanceId,
    /// Counts acknowledged snapshots; the first is 1.
    pub(crate) generation: u64,
    /// The manifest that was the head when this was made.
    pub(crate) previous: Option<ObjectId>,
    /// When it was made.
    pub(crate) created: UnixSecs,
    /// What it holds, by name.
    pub(crate) sources: Vec<SourceEntry>,
}

/// One file of a generation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SourceEntry {
    pub(crate) name: SourceName,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// Its chunks in order. All but the last hold [`CHUNK_BYTES`].
    pub(crate) runs: Vec<Run>,
}

/// What comes next in a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Run {
    /// So many chunks of zeros.
    Zeros(u32),
    /// A chunk that is stored.
    Chunk(Chunk),
}

/// A chunk that is stored. Written as `["name", "id", bytes]`; its plain size follows from its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) name: ChunkName,
    pub(crate) object: ObjectId,
    pub(crate) sealed_bytes: u32,
}

/// Why a manifest is none.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Too short to hold a MAC, or the MAC is another.
    #[error("its MAC is not that of this instance")]
    Mac,
    /// Not the JSON of a manifest.
    #[error("it is not written as a manifest is")]
    Json(#[source] serde_json::Error),
    /// Written by a later version.
    #[error("it has format {0}; this build reads format {FORMAT}: start a later build")]
    Format(u32),
    /// Chunks of another size.
    #[error("it has chunks of {0} bytes; this build reads chunks of {CHUNK_BYTES}")]
    ChunkBytes(u64),
    /// Names that cannot be restored.
    #[error("its names cannot be used")]
    Names(#[source] NameError),
    /// The chunks of a file do not add up.
    #[error("the chunks of {0} do not make its size")]
    Runs(SourceName),
    /// Above a bound.
    #[error("it has {what} above what is allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
    },
    /// Not writable as canonical JSON.
    #[error("it cannot be written")]
    Canonical(#[source] CanonicalError),
}

/// How many chunks a file of so many bytes has.
pub(crate) fn chunks_of(bytes: u64) -> u64 {
    bytes.div_ceil(chunk_bytes())
}

pub(crate) fn chunk_bytes() -> u64 {
    u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX)
}

/// How many plain bytes the chunk at `index` of a file of `bytes` bytes holds.
pub(crate) fn plain_bytes(bytes: u64, index: u64) -> usize {
    let rest = bytes.saturating_sub(index.saturating_mul(chunk_bytes()));
    usize::try_from(rest).map_or(CHUNK_BYTES, |rest| rest.min(CHUNK_BYTES))
}

impl Manifest {
    /// The bytes that are sealed.
    ///
    /// # Errors
    /// [`ManifestError`] if this would not be read back.
    pub(crate) fn encode(&self, keys: &Keys) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        let json = wire::write(self).map_err(ManifestError::Canonical)?;
        let mut bytes = hmac::sign(keys.mac(), &json).as_ref().to_vec();
        bytes.extend_from_slice(&json);
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge { what: "a length" });
        }
        Ok(bytes)
    }

    /// Reads what was sealed.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub(crate) fn decode(keys: &Keys, bytes: &[u8]) -> Result<Self, ManifestError> {
        let (mac, json) = bytes.split_at_checked(MAC_BYTES).ok_or(ManifestError::Mac)?;
        hmac::verify(keys.mac(), json, mac).map_err(|_| ManifestError::Mac)?;
        let manifest = wire::read(json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The chunks that are stored, those that stand several times included.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.sources.iter().flat_map(|source| &source.runs).filter_map(|run| match run {
            Run::Zeros(_) => None,
            Run::Chunk(chunk) => Some(chunk),
        })
    }

    /// The size of everything, holes included.
    pub(crate) fn bytes(&self) -> u64 {
        self.sources.iter().fold(0, |sum, source| sum.saturating_add(source.bytes))
    }

    fn check(&self) -> Result<(), ManifestError> {
        crate::source::check_names(self.sources.iter().map(|source| &source.name))
            .map_err(ManifestError::Names)?;
        if self.chunks().count() > CHUNKS_MAX {
            return Err(ManifestError::TooLarge { what: "chunks" });
        }
        if self.chunks().any(|chunk| chunk.sealed_bytes > CHUNK_SEALED_BYTES_MAX) {
            return Err(ManifestError::TooLarge { what: "a chunk" });
        }
        for source in &self.sources {
            if source.bytes > SOURCE_BYTES_MAX {
                return Err(ManifestError::TooLarge { what: "a source" });
            }
            if !source.adds_up() {
                return Err(ManifestError::Runs(source.name.clone()));
            }
        }
        Ok(())
    }
}

impl SourceEntry {
    /// Whether the runs are exactly the chunks of the size, and written in the only way: no empty run,
    /// no two runs of zeros in a row.
    fn adds_up(&self) -> bool {
        let mut chunks: u64 = 0;
        let mut after_zeros = false;
        for run in &self.runs {
            let (count, is_zeros) = match run {
                Run::Zeros(count) => (u64::from(*count), true),
                Run::Chunk(_) => (1, false),
            };
            if count == 0 || (is_zeros && after_zeros) {
                return false;
            }
            after_zeros = is_zeros;
            chunks = chunks.saturating_add(count);
        }
        chunks == chunks_of(self.bytes)
    }
}

#[cfg(test)]
mod tests;

//! A manifest as JSON.

use protocol::canonical::{self, CanonicalError};
use protocol::parent::backup::{InstanceId, ObjectId};
use serde::{Deserialize, Serialize};
use units::UnixSecs;

use super::{Chunk, FORMAT, Manifest, ManifestError, Run, SourceEntry, chunk_bytes};
use crate::seal::ChunkName;
use crate::source::SourceName;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WireManifest {
    chunk_bytes: u64,
    created: UnixSecs,
    format: u32,
    generation: u64,
    owner: InstanceId,
    previous: Option<ObjectId>,
    sources: Vec<WireSource>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WireSource {
    bytes: u64,
    name: SourceName,
    runs: Vec<WireRun>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum WireRun {
    Zeros(u32),
    Chunk(ChunkName, ObjectId, u32),
}

/// Only what tells versions apart: the rest of a later version may look different.
#[derive(Deserialize)]
struct WireFormat {
    format: u32,
}

pub(super) fn write(manifest: &Manifest) -> Result<Vec<u8>, CanonicalError> {
    canonical::to_bytes(&WireManifest {
        chunk_bytes: chunk_bytes(),
        created: manifest.created,
        format: FORMAT,
        generation: manifest.generation,
        owner: manifest.owner,
        previous: manifest.previous,
        sources: manifest.sources.iter().map(WireSource::of).collect(),
    })
}

pub(super) fn read(json: &[u8]) -> Result<Manifest, ManifestError> {
    let WireFormat { format } = serde_json::from_slice(json).map_err(ManifestError::Json)?;
    if format != FORMAT {
        return Err(ManifestError::Format(format));
    }
    let wire: WireManifest = serde_json::from_slice(json).map_err(ManifestError::Json)?;
    if wire.chunk_bytes != chunk_bytes() {
        return Err(ManifestError::ChunkBytes(wire.chunk_bytes));
    }
    Ok(Manifest {
        owner: wire.owner,
        generation: wire.generation,
        previous: wire.previous,
        created: wire.created,
        sources: wire.sources.into_iter().map(WireSource::into_entry).collect(),
    })
}

impl WireSource {
    fn of(entry: &SourceEntry) -> Self {
        let runs = entry.runs.iter().map(|run| match *run {
            Run::Zeros(count) => WireRun::Zeros(count),
            Run::Chunk(Chunk { name, object, sealed_bytes }) => WireRun::Chunk(name, object, sealed_bytes),
        });
        Self { bytes: entry.bytes, name: entry.name.clone(), runs: runs.collect() }
    }

    fn into_entry(self) -> SourceEntry {
        let runs = self.runs.into_iter().map(|run| match run {
            WireRun::Zeros(count) => Run::Zeros(count),
            WireRun::Chunk(name, object, sealed_bytes) => Run::Chunk(Chunk { name, object, sealed_bytes }),
        });
        SourceEntry { name: self.name, bytes: self.bytes, runs: runs.collect() }
    }
}

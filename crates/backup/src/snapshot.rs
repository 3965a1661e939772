//! Makes a snapshot: threads read, compress and seal; one task sends.

mod plan;
mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use protocol::parent::backup::{BackupStore, Head, ObjectId};
use tokio::sync::mpsc;
use units::UnixSecs;

use self::plan::Plan;
use self::worker::Sealed;
use crate::CHUNKS_MAX;
use crate::engine::{Base, Snapshot, SnapshotStats};
use crate::error::SnapshotError;
use crate::manifest::{Chunk, Manifest};
use crate::seal::{ChunkName, Sealer};
use crate::secret::Keys;
use crate::source::{Packing, Source};

/// Sealed chunks that wait to be sent: the threads stay a little ahead of the stream, within memory.
const SEALED_AHEAD: usize = 4;

/// What is stored already, shared by the threads.
type Known = Arc<Mutex<HashMap<ChunkName, Chunk>>>;

/// What a snapshot is made of.
pub(crate) struct Making {
    pub(crate) sources: Vec<Source>,
    pub(crate) created: UnixSecs,
    /// The most bytes that the sources may have, holes included.
    pub(crate) bytes_max: u64,
}

pub(crate) async fn make(
    keys: &Arc<Keys>,
    workers: usize,
    base: Option<&Base>,
    store: &mut impl BackupStore,
    Making { sources, created, bytes_max }: Making,
) -> Result<Snapshot, SnapshotError> {
    let plan = blocking({
        let keys = Arc::clone(keys);
        move || Plan::of(&keys, sources)
    });
    let plan = plan.await?;
    if plan.bytes() > bytes_max {
        return Err(SnapshotError::AboveBound { bytes: plan.bytes(), max: bytes_max });
    }
    let plan = Arc::new(plan);
    let known = Arc::new(Mutex::new(still_there(base, store).await?));
    let mut stats = SnapshotStats { plain_bytes: plan.bytes(), ..SnapshotStats::default() };
    let chunks = seal_and_send(keys, workers, &plan, &known, store, &mut stats).await?;
    let entries = plan.entries(&chunks);
    drop((plan, chunks));
    let manifest = Manifest {
        owner: keys.instance(),
        generation: base.map_or(0, |base| base.head.generation).saturating_add(1),
        previous: base.map(|base| base.head.manifest),
        created,
        sources: entries,
    };
    stats.chunks = u64::try_from(manifest.chunks().count()).unwrap_or(u64::MAX);
    let chunks: HashMap<_, _> = manifest.chunks().map(|chunk| (chunk.name, *chunk)).collect();
    let mut objects: Vec<_> =
        manifest.chunks().map(|chunk| chunk.object).collect::<HashSet<_>>().into_iter().collect();
    let sealed = blocking({
        let keys = Arc::clone(keys);
        move || seal_manifest(&keys, &manifest).map(|sealed| (sealed, manifest.generation))
    });
    let (sealed, generation) = sealed.await?;
    let head = Head { generation, manifest: ObjectId::of(&sealed) };
    objects.push(head.manifest);
    objects.sort_unstable();
    send(store, head.manifest, &sealed, &mut stats).await?;
    store.commit(head, &objects).await?;
    Ok(Snapshot { base: Base { head, chunks }, stats })
}

/// The chunks of the last snapshot that the store says it still has.
async fn still_there(
    base: Option<&Base>,
    store: &mut impl BackupStore,
) -> Result<HashMap<ChunkName, Chunk>, SnapshotError> {
    let Some(base) = base else { return Ok(HashMap::new()) };
    let objects: Vec<_> = base.chunks.values().map(|chunk| chunk.object).collect();
    let lacking: HashSet<_> = store.lacking(&objects).await?.into_iter().collect();
    if !lacking.is_empty() {
        tracing::warn!(objects = lacking.len(), "the parent has lost parts of the last backup; sent again");
    }
    let there = base.chunks.iter().filter(|(_, chunk)| !lacking.contains(&chunk.object));
    Ok(there.map(|(name, chunk)| (*name, *chunk)).collect())
}

/// Seals what is new on threads of their own, and sends it; returns the stored chunk of each task.
async fn seal_and_send(
    keys: &Arc<Keys>,
    workers: usize,
    plan: &Arc<Plan>,
    known: &Known,
    store: &mut impl BackupStore,
    stats: &mut SnapshotStats,
) -> Result<Vec<Option<Chunk>>, SnapshotError> {
    let (sealed, mut to_send) = mpsc::channel::<Sealed>(SEALED_AHEAD);
    let work = worker::Work::new(Arc::clone(keys), Arc::clone(plan), Arc::clone(known));
    let threads: Vec<_> = (0..workers)
        .map(|_| {
            let (work, sealed) = (work.clone(), sealed.clone());
            tokio::task::spawn_blocking(move || worker::run(&work, &sealed))
        })
        .collect();
    drop(sealed);
    let mut failed = None;
    while let Some(Sealed { object, bytes }) = to_send.recv().await {
        if let Err(e) = send(store, object, &bytes, stats).await {
            failed = Some(e);
            break;
        }
    }
    // The threads end when nobody takes what they seal.
    drop(to_send);
    let mut chunks = vec![None; plan.tasks()];
    let mut stored: usize = 0;
    for thread in threads {
        let done = match thread.await {
            Ok(done) => done,
            Err(_) => Err(SnapshotError::Worker),
        };
        match done {
            Ok(done) => {
                for (task, chunk) in done {
                    stored += 1;
                    if let Some(slot) = chunks.get_mut(task) {
                        *slot = Some(chunk);
                    }
                }
            }
            Err(e) => failed = failed.or(Some(e)),
        }
    }
    match failed {
        Some(e) => Err(e),
        None if stored > CHUNKS_MAX => Err(SnapshotError::TooLarge),
        None => Ok(chunks),
    }
}

async fn send(
    store: &mut impl BackupStore,
    object: ObjectId,
    sealed: &[u8],
    stats: &mut SnapshotStats,
) -> Result<(), SnapshotError> {
    store.put(object, sealed).await?;
    stats.sent_objects += 1;
    stats.sent_bytes += u64::try_from(sealed.len()).unwrap_or(u64::MAX);
    Ok(())
}

fn seal_manifest(keys: &Keys, manifest: &Manifest) -> Result<Vec<u8>, SnapshotError> {
    let plain = manifest.encode(keys).map_err(SnapshotError::Manifest)?;
    // What is secret in it is digests under our own key, which no stranger's words resemble.
    let packing = Packing::Compressed;
    Sealer::new(keys).and_then(|mut sealer| sealer.seal(&plain, packing)).map_err(SnapshotError::Seal)
}

/// Runs what would stop other tasks on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SnapshotError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(SnapshotError::Worker),
    }
}

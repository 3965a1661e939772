//! Restores a snapshot: one task fetches in order; threads check, open and write.

mod target;
mod worker;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use protocol::parent::backup::{BackupStore, GETS_AHEAD_MAX, Head, OBJECT_BYTES_MAX, ObjectId};
use tokio::sync::mpsc;

use self::target::Target;
use self::worker::Work;
use crate::engine::{Progress, Restored};
use crate::error::RestoreError;
use crate::manifest::{Chunk, MANIFEST_BYTES_MAX, Manifest, Run};
use crate::seal::Opener;
use crate::secret::{Keys, SourceNaming};

/// Fetched objects that wait for a thread.
const FETCHED_AHEAD: usize = 4;

/// One object, and where its content goes.
struct Job {
    chunk: Chunk,
    /// Index of its source, and how that one's chunks are named: no object belongs to two.
    source: usize,
    naming: Arc<SourceNaming>,
    /// Which chunks of the source it makes.
    places: Vec<u64>,
}

/// Fetches the manifest that `head` names, and nothing else.
pub(crate) async fn fetch_manifest(
    keys: &Arc<Keys>,
    store: &mut impl BackupStore,
    head: Head,
) -> Result<Manifest, RestoreError> {
    store.ask(head.manifest).await?;
    let sealed = store.take(OBJECT_BYTES_MAX).await?;
    let keys = Arc::clone(keys);
    blocking(move || open_manifest(&keys, head, &sealed)).await
}

fn open_manifest(keys: &Keys, head: Head, sealed: &[u8]) -> Result<Manifest, RestoreError> {
    let found = ObjectId::of(sealed);
    if found != head.manifest {
        return Err(RestoreError::ManifestDigest { head, found });
    }
    let mut plain = Vec::new();
    Opener::new(keys)
        .map_err(RestoreError::Open)?
        .open(sealed, MANIFEST_BYTES_MAX, &mut plain)
        .map_err(|_| RestoreError::ManifestSealed(head))?;
    let manifest =
        Manifest::decode(keys, &plain).map_err(|source| RestoreError::Manifest { head, source })?;
    if manifest.owner != keys.instance() {
        return Err(RestoreError::Owner { head, found: manifest.owner });
    }
    if manifest.generation != head.generation {
        return Err(RestoreError::Generation { head, found: manifest.generation });
    }
    Ok(manifest)
}

pub(crate) async fn restore(
    keys: &Arc<Keys>,
    workers: usize,
    store: &mut impl BackupStore,
    manifest: Manifest,
    into: &Path,
    progress: impl FnMut(Progress) + Send,
) -> Result<Restored, RestoreError> {
    let manifest = Arc::new(manifest);
    let target = {
        let (manifest, into) = (Arc::clone(&manifest), into.to_owned());
        blocking(move || Target::create(&into, &manifest.sources)).await?
    };
    let target = fetch_and_write(keys, workers, store, jobs(keys, &manifest), target, progress).await?;
    blocking(move || target.publish()).await?;
    Ok(Restored {
        created: manifest.created,
        bytes: manifest.bytes(),
        sources: manifest.sources.iter().map(|source| source.name.clone()).collect(),
    })
}

/// Each object of each source once, in the order in which the files need them.
fn jobs(keys: &Keys, manifest: &Manifest) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut by_object: HashMap<(usize, ObjectId), usize> = HashMap::new();
    for (source, entry) in manifest.sources.iter().enumerate() {
        let naming = Arc::new(keys.naming(&entry.name));
        let mut at = 0;
        for run in &entry.runs {
            match run {
                Run::Zeros(count) => at += u64::from(*count),
                Run::Chunk(chunk) => {
                    let job = *by_object.entry((source, chunk.object)).or_insert_with(|| {
                        let naming = Arc::clone(&naming);
                        jobs.push(Job { chunk: *chunk, source, naming, places: Vec::new() });
                        jobs.len() - 1
                    });
                    if let Some(job) = jobs.get_mut(job) {
                        job.places.push(at);
                    }
                    at += 1;
                }
            }
        }
    }
    jobs
}

async fn fetch_and_write(
    keys: &Arc<Keys>,
    workers: usize,
    store: &mut impl BackupStore,
    jobs: Vec<Job>,
    target: Target,
    progress: impl FnMut(Progress) + Send,
) -> Result<Target, RestoreError> {
    let (fetched, to_open) = mpsc::channel(FETCHED_AHEAD);
    let (due, sync_due) = mpsc::channel(1);
    let (keys, failed) = (Arc::clone(keys), AtomicBool::new(false));
    let work = Arc::new(Work { keys, jobs, target, fetched: Mutex::new(to_open), failed });
    let threads: Vec<_> = (0..workers)
        .map(|_| {
            let work = Arc::clone(&work);
            tokio::task::spawn_blocking(move || worker::run(&work))
        })
        .collect();
    let syncing = tokio::task::spawn_blocking({
        let work = Arc::clone(&work);
        move || worker::sync(&work, sync_due)
    });
    let fetching = fetch(store, &work, fetched, &due, progress).await;
    drop(due);
    let mut wrong = None;
    for thread in threads.into_iter().chain([syncing]) {
        let done = match thread.await {
            Ok(done) => done,
            Err(_) => Err(RestoreError::Worker),
        };
        wrong = wrong.or(done.err());
    }
    // What was wrong with an object says more than that the rest was not fetched.
    wrong.map_or(fetching, Err)?;
    // The threads have ended, and with them their shares.
    Arc::into_inner(work).map(|work| work.target).ok_or(RestoreError::Worker)
}

/// Fetches every object in order, a few asked for ahead.
async fn fetch(
    store: &mut impl BackupStore,
    work: &Work,
    fetched: mpsc::Sender<(usize, Vec<u8>)>,
    sync_due: &mpsc::Sender<()>,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<(), RestoreError> {
    let jobs = &work.jobs;
    let mut state = Progress {
        objects: 0,
        objects_total: u64::try_from(jobs.len()).unwrap_or(u64::MAX),
        bytes: 0,
        bytes_total: jobs.iter().map(|job| u64::from(job.chunk.sealed_bytes)).sum(),
    };
    let mut asked = jobs.iter();
    for job in asked.by_ref().take(GETS_AHEAD_MAX) {
        store.ask(job.chunk.object).await?;
    }
    for (index, job) in jobs.iter().enumerate() {
        let sealed = store.take(job.chunk.sealed_bytes).await?;
        if let Some(next) = asked.next() {
            store.ask(next.chunk.object).await?;
        }
        state.objects += 1;
        state.bytes += u64::from(job.chunk.sealed_bytes);
        if work.failed.load(Ordering::Relaxed) || fetched.send((index, sealed)).await.is_err() {
            return Err(RestoreError::Worker);
        }
        if work.target.is_sync_due() {
            // One that is waiting will do for this, too.
            let _ = sync_due.try_send(());
        }
        progress(state);
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RestoreError> + Send + 'static,
) -> Result<T, RestoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(RestoreError::Worker),
    }
}

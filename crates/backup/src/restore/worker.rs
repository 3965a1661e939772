//! One thread that checks, opens and writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::parent::backup::ObjectId;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::Job;
use super::target::Target;
use crate::CHUNK_BYTES;
use crate::error::RestoreError;
use crate::seal::{ChunkName, Opener};
use crate::secret::Keys;

/// What the threads share with each other and with whoever fetches.
pub(super) struct Work {
    pub(super) keys: Arc<Keys>,
    pub(super) jobs: Vec<Job>,
    pub(super) target: Target,
    pub(super) fetched: Mutex<mpsc::Receiver<(usize, Vec<u8>)>>,
    /// One of them has failed: the others end, too.
    pub(super) failed: AtomicBool,
}

/// Takes fetched objects until there are no more, or one was wrong.
pub(super) fn run(work: &Work) -> Result<(), RestoreError> {
    let mut opener = Opener::new(&work.keys).map_err(RestoreError::Open)?;
    let mut plain = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
    loop {
        let next = work.fetched.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some((index, sealed)) = next.filter(|_| !work.failed.load(Ordering::Relaxed)) else {
            return Ok(());
        };
        if let Err(e) = write(work, &mut opener, index, &sealed, &mut plain) {
            work.failed.store(true, Ordering::Relaxed);
            return Err(e);
        }
    }
}

/// Has the disk work on what was written whenever it is due, until nothing is fetched any more.
pub(super) fn sync(work: &Work, mut due: mpsc::Receiver<()>) -> Result<(), RestoreError> {
    while due.blocking_recv().is_some() {
        work.target.sync()?;
    }
    Ok(())
}

fn write(
    work: &Work,
    opener: &mut Opener<'_>,
    index: usize,
    sealed: &[u8],
    plain: &mut Vec<u8>,
) -> Result<(), RestoreError> {
    let job = work.jobs.get(index).ok_or(RestoreError::Worker)?;
    open(opener, job, sealed, plain)?;
    let write = |chunk| work.target.write((job.source, chunk), plain, job.chunk.object);
    job.places.iter().copied().try_for_each(write)
}

/// Size and digest come first: what is parsed, decrypted or decompressed is what the manifest names.
fn open(opener: &mut Opener<'_>, job: &Job, sealed: &[u8], plain: &mut Vec<u8>) -> Result<(), RestoreError> {
    let object = job.chunk.object;
    let found = u64::try_from(sealed.len()).unwrap_or(u64::MAX);
    if found != u64::from(job.chunk.sealed_bytes) {
        return Err(RestoreError::ObjectSize { object, wanted: job.chunk.sealed_bytes, found });
    }
    if ObjectId::of(sealed) != object {
        return Err(RestoreError::ObjectDigest(object));
    }
    opener.open(sealed, CHUNK_BYTES, plain).map_err(|_| RestoreError::ObjectSealed(object))?;
    if ChunkName::of(&job.naming, plain) != job.chunk.name {
        return Err(RestoreError::ObjectName(object));
    }
    Ok(())
}

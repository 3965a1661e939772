//! One thread that reads, compresses and seals.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use protocol::parent::backup::ObjectId;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::Known;
use super::plan::{Plan, Read};
use crate::CHUNK_BYTES;
use crate::error::SnapshotError;
use crate::manifest::Chunk;
use crate::seal::{ChunkName, Sealer};
use crate::secret::Keys;

/// What has to be sent.
pub(super) struct Sealed {
    pub(super) object: ObjectId,
    pub(super) bytes: Vec<u8>,
}

/// What the threads share.
#[derive(Clone)]
pub(super) struct Work {
    keys: Arc<Keys>,
    plan: Arc<Plan>,
    known: Known,
    next: Arc<AtomicUsize>,
}

impl Work {
    pub(super) fn new(keys: Arc<Keys>, plan: Arc<Plan>, known: Known) -> Self {
        Self { keys, plan, known, next: Arc::new(AtomicUsize::new(0)) }
    }

    fn known(&self, name: &ChunkName) -> Option<Chunk> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    fn learn(&self, chunk: Chunk) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(chunk.name, chunk);
    }
}

/// Takes tasks until there are none, or nobody takes what is sealed any more; returns the stored chunk
/// of each task that is not all zeros.
pub(super) fn run(work: &Work, sealed: &mpsc::Sender<Sealed>) -> Result<Vec<(usize, Chunk)>, SnapshotError> {
    let mut sealer = Sealer::new(&work.keys).map_err(SnapshotError::Seal)?;
    let mut plain = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
    let mut done = Vec::new();
    loop {
        let task = work.next.fetch_add(1, Ordering::Relaxed);
        let origin = match work.plan.read(task, &mut plain)? {
            Read::Nothing => return Ok(done),
            Read::Chunk(origin) => origin,
        };
        if is_zero(&plain) {
            continue;
        }
        let name = ChunkName::of(&origin.naming, &plain);
        let chunk = match work.known(&name) {
            Some(chunk) => chunk,
            None => {
                let bytes = sealer.seal(&plain, origin.packing).map_err(SnapshotError::Seal)?;
                let object = ObjectId::of(&bytes);
                let sealed_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let chunk = Chunk { name, object, sealed_bytes };
                if sealed.blocking_send(Sealed { object, bytes }).is_err() {
                    return Ok(done);
                }
                work.learn(chunk);
                chunk
            }
        };
        done.push((task, chunk));
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<64>();
    rest.iter().all(|b| *b == 0) && words.iter().all(|word| *word == [0; 64])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_told_from_anything_else() {
        assert!(is_zero(&[]) && is_zero(&[0; 1000]));
        for at in [0, 63, 64, 959, 960, 999] {
            let mut bytes = [0; 1000];
            bytes[at] = 1;
            assert!(!is_zero(&bytes), "{at}");
        }
    }
}

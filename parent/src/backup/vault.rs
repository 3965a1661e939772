//! The backups of one instance.

mod generations;
mod index;
mod rot;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use futures_util::StreamExt;
use protocol::parent::backup::{
    Generation, Head, InstanceId, LIST_MAX, OBJECT_BYTES_MAX, ObjectId, RefusalCode,
};
use tokio::sync::Mutex;
use transport::{BackupVault, Refusal};
use units::Clock;

use self::index::Index;
use super::record::RECORD_BYTES_MAX;
use super::retention::Policy;
use super::shelf::{Shelf, ShelfError};

/// Longest file that names the confirmed generation.
const CONFIRMED_BYTES_MAX: u64 = 1024;
/// Removals under way at once: a bucket takes its time for each.
const REMOVALS_MAX: usize = 16;

/// The backups of one instance.
#[derive(Debug)]
pub(crate) struct Vault {
    shelf: Arc<Shelf>,
    instance: InstanceId,
    policy: Policy,
    clock: Arc<dyn Clock>,
    /// Held while generations come and go: one at a time.
    turn: Mutex<()>,
    /// What is there. Never held while the disk works.
    index: std::sync::Mutex<Index>,
    /// What is there cannot be told: nothing is taken or removed. What can be read still can.
    damaged: bool,
    /// Bytes on their way to the disk, which its free space does not show yet.
    under_way_bytes: AtomicU64,
}

/// Logs what went wrong; strangers are told only that something did.
pub(super) fn failed(error: &ShelfError) -> Refusal {
    let mut causes = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::error!("backup store: {error}{causes}");
    if let ShelfError::Io { source, .. } = error
        && source.kind() == std::io::ErrorKind::StorageFull
    {
        return no_space();
    }
    Refusal::new(RefusalCode::StoreFailed, "the store failed; its operator's log says how")
}

fn no_space() -> Refusal {
    Refusal::new(RefusalCode::NoSpace, "the store is full; its operator has to make room")
}

/// Counts refusals by their code, so that an operator sees that backups do not arrive.
fn counted<T>(done: Result<T, Refusal>) -> Result<T, Refusal> {
    if let Err(refusal) = &done {
        metrics::counter!("backup_refusals_total", "code" => refusal.code.as_str()).increment(1);
        tracing::warn!(code = %refusal.code, "a backup request was refused: {}", refusal.message);
    }
    done
}

impl Vault {
    /// Reads what is there, and removes what no generation needs.
    pub(crate) async fn open(
        shelf: Arc<Shelf>,
        instance: InstanceId,
        policy: Policy,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ShelfError> {
        let (index, leftovers, damaged) = match index::load(&shelf, instance, clock.now().0).await {
            Ok((index, leftovers)) => (index, leftovers, false),
            Err(e @ ShelfError::Damaged { .. }) => {
                tracing::error!(%instance, "no backup is taken until this is repaired: {e}");
                (Index::default(), Vec::new(), true)
            }
            Err(e) => return Err(e),
        };
        let vault = Self {
            shelf,
            instance,
            policy,
            clock,
            turn: Mutex::default(),
            index: std::sync::Mutex::new(index),
            damaged,
            under_way_bytes: AtomicU64::new(0),
        };
        let (generations, removed) = (vault.index().generations().len(), leftovers.len());
        vault.remove_objects(leftovers).await;
        // Of strangers who only ask, nothing is told: there is no end to their names.
        if generations > 0 {
            vault.publish();
        }
        tracing::debug!(%instance, generations, leftovers = removed, "backups are there");
        Ok(vault)
    }

    /// Nothing is in it, and nothing is on its way out: it might as well not be open.
    pub(crate) fn is_empty(&self) -> bool {
        !self.damaged && self.index().is_empty()
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sound(&self) -> Result<(), Refusal> {
        if self.damaged {
            let message = "the store's records are damaged; its operator's log says which";
            return Err(Refusal::new(RefusalCode::StoreFailed, message));
        }
        Ok(())
    }

    fn object_path(&self, object: ObjectId) -> String {
        format!("{}/{object}", index::objects(self.instance))
    }

    fn publish(&self) {
        let index = self.index();
        let count = u32::try_from(index.generations().len()).unwrap_or(u32::MAX);
        metrics::gauge!("backup_generations", "instance" => self.instance.to_string()).set(count);
        let newest = index.generations().last().map_or(0, |generation| generation.committed_at);
        metrics::gauge!("backup_newest_seconds", "instance" => self.instance.to_string())
            .set(u32::try_from(newest).unwrap_or(u32::MAX));
    }

    /// Removes objects that the index has given up already.
    async fn remove_objects(&self, objects: Vec<ObjectId>) {
        let removals =
            futures_util::stream::iter(&objects).for_each_concurrent(REMOVALS_MAX, async |object| {
                if let Err(e) = self.shelf.remove(self.object_path(*object)).await {
                    // It is found again at the next start.
                    tracing::warn!("an object that nothing needs was not removed: {e}");
                }
            });
        removals.await;
        self.index().gone(&objects);
    }

    async fn put_object(&self, object: ObjectId, bytes: Vec<u8>) -> Result<(), Refusal> {
        self.sound()?;
        if ObjectId::of(&bytes) != object {
            let message =
                "the bytes are not what their id says: they were damaged on the way; send them again";
            return Err(Refusal::new(RefusalCode::DigestMismatch, message));
        }
        // A file of that name may be damaged; these bytes are not.
        let is_there = self.index().has(object);
        if is_there && self.is_whole(object).await.is_ok_and(|whole| whole.is_some()) {
            return Ok(());
        }
        let going = || Refusal::new(RefusalCode::StoreFailed, "this object is being removed; send it again");
        if self.index().is_going(object) {
            return Err(going());
        }
        let len = bytes.len();
        self.write_within_room(len, self.shelf.write(self.object_path(object), bytes)).await?;
        metrics::counter!("backup_objects_total").increment(1);
        metrics::counter!("backup_bytes_total", "way" => "in")
            .increment(u64::try_from(len).unwrap_or(u64::MAX));
        if self.index().add(object) { Ok(()) } else { Err(going()) }
    }

    /// Writes `bytes` bytes unless they would take what the operator wants to stay free.
    async fn write_within_room(
        &self,
        bytes: usize,
        write: impl Future<Output = Result<(), ShelfError>>,
    ) -> Result<(), Refusal> {
        let len = u64::try_from(bytes).unwrap_or(u64::MAX);
        let before = self.under_way_bytes.fetch_add(len, Ordering::SeqCst);
        let written = match self.shelf.room_bytes() {
            Ok(Some(room)) if room < before.saturating_add(len) => Err(no_space()),
            Ok(_) => write.await.map_err(|e| failed(&e)),
            Err(e) => Err(failed(&e)),
        };
        self.under_way_bytes.fetch_sub(len, Ordering::SeqCst);
        written
    }
}

impl BackupVault for Vault {
    async fn lacking(&self, objects: Vec<ObjectId>) -> Result<Vec<ObjectId>, Refusal> {
        self.sound()?;
        let index = self.index();
        Ok(objects.into_iter().filter(|object| !index.has(*object)).collect())
    }

    async fn put(&self, object: ObjectId, bytes: Vec<u8>) -> Result<(), Refusal> {
        counted(self.put_object(object, bytes).await)
    }

    async fn commit(&self, head: Head, objects: Vec<ObjectId>) -> Result<(), Refusal> {
        counted(self.commit_generation(head, objects).await)
    }

    async fn confirm(&self, head: Head) -> Result<u32, Refusal> {
        counted(self.confirm_generation(head).await)
    }

    /// Does not ask the index: what is on the disk can be restored even if the index is damaged.
    async fn get(&self, object: ObjectId) -> Result<Vec<u8>, Refusal> {
        let read = self.shelf.read(self.object_path(object), OBJECT_BYTES_MAX.into()).await;
        counted(read.map_err(|e| failed(&e)).and_then(|found| {
            let bytes =
                found.ok_or_else(|| Refusal::new(RefusalCode::NoSuchObject, "there is no such object"))?;
            let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            metrics::counter!("backup_bytes_total", "way" => "out").increment(len);
            Ok(bytes)
        }))
    }

    async fn list(&self) -> Result<Vec<Generation>, Refusal> {
        self.sound()?;
        let index = self.index();
        let from = index.generations().len().saturating_sub(LIST_MAX);
        Ok(index.generations().get(from..).unwrap_or_default().to_vec())
    }

    async fn abandon(&self, objects: Vec<ObjectId>) {
        self.abandon_objects(objects).await;
    }
}

/// Reads the head in the file that names the confirmed generation.
async fn read_confirmed(shelf: &Shelf, path: String) -> Result<Option<Head>, ShelfError> {
    let Some(bytes) = shelf.read(path.clone(), CONFIRMED_BYTES_MAX).await? else { return Ok(None) };
    let damaged = ShelfError::Damaged { path, problem: "it is not understood" };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| damaged)
}

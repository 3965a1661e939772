//! The backups of one instance.

mod index;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::parent::backup::{
    Generation, Head, InstanceId, LIST_MAX, OBJECT_BYTES_MAX, ObjectId, RefusalCode,
};
use tokio::sync::Mutex;
use transport::{BackupVault, Refusal};
use units::Clock;

use self::index::Index;
use super::record::{RECORD_BYTES_MAX, Record};
use super::retention::Policy;
use super::shelf::{Shelf, ShelfError};

/// Generations after the confirmed one: more mean that the enclave does not reach its key stores, and
/// that filling the disk would not help it.
const UNCONFIRMED_MAX: usize = 64;
/// Longest file that names the confirmed generation.
const CONFIRMED_BYTES_MAX: u64 = 1024;

/// The backups of one instance.
#[derive(Debug)]
pub(crate) struct Vault {
    shelf: Arc<Shelf>,
    instance: InstanceId,
    policy: Policy,
    clock: Arc<dyn Clock>,
    /// What is there. Held while generations come and go; puts do not wait for it.
    index: Mutex<Index>,
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
            index: Mutex::new(index),
            damaged,
            under_way_bytes: AtomicU64::new(0),
        };
        vault.remove_objects(&leftovers).await;
        let index = vault.index.lock().await;
        vault.publish(&index);
        tracing::info!(%instance, generations = index.generations().len(), leftovers = leftovers.len(), "backups are there");
        drop(index);
        Ok(vault)
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

    fn publish(&self, index: &Index) {
        let count = u32::try_from(index.generations().len()).unwrap_or(u32::MAX);
        metrics::gauge!("backup_generations", "instance" => self.instance.to_string()).set(count);
        let newest = index.generations().last().map_or(0, |generation| generation.committed_at);
        metrics::gauge!("backup_newest_seconds", "instance" => self.instance.to_string())
            .set(u32::try_from(newest).unwrap_or(u32::MAX));
    }

    async fn remove_objects(&self, objects: &[ObjectId]) {
        for object in objects {
            if let Err(e) = self.shelf.remove(self.object_path(*object)).await {
                // It is found again at the next start.
                tracing::warn!("an object that nothing needs was not removed: {e}");
            }
        }
    }

    async fn put_object(&self, object: ObjectId, bytes: Vec<u8>) -> Result<(), Refusal> {
        self.sound()?;
        if ObjectId::of(&bytes) != object {
            let message =
                "the bytes are not what their id says: they were damaged on the way; send them again";
            return Err(Refusal::new(RefusalCode::DigestMismatch, message));
        }
        if self.index.lock().await.has(object) {
            return Ok(());
        }
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let before = self.under_way_bytes.fetch_add(len, Ordering::SeqCst);
        let written = match self.shelf.room_bytes() {
            Ok(Some(room)) if room < before.saturating_add(len) => Err(no_space()),
            Ok(_) => self.shelf.write(self.object_path(object), bytes).await.map_err(|e| failed(&e)),
            Err(e) => Err(failed(&e)),
        };
        self.under_way_bytes.fetch_sub(len, Ordering::SeqCst);
        written?;
        metrics::counter!("backup_objects_total").increment(1);
        metrics::counter!("backup_bytes_total", "way" => "in").increment(len);
        self.index.lock().await.add(object);
        Ok(())
    }

    async fn commit_generation(&self, head: Head, objects: Vec<ObjectId>) -> Result<(), Refusal> {
        self.sound()?;
        let mut index = self.index.lock().await;
        if index.find(head).is_some() {
            return Ok(());
        }
        let missing = objects.iter().filter(|object| !index.has(**object)).count();
        if missing > 0 || !objects.contains(&head.manifest) {
            let message =
                format!("{missing} objects of {} are not there, or the manifest is not named", objects.len());
            return Err(Refusal::new(RefusalCode::ObjectMissing, message));
        }
        if index.unconfirmed() >= UNCONFIRMED_MAX {
            let message =
                format!("{UNCONFIRMED_MAX} generations wait to be confirmed; look at the key stores");
            return Err(Refusal::new(RefusalCode::TooMany, message));
        }
        let record = Record { head, committed_at: self.clock.now().0, objects };
        let bytes = record.encode().map_err(|e| {
            tracing::error!("a record cannot be written: {e}");
            Refusal::new(RefusalCode::StoreFailed, "the generation cannot be written down")
        })?;
        let sequence = index.next_sequence();
        let steps = async {
            // The objects' names first: a record must not survive what it names.
            self.shelf.settle(index::objects(self.instance)).await?;
            self.shelf.write(index::record_path(self.instance, sequence), bytes).await?;
            self.shelf.settle(index::generations(self.instance)).await
        };
        steps.await.map_err(|e| failed(&e))?;
        index.commit(sequence, &record);
        self.publish(&index);
        tracing::info!(generation = head.generation, objects = record.objects.len(), "a backup is complete");
        Ok(())
    }

    async fn confirm_generation(&self, head: Head) -> Result<u32, Refusal> {
        self.sound()?;
        let mut index = self.index.lock().await;
        let Some(sequence) = index.find(head) else {
            return Err(Refusal::new(
                RefusalCode::NoSuchGeneration,
                "this generation was never committed here",
            ));
        };
        let note = serde_json::to_vec(&head).unwrap_or_default();
        let steps = async {
            self.shelf.write(index::confirmed_path(self.instance), note).await?;
            self.shelf.settle(self.instance.to_string()).await
        };
        steps.await.map_err(|e| failed(&e))?;
        index.confirm(sequence);
        let mut removed = 0;
        for sequence in index.dispensable(self.policy, self.clock.now().0) {
            self.remove_generation(&mut index, sequence).await.map_err(|e| failed(&e))?;
            removed += 1;
        }
        self.publish(&index);
        Ok(removed)
    }

    /// The record goes first: what it named is a leftover from then on.
    async fn remove_generation(&self, index: &mut Index, sequence: u64) -> Result<(), ShelfError> {
        let path = index::record_path(self.instance, sequence);
        let Some(record) = index::read_record(&self.shelf, path.clone()).await? else {
            index.forget(sequence);
            return Ok(());
        };
        self.shelf.remove(path).await?;
        self.shelf.settle(index::generations(self.instance)).await?;
        let unneeded = index.remove(sequence, &record.objects);
        self.remove_objects(&unneeded).await;
        Ok(())
    }
}

impl BackupVault for Vault {
    async fn lacking(&self, objects: Vec<ObjectId>) -> Result<Vec<ObjectId>, Refusal> {
        self.sound()?;
        let index = self.index.lock().await;
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
        let index = self.index.lock().await;
        let from = index.generations().len().saturating_sub(LIST_MAX);
        Ok(index.generations().get(from..).unwrap_or_default().to_vec())
    }

    async fn abandon(&self, objects: Vec<ObjectId>) {
        let unneeded = self.index.lock().await.abandon(objects);
        if !unneeded.is_empty() {
            tracing::info!(
                objects = unneeded.len(),
                "a backup was not completed; what came of it is removed"
            );
        }
        self.remove_objects(&unneeded).await;
    }
}

/// Reads the head in the file that names the confirmed generation.
async fn read_confirmed(shelf: &Shelf, path: String) -> Result<Option<Head>, ShelfError> {
    let Some(bytes) = shelf.read(path.clone(), CONFIRMED_BYTES_MAX).await? else { return Ok(None) };
    let damaged = ShelfError::Damaged { path, problem: "it is not understood" };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| damaged)
}

//! A store at whose first object a test can kill.

use protocol::parent::backup::{BackupStore, Head, ObjectId, StoreError};
use transport::BackupClient;

use crate::checkpoint::{Checkpoints, Step};

/// The parent's store, with a named step before the first object that is sent, and one after the first
/// that came.
#[derive(Debug)]
pub(crate) struct Watched<'w> {
    store: BackupClient,
    checkpoints: &'w Checkpoints,
    subject: String,
    has_put: bool,
    has_taken: bool,
}

impl<'w> Watched<'w> {
    /// Watches the sending or fetching of this generation.
    pub(crate) fn new(store: BackupClient, checkpoints: &'w Checkpoints, generation: u64) -> Self {
        Self { store, checkpoints, subject: generation.to_string(), has_put: false, has_taken: false }
    }
}

impl BackupStore for Watched<'_> {
    async fn lacking(&mut self, objects: &[ObjectId]) -> Result<Vec<ObjectId>, StoreError> {
        self.store.lacking(objects).await
    }

    async fn put(&mut self, object: ObjectId, sealed: &[u8]) -> Result<(), StoreError> {
        if !std::mem::replace(&mut self.has_put, true) {
            self.checkpoints.reach(Step::SnapshotUploading, &self.subject).await;
        }
        self.store.put(object, sealed).await
    }

    async fn commit(&mut self, head: Head, objects: &[ObjectId]) -> Result<(), StoreError> {
        self.store.commit(head, objects).await
    }

    async fn confirm(&mut self, head: Head) -> Result<(), StoreError> {
        self.store.confirm(head).await
    }

    async fn ask(&mut self, object: ObjectId) -> Result<(), StoreError> {
        self.store.ask(object).await
    }

    async fn take(&mut self, bytes_max: u32) -> Result<Vec<u8>, StoreError> {
        let taken = self.store.take(bytes_max).await?;
        if !std::mem::replace(&mut self.has_taken, true) {
            self.checkpoints.reach(Step::RestoreFetching, &self.subject).await;
        }
        Ok(taken)
    }
}

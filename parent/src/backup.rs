//! The store of backups: sealed objects of enclaves, in a folder or a bucket.

mod bucket;
pub(crate) mod config;
mod dir;
mod record;
mod retention;
mod shelf;
mod vault;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::parent::BackupHint;
use protocol::parent::backup::{InstanceId, RefusalCode};
use thiserror::Error;
use tokio::sync::{Mutex, OnceCell};
use transport::{BackupHost, BackupVault, Refusal};
use units::Clock;

use self::config::BackupConfig;
use self::shelf::{Shelf, ShelfError};
use self::vault::Vault;

/// Instances of one parent: a host runs a handful, and a stranger on the port must not make more.
const INSTANCES_MAX: usize = 64;
/// How often some of what is kept is read again, and how much of it: 64 GiB in nine hours, which a disk does
/// not notice.
const CHECK_EVERY: Duration = Duration::from_secs(1);
const CHECK_BYTES: u64 = 2 * 1024 * 1024;

/// The store cannot be used.
#[derive(Debug, Error)]
pub(crate) enum BackupsError {
    #[error("backup.dir: the folder cannot be used")]
    Dir(#[source] ShelfError),
    #[error("backup.bucket: the bucket cannot be used")]
    Bucket(#[source] ShelfError),
}

/// Every instance's backups.
#[derive(Debug)]
pub(crate) struct Backups {
    shelf: Arc<Shelf>,
    policy: retention::Policy,
    clock: Arc<dyn Clock>,
    /// Opened once; from then on the vault knows better than a listing what is there. Not held while one is
    /// opened: that may take long, and others go on.
    vaults: Mutex<HashMap<InstanceId, Place>>,
}

/// A vault, once it is open.
type Place = Arc<OnceCell<Arc<Vault>>>;

impl Backups {
    pub(crate) async fn open(config: &BackupConfig, clock: Arc<dyn Clock>) -> Result<Self, BackupsError> {
        let shelf = match (&config.dir, &config.bucket) {
            (_, Some(bucket)) => {
                bucket::Bucket::open(bucket).await.map(Shelf::Bucket).map_err(BackupsError::Bucket)?
            }
            (Some(dir), None) => {
                dir::Dir::open(dir, config.min_free_bytes).await.map(Shelf::Dir).map_err(BackupsError::Dir)?
            }
            (None, None) => return Err(BackupsError::Dir(ShelfError::Nowhere)),
        };
        let policy = retention::Policy { keep_count: config.keep_count, keep_days: config.keep_days };
        Ok(Self { shelf: Arc::new(shelf), policy, clock, vaults: Mutex::default() })
    }

    /// What the enclave is told before it has a secret to open anything with.
    pub(crate) async fn hint(&self, instance: InstanceId) -> Result<BackupHint, Refusal> {
        let generations = self.open_vault(instance).await?.list().await?;
        let generation = generations.last().map(|newest| newest.head.generation);
        Ok(BackupHint { has_backup: generation.is_some(), generation })
    }

    async fn open_vault(&self, instance: InstanceId) -> Result<Arc<Vault>, Refusal> {
        let place = self.vaults.lock().await.get(&instance).cloned();
        let place = match place {
            Some(place) => place,
            None => {
                self.admit(instance).await?;
                Arc::clone(self.vaults.lock().await.entry(instance).or_default())
            }
        };
        let (shelf, clock) = (Arc::clone(&self.shelf), Arc::clone(&self.clock));
        let opening = async || Vault::open(shelf, instance, self.policy, clock).await.map(Arc::new);
        place.get_or_try_init(opening).await.cloned().map_err(|e| vault::failed(&e))
    }

    /// Refuses an instance that is new if there are too many. Those who only asked and left nothing do not count.
    async fn admit(&self, instance: InstanceId) -> Result<(), Refusal> {
        let failed = |e| vault::failed(&e);
        self.forget_empty().await;
        let known = self.shelf.folders().await.map_err(failed)?;
        if known.len() < INSTANCES_MAX || known.contains(&instance.to_string()) {
            return Ok(());
        }
        {
            let vaults = self.vaults.lock().await;
            let is_open = |folder: &String| folder.parse().is_ok_and(|id| vaults.contains_key(&id));
            for folder in known.into_iter().filter(|folder| !is_open(folder)) {
                self.shelf.remove_empty(folder).await.map_err(failed)?;
            }
        }
        if self.shelf.folders().await.map_err(failed)?.len() < INSTANCES_MAX {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalCode::TooMany,
            format!("{INSTANCES_MAX} instances have backups here; remove the folder of one that is gone"),
        ))
    }

    /// Closes vaults that nobody uses and that have nothing in them.
    async fn forget_empty(&self) {
        // Whoever uses one has a share of it or of its place, and gets neither without this lock.
        self.vaults.lock().await.retain(|_, place| {
            let is_used = |vault: &Arc<Vault>| Arc::strong_count(vault) > 1 || !vault.is_empty();
            Arc::strong_count(place) > 1 || place.get().is_some_and(is_used)
        });
    }

    /// Looks for objects that the disk has damaged, a few a second, for as long as the future lives.
    pub(crate) async fn watch_for_rot(&self) {
        if !self.shelf.may_rot() {
            return std::future::pending().await;
        }
        loop {
            for vault in self.open_vaults().await {
                tokio::time::sleep(CHECK_EVERY).await;
                vault.check_some(CHECK_BYTES).await;
            }
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }

    async fn open_vaults(&self) -> Vec<Arc<Vault>> {
        self.vaults.lock().await.values().filter_map(|place| place.get().cloned()).collect()
    }
}

impl BackupHost for Backups {
    type Vault = Vault;

    async fn open(&self, instance: InstanceId) -> Result<Arc<Vault>, Refusal> {
        self.open_vault(instance).await
    }
}

#[cfg(test)]
mod tests;

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

use protocol::parent::BackupHint;
use protocol::parent::backup::{InstanceId, RefusalCode};
use thiserror::Error;
use tokio::sync::Mutex;
use transport::{BackupHost, BackupVault, Refusal};
use units::Clock;

use self::config::BackupConfig;
use self::shelf::{Shelf, ShelfError};
use self::vault::Vault;

/// Instances of one parent: a host runs a handful, and a stranger on the port must not make more.
const INSTANCES_MAX: usize = 64;

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
    /// Opened once; from then on the vault knows better than a listing what is there.
    vaults: Mutex<HashMap<InstanceId, Arc<Vault>>>,
}

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
        let mut vaults = self.vaults.lock().await;
        if let Some(vault) = vaults.get(&instance) {
            return Ok(Arc::clone(vault));
        }
        let known = self.shelf.folders().await.map_err(|e| vault::failed(&e))?;
        let new = !known.contains(&instance.to_string());
        if vaults.len() >= INSTANCES_MAX || (new && known.len() >= INSTANCES_MAX) {
            return Err(Refusal::new(
                RefusalCode::TooMany,
                format!("{INSTANCES_MAX} instances have backups here; remove the folder of one that is gone"),
            ));
        }
        let vault =
            Vault::open(Arc::clone(&self.shelf), instance, self.policy, Arc::clone(&self.clock)).await;
        let vault = Arc::new(vault.map_err(|e| vault::failed(&e))?);
        vaults.insert(instance, Arc::clone(&vault));
        Ok(vault)
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

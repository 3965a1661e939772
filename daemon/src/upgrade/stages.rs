//! Keeps upgrades at their stages while they are copied.
//!
//! A snapshot has the record of an upgrade from one moment and the volume from a later one. What a stage
//! leaves behind, the next start can carry on from; a stage on record and the volume of another it cannot:
//! the old image would run on what the new one wrote. So no upgrade enters another stage in between.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Who enters a stage shares it; who copies has it alone.
#[derive(Debug, Default)]
pub struct Stages(RwLock<()>);

impl Stages {
    /// While this is held every upgrade stays at the stage that is on record. What belongs to that stage
    /// goes on.
    pub(crate) async fn still(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.write().await
    }

    /// Waits for a copy under way. Held while another stage is put on record.
    pub(super) async fn enter(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read().await
    }
}

//! What the daemon remembers: containers, charges, withdrawals, in one SQLite file.
//!
//! Every write is on disk before the call returns (WAL, `synchronous=FULL`), because what follows it
//! costs money or starts a process. Writes take well under a millisecond, so they are made where they
//! are called, not on another thread.

mod charges;
mod containers;
mod env_part;
mod facts;
mod guest_wallets;
mod history;
mod image_part;
mod outbox;
mod owners;
mod progress;
mod quotas;
mod receipts;
mod record;
mod releases;
mod upgrades;
mod withdrawals;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};
use thiserror::Error;

pub use charges::Charge;
pub use containers::{NewLaunch, ReserveError, Room};
pub use env_part::EnvPart;
pub use guest_wallets::GuestWallet;
pub use image_part::ImagePart;
pub use outbox::Unsent;
pub use quotas::FreeQuota;
pub use receipts::{NewReceipt, NextReceipt};
pub use record::{Container, Origin, PortMapping, Spec, Token};
pub use releases::Tried;
pub use upgrades::{OpenUpgrade, Probe, ReleaseRef, UpgradeIntent};
pub use withdrawals::WithdrawalRow;

/// The store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// SQLite failed.
    #[error("the daemon's database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The schema cannot be brought up to date.
    #[error("the daemon's database cannot be migrated")]
    Migration(#[from] rusqlite_migration::Error),
    /// A row is not what this version writes.
    #[error("the daemon's database holds a {what} that is not understood")]
    Malformed {
        /// Which column.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such container.
    #[error("the daemon's database has no such container")]
    Missing,
}

impl StoreError {
    fn malformed(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Malformed { what, source: source.into() }
    }
}

/// The daemon's memory.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens or creates the database at `path`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        let steps = vec![
            M::up(include_str!("store/schema.sql")),
            M::up(include_str!("store/history.sql")),
            M::up(include_str!("store/upgrades.sql")),
            M::up(include_str!("store/receipts.sql")),
            M::up(include_str!("store/quotas.sql")),
            M::up(include_str!("store/guest_wallets.sql")),
            M::up(include_str!("store/releases.sql")),
            M::up(include_str!("store/offers.sql")),
            M::up(include_str!("store/outbox.sql")),
        ];
        Migrations::new(steps).to_latest(&mut connection)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Whoever panicked while holding it left no transaction open: rusqlite rolls back on drop.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! The wallet's file: the ledger, and the wallet's own tables beside it.
//!
//! ```text
//!  use case ──write(change)──► queue ──► writer thread ── one SQLite transaction for all that wait ──► file
//!           ◄──── result after the commit ────┘                                                        ▲
//!  use case ──read(query)──────────────────────► one of a few reading connections, never waiting ──────┘
//! ```
//!
//! A change is a function over the open transaction: it writes rows and postings together or not at all.
//! Changes that arrive while a commit is under way are committed together by the next one, so that the
//! cost of `fsync` is shared; each still stands alone (a savepoint), and none is answered before it is on
//! the disk.

mod access;
mod accounts;
mod audit;
mod compaction;
mod connections;
mod faucet;
mod history;
mod holding;
mod holds;
mod identity;
mod invoices;
mod names;
mod open;
mod owners;
mod payments;
mod readers;
mod receipts;
mod requests;
mod room;
mod sql;
mod totals;
mod writer;

use std::path::Path;
use std::sync::Arc;

use ledger::{Ledger, LedgerTx, OpenError, PostError, View};
use rusqlite_migration::{M, Migrations};

pub use access::Access;
pub use audit::AuditError;
pub use connections::Connection;
pub use history::{Filter, Item};
pub use holds::HoldUntil;
pub use identity::Identity;
pub use invoices::{AskedBy, Invoice, InvoiceState, NewInvoice};
pub use open::OpenCounts;
pub use payments::{NewPayment, Payment, PaymentEvent, PaymentState, Step};
pub use requests::{LateAnswer, RequestEvent, Scheme};

pub(crate) use access::register;
pub(crate) use faucet::fill;
pub(crate) use identity::{claim, is_blank, read as identity};
pub(crate) use payments::HoldError;
pub(crate) use room::{bound, used_bytes};

use readers::Readers;
use writer::Writer;
pub use writer::{Interruption, Moment};

/// Reading and writing of invoices.
pub(crate) mod invoice {
    pub(crate) use super::invoices::{
        begin_claim, by_hash, cancel, forget_dead, insert, payees_of_house, receive, sweep,
    };
}

/// Open invoices.
pub(crate) mod open_invoice {
    pub(crate) use super::open::{
        Heap, Measure, Pool, bytes, counts, expire_oldest, heap, heaps, in_pool, most, oldest_at, weigh,
    };
}

/// How many accounts there are, and those that may go.
pub(crate) mod account {
    pub(crate) use super::accounts::{Size, close, count_from, emptied, holds, size};
}

/// Reading and writing of connections.
pub(crate) mod connection {
    pub(crate) use super::connections::{
        are_of_house, by_id, forget_ended, insert, living, of_owner, revoke, spent,
    };
    pub(crate) use super::owners::{Owner, counts, drop_newest, most, owner, owners, weigh};
}

/// Hold invoices.
pub(crate) mod held {
    pub(crate) use super::holds::{
        NodeIntent, accept, cancel, claim, counts, intents, locked_in_by, overdue, reveal, told,
    };
}

/// Requests that were acted on.
pub(crate) mod request {
    pub(crate) use super::requests::{
        Known, answer_newest_joined, answer_waiting, bytes, bytes_of_strangers, forget, forget_most,
        forget_of, holds_money, is_forgotten, known, record_answered, record_waiting, rows_of, waiting,
    };
}

/// The fee for holding money.
pub(crate) mod fee {
    pub(crate) use super::holding::{Round, charge};
}

/// Compaction of what is finished.
pub(crate) mod past {
    pub(crate) use super::compaction::{Bounds, Size, forgotten_until, is_due, is_past, size, squeeze, step};
}

/// Sums and counts.
pub(crate) mod total {
    pub(crate) use super::totals::{
        accounts_to_come, coming_in, in_flight, on_the_way, open_invoices, open_unfunded, owed,
    };
}

/// Reading and writing of payments.
pub(crate) mod payment {
    pub(crate) use super::payments::{
        dispatch, fail, hold, in_flight, is_suspended, live_by_hash, release_undispatched, reload,
        sent_by_hash, settle_external, settle_internal, suspend,
    };
}

/// Reading and writing of names.
pub(crate) mod name {
    pub(crate) use super::names::{choose, counts, key_of, name_of};
}

/// Reading and writing of zap receipts.
pub(crate) mod receipt {
    pub(crate) use super::receipts::{Waiting, begun, due, next_due, postponed, tried, waiting};
}

/// Reading of both.
pub(crate) mod transaction {
    pub(crate) use super::history::{list, lookup};
}

/// The file's tables in the order in which they were introduced. A later step of either kind is appended.
fn migrations() -> Migrations<'static> {
    Migrations::new(vec![
        M::up(ledger::SCHEMA_V1),
        M::up(include_str!("store/schema_v1.sql")),
        M::up(include_str!("store/schema_v2.sql")),
        // After every step that writes the table of invoices anew: it has a trigger on it.
        M::up(include_str!("store/schema_zaps.sql")),
        M::up(include_str!("store/schema_bounds.sql")),
        M::up(include_str!("store/schema_quotas.sql")),
        M::up(ledger::SCHEMA_V2),
        M::up(include_str!("store/schema_history.sql")),
        M::up(ledger::SCHEMA_V3),
        M::up(include_str!("store/schema_shares.sql")),
        M::up(include_str!("store/schema_pools.sql")),
        M::up(include_str!("store/schema_strangers.sql")),
        M::up(include_str!("store/schema_lean.sql")),
    ])
}

/// The wallet's file, opened. When it is dropped, what was queued is written first.
#[derive(Debug)]
pub struct Store {
    writer: Writer,
    readers: Readers,
}

/// The store could not do what it was asked; a fault of the machine or of this program, never of a
/// request.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the wallet's database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The ledger refused a posting that should have been right.
    #[error("the ledger refused a posting")]
    Post(#[source] PostError),
    /// The commit failed; whether it is on the disk is not known until the file is opened again.
    #[error("the commit failed")]
    InDoubt,
    /// The file has reached its bound; nothing was written.
    #[error("the wallet's file is full")]
    Full,
    /// Another process holds the file; nothing was written.
    #[error("the wallet's database is locked by another process")]
    Locked,
    /// The writer stopped after a failed commit, or is shutting down.
    #[error("the wallet's database is closed for writing")]
    Stopped,
    /// A row says what it cannot say.
    #[error("the wallet's database is inconsistent: {0}")]
    Inconsistent(&'static str),
}

impl Store {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_interrupted(path, None)
    }

    /// The same, for tests that end the program at chosen moments.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_interrupted(
        path: &Path,
        interruption: Option<Arc<dyn Interruption>>,
    ) -> Result<Self, OpenError> {
        let ledger = Ledger::open_with(path, &migrations())?;
        let readers = Readers::open(path)?;
        Ok(Self { writer: Writer::start(ledger, interruption), readers })
    }

    /// Runs `change` in a transaction on the writer's thread and waits until it is on the disk. If it
    /// fails, nothing of it is written.
    ///
    /// # Errors
    /// Those of `change`, and [`StoreError`]s of the commit.
    pub(crate) fn write<T, E>(
        &self,
        change: impl FnOnce(&LedgerTx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<rusqlite::Error> + From<StoreError> + Send + 'static,
    {
        self.writer.run(change)
    }

    /// Runs `query` on one consistent snapshot of what is on the disk.
    ///
    /// # Errors
    /// Those of `query`, and SQLite's.
    pub(crate) fn read<T, E: From<rusqlite::Error>>(
        &self,
        query: impl FnOnce(View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.readers.run(query)
    }

    /// Recomputes everything that the file promises; see [`AuditError`]. Reads the whole file.
    ///
    /// # Errors
    /// [`AuditError`], naming the first promise that does not hold.
    pub fn audit(&self) -> Result<(), AuditError> {
        self.read(audit::audit)
    }

    /// The balance of an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn balance(&self, account: ledger::Account) -> Result<units::Msat, StoreError> {
        self.read(|view| view.balance(account).map_err(StoreError::from))
    }

    /// True once the writer has stopped: every further change fails, and the process should end so that
    /// a restart opens the file afresh.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.writer.is_stopped()
    }

    /// Waits until [`Self::is_stopped`].
    pub async fn stopped(&self) {
        self.writer.stopped().await;
    }
}

impl StoreError {
    /// True if the same change fails in the same way however often it is tried: what it is about is wrong, not
    /// the machine.
    pub(crate) const fn is_lasting(&self) -> bool {
        match self {
            Self::Post(PostError::Sqlite(_)) => false,
            Self::Inconsistent(_) | Self::Post(_) => true,
            Self::Sqlite(_) | Self::InDoubt | Self::Full | Self::Locked | Self::Stopped => false,
        }
    }
}

impl From<PostError> for StoreError {
    fn from(error: PostError) -> Self {
        Self::Post(error)
    }
}

#[cfg(test)]
mod tests;

//! Writing: the one connection that posts.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use rusqlite_migration::{M, Migrations};
use units::Msat;

use crate::compaction::{self, CARRIED};
use crate::connection::{OpenError, open_writer};
use crate::transaction::{InvalidTransaction, NewTransaction, Posting};
use crate::view::{TransactionId, View};
use crate::{Account, Class, SCHEMA_V1, SCHEMA_V2, SCHEMA_V3};

/// The books, opened for writing. There is one of these per file.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
}

/// A group of changes that become durable in one commit. Dropped without [`Batch::commit`], it leaves
/// nothing behind.
#[derive(Debug)]
pub struct Batch<'l> {
    transaction: Transaction<'l>,
}

/// A SQLite transaction in which postings and rows of other tables are written together.
#[derive(Clone, Copy, Debug)]
pub struct LedgerTx<'t> {
    connection: &'t Connection,
}

/// A place to go back to. Those of a change and of its parts have names of their own, so that going back from one never
/// ends at the other's.
struct Savepoint {
    begin: &'static str,
    undo: &'static str,
    end: &'static str,
}

const CHANGE: Savepoint =
    Savepoint { begin: "SAVEPOINT change", undo: "ROLLBACK TO change", end: "RELEASE change" };
const ATTEMPT: Savepoint =
    Savepoint { begin: "SAVEPOINT attempt", undo: "ROLLBACK TO attempt", end: "RELEASE attempt" };

/// Whether a transaction was posted now or before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Posted {
    /// Posted by this call.
    New(TransactionId),
    /// The same transaction (key, kind, memo and postings) had been posted before; nothing changed.
    Already(TransactionId),
}

/// Why a transaction was not posted. Nothing of it is in the books.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// It could never be posted.
    #[error("the transaction is not valid")]
    Invalid(#[from] InvalidTransaction),
    /// The key belongs to another transaction.
    #[error("the key {key:?} is already used by another transaction")]
    KeyReused {
        /// The key.
        key: String,
    },
    /// A liability would fall below zero.
    #[error("the balance of {account} is {balance}, which does not cover {needed}")]
    Insufficient {
        /// The account.
        account: Account,
        /// What it has.
        balance: Msat,
        /// What was to be taken from it.
        needed: Msat,
    },
    /// A balance would leave the range of an amount.
    #[error("the balance of {account} would be out of range")]
    Overflow {
        /// The account.
        account: Account,
    },
    /// The database failed.
    #[error("the books cannot be written")]
    Sqlite(#[from] rusqlite::Error),
}

impl Ledger {
    /// Opens or creates the books at `path`. `migrations` is the whole schema of the file: [`SCHEMA_V1`],
    /// [`SCHEMA_V2`], [`SCHEMA_V3`] and the tables of the embedding program.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(path: &Path, migrations: &Migrations<'_>) -> Result<Self, OpenError> {
        Ok(Self { connection: open_writer(path, migrations)? })
    }

    /// Opens or creates books that share their file with nothing else.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, &Migrations::new([SCHEMA_V1, SCHEMA_V2, SCHEMA_V3].map(M::up).to_vec()))
    }

    /// Starts a group of changes that are committed together, so that they share the cost of one
    /// `fsync`.
    ///
    /// # Errors
    /// SQLite's, if the write lock cannot be had.
    pub fn batch(&mut self) -> rusqlite::Result<Batch<'_>> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Batch { transaction })
    }

    /// Runs `change` and commits what it wrote; if it fails, nothing is written.
    ///
    /// # Errors
    /// Those of `change`, and SQLite's.
    pub fn transaction<T, E: From<rusqlite::Error>>(
        &mut self,
        change: impl FnOnce(&LedgerTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let batch = self.batch()?;
        let value = change(&LedgerTx { connection: &batch.transaction })?;
        batch.commit()?;
        Ok(value)
    }

    /// Posts one transaction by itself.
    ///
    /// # Errors
    /// [`PostError`].
    pub fn post(&mut self, transaction: &NewTransaction) -> Result<Posted, PostError> {
        self.transaction(|tx| tx.post(transaction))
    }

    /// Reads through the writing connection.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View::of(&self.connection)
    }
}

impl Batch<'_> {
    /// Runs one change of the group. If it fails, what it wrote is undone and the rest of the group
    /// stays.
    ///
    /// # Errors
    /// Those of `change`, and SQLite's.
    pub fn apply<T, E: From<rusqlite::Error>>(
        &mut self,
        change: impl FnOnce(&LedgerTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        LedgerTx { connection: &self.transaction }.within(&CHANGE, change)
    }

    /// True if SQLite gave up the whole transaction, as it may when a statement finds the file full: nothing
    /// of the group is or will be on the disk, and nothing more may be written through it.
    #[must_use]
    pub fn is_undone(&self) -> bool {
        self.transaction.is_autocommit()
    }

    /// Makes the group durable.
    ///
    /// # Errors
    /// SQLite's. Whether the group is on the disk is then unknown until the file is opened again.
    pub fn commit(self) -> rusqlite::Result<()> {
        self.transaction.commit()
    }
}

impl<'t> LedgerTx<'t> {
    /// The connection inside this transaction, for the embedding program's own tables. It must not
    /// begin, commit or roll back.
    #[must_use]
    pub const fn sql(&self) -> &'t Connection {
        self.connection
    }

    /// Runs a part of the transaction. If it fails, what it wrote is undone and the rest goes on.
    ///
    /// # Errors
    /// Those of `part`, and SQLite's.
    pub fn attempt<T, E: From<rusqlite::Error>>(
        &self,
        part: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.within(&ATTEMPT, part)
    }

    fn within<T, E: From<rusqlite::Error>>(
        &self,
        savepoint: &Savepoint,
        part: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let run = |sql: &str| self.connection.prepare_cached(sql)?.execute([]).map(drop);
        run(savepoint.begin)?;
        let outcome = part(self).and_then(|value| {
            run(savepoint.end)?;
            Ok(value)
        });
        // If the whole transaction is gone, so is the savepoint; the part's own error says why.
        if outcome.is_err() && !self.connection.is_autocommit() {
            run(savepoint.undo)?;
            run(savepoint.end)?;
        }
        outcome
    }

    /// Reads, including what this transaction wrote.
    #[must_use]
    pub const fn view(&self) -> View<'t> {
        View::of(self.connection)
    }

    /// Posts a transaction, unless the same one had been posted before.
    ///
    /// # Errors
    /// [`PostError`]; then nothing was posted.
    pub fn post(&self, transaction: &NewTransaction) -> Result<Posted, PostError> {
        transaction.check()?;
        if let Some(id) = self.posted_before(transaction)? {
            return Ok(Posted::Already(id));
        }
        // All checks before the first write, so that a refusal leaves nothing even if the caller goes on.
        let lines =
            transaction.postings.iter().map(|posting| self.line(posting)).collect::<Result<Vec<_>, _>>()?;
        let id = self.insert_transaction(transaction)?;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO ledger_posting (transaction_id, account_id, amount_msat, balance_after_msat)
             VALUES (?1, ?2, ?3, ?4)",
        )?;
        for line in lines {
            let account_id = match line.account_id {
                Some(account_id) => account_id,
                None => self.insert_account(line.account)?,
            };
            insert.execute(params![id, account_id, line.amount.msat(), line.balance_after.msat()])?;
        }
        Ok(Posted::New(TransactionId(id)))
    }

    fn posted_before(&self, transaction: &NewTransaction) -> Result<Option<TransactionId>, PostError> {
        let found: Option<(i64, String, String)> = self
            .connection
            .prepare_cached("SELECT id, kind, memo FROM ledger_transaction WHERE key = ?1")?
            .query_row([&transaction.key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let reused = || PostError::KeyReused { key: transaction.key.clone() };
        let Some((id, kind, memo)) = found else {
            let Some(digest) = compaction::carried(self.view(), &transaction.key)? else { return Ok(None) };
            let is_same = compaction::digest_of_new(transaction) == digest;
            return if is_same { Ok(Some(CARRIED)) } else { Err(reused()) };
        };
        let id = TransactionId(id);
        let mut wanted = transaction.postings.clone();
        wanted.sort_unstable();
        let mut postings = self.view().postings(id)?;
        postings.sort_unstable();
        if kind == transaction.kind && memo == transaction.memo && postings == wanted {
            Ok(Some(id))
        } else {
            Err(reused())
        }
    }

    /// Works out the balance after a posting and refuses one that is not allowed.
    fn line(&self, posting: &Posting) -> Result<Line, PostError> {
        let Posting { account, amount } = *posting;
        let found: Option<(i64, i64)> = self
            .connection
            .prepare_cached("SELECT id, balance_msat FROM ledger_account WHERE key = ?1")?
            .query_row([account.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let balance = Msat::new(found.map_or(0, |(_, balance)| balance));
        let balance_after = balance.plus(amount).map_err(|_| PostError::Overflow { account })?;
        // Also when money is added: a balance below zero is a fault that must not be covered up.
        if account.class() == Class::Liability && balance_after.is_negative() {
            let needed = amount.negated().map_err(|_| PostError::Overflow { account })?;
            return Err(PostError::Insufficient { account, balance, needed });
        }
        Ok(Line { account, account_id: found.map(|(id, _)| id), amount, balance_after })
    }

    fn insert_account(&self, account: Account) -> Result<i64, PostError> {
        self.connection
            .prepare_cached("INSERT INTO ledger_account (key, class, balance_msat) VALUES (?1, ?2, 0)")?
            .insert(params![account.to_string(), account.class().as_str()])
            .map_err(PostError::from)
    }

    fn insert_transaction(&self, transaction: &NewTransaction) -> Result<i64, PostError> {
        let posted_at = i64::try_from(transaction.at.0).map_err(|_| InvalidTransaction::Time)?;
        let missing = i64::try_from(transaction.postings.len()).map_err(|_| InvalidTransaction::Postings)?;
        self.connection
            .prepare_cached(
                "INSERT INTO ledger_transaction (key, kind, memo, posted_at, missing)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .insert(params![transaction.key, transaction.kind, transaction.memo, posted_at, missing])
            .map_err(PostError::from)
    }
}

/// A posting that is ready to be written.
struct Line {
    account: Account,
    /// None for an account that this posting is the first of.
    account_id: Option<i64>,
    amount: Msat,
    balance_after: Msat,
}

#[cfg(test)]
mod tests;

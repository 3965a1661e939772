//! Reading: balances, statements, transactions.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use units::{Msat, UnixSecs};

use crate::transaction::{NewTransaction, Posting};
use crate::{Account, compaction};

/// The most entries that one call of [`View::statement`] returns: a page, not the whole history.
pub const STATEMENT_ENTRIES_MAX: u32 = 1_000;

/// The number of a posted transaction. Later ones are larger.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TransactionId(pub(crate) i64);

/// One line of an account's statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The transaction; an account appears in it once. Also the cursor of [`View::statement`].
    pub transaction: TransactionId,
    /// The transaction's idempotency key.
    pub key: String,
    /// What it was.
    pub kind: String,
    /// For a person.
    pub memo: String,
    /// When it was posted.
    pub posted_at: UnixSecs,
    /// What it changed.
    pub amount: Msat,
    /// The account's balance after it.
    pub balance_after: Msat,
}

/// The books as a connection sees them at this moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'c> {
    connection: &'c Connection,
}

impl<'c> View<'c> {
    pub(crate) const fn of(connection: &'c Connection) -> Self {
        Self { connection }
    }

    /// The connection, for the embedding program's own tables.
    #[must_use]
    pub const fn sql(&self) -> &'c Connection {
        self.connection
    }

    /// The balance of `account`; zero for one that nothing was ever posted to.
    ///
    /// # Errors
    /// SQLite's.
    pub fn balance(&self, account: Account) -> rusqlite::Result<Msat> {
        let balance = self
            .connection
            .prepare_cached("SELECT balance_msat FROM ledger_account WHERE key = ?1")?
            .query_row([account.to_string()], |row| row.get(0))
            .optional()?;
        Ok(Msat::new(balance.unwrap_or(0)))
    }

    /// True if something was ever posted to `account`.
    ///
    /// # Errors
    /// SQLite's.
    pub fn exists(&self, account: Account) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT 1 FROM ledger_account WHERE key = ?1")?
            .exists([account.to_string()])
    }

    /// All accounts with their balances, in the order in which they were first used.
    ///
    /// # Errors
    /// SQLite's, and for a key that this release does not know.
    pub fn balances(&self) -> rusqlite::Result<Vec<(Account, Msat)>> {
        self.connection
            .prepare_cached("SELECT key, balance_msat FROM ledger_account ORDER BY id")?
            .query_map([], |row| Ok((account_at(row, 0)?, Msat::new(row.get(1)?))))?
            .collect()
    }

    /// The sum of all balances: zero, or the books are broken.
    ///
    /// # Errors
    /// SQLite's, and if the sum leaves the range of an amount.
    pub fn sum(&self) -> rusqlite::Result<Msat> {
        self.connection
            .query_row("SELECT coalesce(sum(balance_msat), 0) FROM ledger_account", [], |row| row.get(0))
            .map(Msat::new)
    }

    /// What happened on `account`, newest first: at most `limit` entries (and never more than
    /// [`STATEMENT_ENTRIES_MAX`]), from before the entry `before` if given.
    ///
    /// # Errors
    /// SQLite's.
    pub fn statement(
        &self,
        account: Account,
        before: Option<TransactionId>,
        limit: u32,
    ) -> rusqlite::Result<Vec<Entry>> {
        let before = before.map_or(i64::MAX, |id| id.0);
        self.connection
            .prepare_cached(
                "SELECT t.id, t.key, t.kind, t.memo, t.posted_at, p.amount_msat, p.balance_after_msat
                 FROM ledger_posting p JOIN ledger_transaction t ON t.id = p.transaction_id
                 WHERE p.account_id = (SELECT id FROM ledger_account WHERE key = ?1) AND p.transaction_id < ?2
                 ORDER BY p.transaction_id DESC LIMIT ?3",
            )?
            .query_map(params![account.to_string(), before, limit.min(STATEMENT_ENTRIES_MAX)], entry)?
            .collect()
    }

    /// The postings of a transaction.
    ///
    /// # Errors
    /// SQLite's, and for a key that this release does not know.
    pub fn postings(&self, transaction: TransactionId) -> rusqlite::Result<Vec<Posting>> {
        self.connection
            .prepare_cached(
                "SELECT a.key, p.amount_msat FROM ledger_posting p JOIN ledger_account a ON a.id = p.account_id
                 WHERE p.transaction_id = ?1",
            )?
            .query_map([transaction.0], |row| {
                Ok(Posting { account: account_at(row, 0)?, amount: Msat::new(row.get(1)?) })
            })?
            .collect()
    }

    /// How many transactions the journal has, without what was carried forward.
    ///
    /// # Errors
    /// SQLite's.
    pub fn transactions(&self) -> rusqlite::Result<u64> {
        compaction::transactions(*self)
    }

    /// Keys of transactions that went, which are kept for as long as they matter: in order, the first so many behind
    /// `after`. There may be more than memory should hold.
    ///
    /// # Errors
    /// SQLite's.
    pub fn carried_keys(&self, after: &str, count: u32) -> rusqlite::Result<Vec<String>> {
        self.connection
            .prepare_cached("SELECT key FROM ledger_carried WHERE key > ?1 ORDER BY key LIMIT ?2")?
            .query_map(params![after, count], |row| row.get(0))?
            .collect()
    }

    /// Whether a transaction with this one's key went that said something else, whenever it was posted.
    ///
    /// # Errors
    /// SQLite's.
    pub fn was_carried_otherwise(&self, transaction: &NewTransaction) -> rusqlite::Result<bool> {
        let kept = compaction::carried(*self, &transaction.key)?;
        Ok(kept.is_some_and(|digest| digest != compaction::digest_of_new(transaction)))
    }

    /// The transaction with this idempotency key, if it was posted and is still in the journal.
    ///
    /// # Errors
    /// SQLite's.
    pub fn transaction(&self, key: &str) -> rusqlite::Result<Option<TransactionId>> {
        self.connection
            .prepare_cached("SELECT id FROM ledger_transaction WHERE key = ?1")?
            .query_row([key], |row| row.get(0).map(TransactionId))
            .optional()
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let posted_at: i64 = row.get(4)?;
    Ok(Entry {
        transaction: TransactionId(row.get(0)?),
        key: row.get(1)?,
        kind: row.get(2)?,
        memo: row.get(3)?,
        posted_at: UnixSecs(posted_at.unsigned_abs()),
        amount: Msat::new(row.get(5)?),
        balance_after: Msat::new(row.get(6)?),
    })
}

fn account_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Account> {
    let key: String = row.get(column)?;
    key.parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

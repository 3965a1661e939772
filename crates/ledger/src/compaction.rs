//! Compaction: the oldest transactions are replaced by what they add up to.
//!
//! ```text
//!  before   │ 1  2  3  4  5 │ 6  7  8 …        balances, their sum and every later
//!  after    │       0       │ 6  7  8 …        `balance_after` are the same
//! ```
//!
//! Only a beginning of the journal can go, because every posting continues the balance of the one before it.
//! The keys of transactions whose repetition still matters stay behind as a small fact each.

use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::transaction::{NewTransaction, Posting};
use crate::view::{TransactionId, View};
use crate::{Account, BooksBroken, LedgerTx};

/// The number of the transaction that carries forward: before every other.
pub(crate) const CARRIED: TransactionId = TransactionId(0);
/// Its key and its kind.
const CARRIED_KEY: &str = "carried-forward";
const CARRIED_KIND: &str = "carried_forward";

/// Why a step of the compaction was not made. The caller must abandon its change.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The books were broken before, or the step would break them.
    #[error("the books do not add up")]
    Books(#[from] BooksBroken),
    /// The database failed.
    #[error("the books cannot be compacted")]
    Sqlite(#[from] rusqlite::Error),
}

/// A permission to compact, for one change. Ends with [`Compaction::end`]; without it, nothing commits.
#[derive(Debug)]
pub struct Compaction<'t, 'x> {
    tx: &'x LedgerTx<'t>,
}

impl<'t> LedgerTx<'t> {
    /// Begins to compact. Rows of the embedding program may be protected by the same mark: it is in the table
    /// `ledger_compacting` while this lasts.
    ///
    /// # Errors
    /// SQLite's.
    pub fn begin_compaction<'x>(&'x self) -> rusqlite::Result<Compaction<'t, 'x>> {
        self.sql()
            .prepare_cached("INSERT INTO ledger_compacting (one, through) VALUES (1, 0)")?
            .execute([])?;
        Ok(Compaction { tx: self })
    }
}

impl Compaction<'_, '_> {
    /// Carries the oldest transactions forward, at most `limit`, and never one of the newest `kept` (at least
    /// one always stays). Asks of each key whether a repetition still matters. Returns how many went.
    ///
    /// # Errors
    /// [`CompactError`].
    pub fn carry_forward(
        &self,
        limit: u32,
        kept: u32,
        matters: impl Fn(&str) -> rusqlite::Result<bool>,
    ) -> Result<u32, CompactError> {
        let sql = self.tx.sql();
        let excess = transactions(self.tx.view())?.saturating_sub(u64::from(kept.max(1)));
        let limit = limit.min(u32::try_from(excess).unwrap_or(u32::MAX));
        let going: Vec<(i64, String, i64)> = sql
            .prepare_cached(
                "SELECT id, key, posted_at FROM ledger_transaction WHERE id > 0 ORDER BY id LIMIT ?1",
            )?
            .query_map([limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let Some((through, _, posted_at)) = going.last() else { return Ok(0) };
        let mut kept_keys = Vec::new();
        for (id, key, _) in &going {
            if matters(key)? {
                kept_keys.push((key, digest_of(self.tx.view(), TransactionId(*id))?));
            }
        }
        self.allow_through(*through)?;
        let sums: Vec<(i64, i64)> = sql
            .prepare_cached(
                "SELECT account_id, sum(amount_msat) FROM ledger_posting
                 WHERE transaction_id BETWEEN 1 AND ?1 GROUP BY account_id",
            )?
            .query_map([through], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        sql.prepare_cached("DELETE FROM ledger_posting WHERE transaction_id BETWEEN 1 AND ?1")?
            .execute([through])?;
        sql.prepare_cached("DELETE FROM ledger_transaction WHERE id BETWEEN 1 AND ?1")?.execute([through])?;
        sql.prepare_cached(
            "INSERT INTO ledger_transaction (id, key, kind, memo, posted_at, missing) VALUES (0, ?1, ?2, '', ?3, 0)
             ON CONFLICT (id) DO UPDATE SET posted_at = excluded.posted_at",
        )?
        .execute(params![CARRIED_KEY, CARRIED_KIND, posted_at])?;
        // After what goes: in a file that is full, this is written where that was.
        for (key, digest) in kept_keys {
            sql.prepare_cached("INSERT INTO ledger_carried (key, digest) VALUES (?1, ?2)")?
                .execute(params![key, digest])?;
        }
        for (account, sum) in sums {
            self.carry(account, sum)?;
        }
        self.check()?;
        self.allow_through(0)?;
        Ok(u32::try_from(going.len()).unwrap_or(u32::MAX))
    }

    /// Forgets the keys that begin with `prefix` and a slash, except one: nothing that could repeat them is left.
    ///
    /// # Errors
    /// SQLite's.
    pub fn forget_keys(&self, prefix: &str, except: Option<&str>) -> rusqlite::Result<()> {
        // The character after the slash ends the range.
        let (first, end) = (format!("{prefix}/"), format!("{prefix}0"));
        self.tx
            .sql()
            .prepare_cached("DELETE FROM ledger_carried WHERE key >= ?1 AND key < ?2 AND key IS NOT ?3")?
            .execute(params![first, end, except])
            .map(drop)
    }

    /// Forgets one key.
    ///
    /// # Errors
    /// SQLite's.
    pub fn forget_key(&self, key: &str) -> rusqlite::Result<()> {
        self.tx.sql().prepare_cached("DELETE FROM ledger_carried WHERE key = ?1")?.execute([key]).map(drop)
    }

    /// Deletes a user's account that is empty, that no posting names any more and that is not the newest one. True
    /// if it went. Paid again, its key has an account under a number that was never used.
    ///
    /// # Errors
    /// SQLite's.
    pub fn forget_account(&self, account: Account) -> rusqlite::Result<bool> {
        if !matches!(account, Account::User(_)) {
            return Ok(false);
        }
        let gone = self
            .tx
            .sql()
            .prepare_cached(
                "DELETE FROM ledger_account WHERE key = ?1 AND balance_msat = 0
                     AND id < (SELECT max(id) FROM ledger_account)
                     AND NOT EXISTS (SELECT 1 FROM ledger_posting WHERE account_id = ledger_account.id)",
            )?
            .execute([account.to_string()])?;
        Ok(gone == 1)
    }

    /// Ends the permission.
    ///
    /// # Errors
    /// SQLite's.
    pub fn end(self) -> rusqlite::Result<()> {
        self.tx.sql().prepare_cached("DELETE FROM ledger_compacting")?.execute([]).map(drop)
    }

    fn allow_through(&self, through: i64) -> rusqlite::Result<()> {
        self.tx
            .sql()
            .prepare_cached("UPDATE ledger_compacting SET through = ?1")?
            .execute([through])
            .map(drop)
    }

    /// Adds to what is carried forward of an account, and sees that what follows continues it.
    fn carry(&self, account: i64, sum: i64) -> Result<(), CompactError> {
        let sql = self.tx.sql();
        let before: Option<i64> = sql
            .prepare_cached(
                "SELECT amount_msat FROM ledger_posting WHERE transaction_id = 0 AND account_id = ?1",
            )?
            .query_row([account], |row| row.get(0))
            .optional()?;
        let (key, follows): (String, i64) = sql
            .prepare_cached(
                "SELECT key, coalesce((SELECT balance_after_msat - amount_msat FROM ledger_posting
                     WHERE account_id = ?1 AND transaction_id > 0 ORDER BY transaction_id LIMIT 1), balance_msat)
                 FROM ledger_account WHERE id = ?1",
            )?
            .query_row([account], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let carried = before.unwrap_or(0).checked_add(sum).filter(|carried| *carried == follows);
        let carried = carried.ok_or(BooksBroken::Chain { key })?;
        if carried == 0 {
            sql.prepare_cached("DELETE FROM ledger_posting WHERE transaction_id = 0 AND account_id = ?1")?
                .execute([account])?;
        } else {
            sql.prepare_cached(
                "INSERT INTO ledger_posting (transaction_id, account_id, amount_msat, balance_after_msat)
                 VALUES (0, ?1, ?2, ?2)
                 ON CONFLICT (transaction_id, account_id) DO UPDATE
                     SET amount_msat = excluded.amount_msat, balance_after_msat = excluded.balance_after_msat",
            )?
            .execute([account, carried])?;
        }
        Ok(())
    }

    /// What is carried forward balances; where nothing is, there is no transaction for it.
    fn check(&self) -> Result<(), CompactError> {
        let sql = self.tx.sql();
        let (sum, count): (i64, i64) = sql
            .prepare_cached(
                "SELECT coalesce(sum(amount_msat), 0), count(*) FROM ledger_posting WHERE transaction_id = 0",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if sum != 0 {
            return Err(BooksBroken::Transaction { key: CARRIED_KEY.to_owned() }.into());
        }
        if count == 0 {
            sql.prepare_cached("DELETE FROM ledger_transaction WHERE id = 0")?.execute([])?;
        }
        Ok(())
    }
}

/// How many transactions there are, without what is carried forward. Numbers follow each other, and only a
/// beginning of them ever goes.
pub(crate) fn transactions(view: View<'_>) -> rusqlite::Result<u64> {
    view.sql()
        .prepare_cached(
            "SELECT coalesce((SELECT max(id) FROM ledger_transaction WHERE id > 0)
                - (SELECT min(id) FROM ledger_transaction WHERE id > 0) + 1, 0)",
        )?
        .query_row([], |row| row.get(0))
}

/// The digest of a transaction that went, if its key was kept.
pub(crate) fn carried(view: View<'_>, key: &str) -> rusqlite::Result<Option<[u8; 32]>> {
    view.sql()
        .prepare_cached("SELECT digest FROM ledger_carried WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// The digest of what a transaction says. `postings` in order.
fn digest(kind: &str, memo: &str, postings: &[Posting]) -> [u8; 32] {
    let mut hash = Sha256::new();
    // Neither can hold a line's end.
    hash.update(format!("{kind}\n{memo}\n"));
    for Posting { account, amount } in postings {
        hash.update(format!("{account} {}\n", amount.msat()));
    }
    hash.finalize().into()
}

/// The digest of what a transaction would say.
pub(crate) fn digest_of_new(transaction: &NewTransaction) -> [u8; 32] {
    let mut postings = transaction.postings.clone();
    postings.sort_unstable();
    digest(transaction.kind, &transaction.memo, &postings)
}

fn digest_of(view: View<'_>, id: TransactionId) -> rusqlite::Result<[u8; 32]> {
    let (kind, memo): (String, String) = view
        .sql()
        .prepare_cached("SELECT kind, memo FROM ledger_transaction WHERE id = ?1")?
        .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut postings = view.postings(id)?;
    postings.sort_unstable();
    Ok(digest(&kind, &memo, &postings))
}

#[cfg(test)]
mod tests;

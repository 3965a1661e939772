//! Accounts: how many there are, and which may go.
//!
//! Keys cost nothing, and the same money may pass through any number of them: an account that is empty, and of which
//! neither the journal nor the history knows anything any more, is deleted, with the note that it had a history.
//! Paid again, its key opens a wallet as any other does.

use ledger::{Account, LedgerTx, View};
use nostr::key::PublicKey;
use rusqlite::params;
use units::Msat;

use super::StoreError;

/// How many accounts there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Size {
    /// All, the house's few included.
    pub(crate) total: u32,
    /// Of users that hold at least what [`count_from`] named.
    pub(crate) holding: u32,
    /// Of users that hold less than that, but not nothing.
    pub(crate) dust: u32,
}

/// Accounts that may go, and where to look on.
#[derive(Debug)]
pub(crate) struct Emptied {
    pub(crate) accounts: Vec<Account>,
    /// After which number to go on; none at the end.
    pub(crate) next: Option<i64>,
}

pub(crate) fn size(view: View<'_>) -> rusqlite::Result<Size> {
    view.sql()
        .prepare_cached("SELECT total, holding, dust FROM accounts_size")?
        .query_row([], |row| Ok(Size { total: row.get(0)?, holding: row.get(1)?, dust: row.get(2)? }))
}

/// What a key holds, with what is on hold for its payments: that is its own until it is gone.
pub(crate) fn holds(view: View<'_>, key: &PublicKey) -> rusqlite::Result<Msat> {
    let on_hold: i64 = view
        .sql()
        .prepare_cached(
            "SELECT coalesce(sum(amount_msat + reserve_msat + service_fee_msat), 0) FROM payment
             WHERE payer = ?1 AND state IN ('held', 'dispatched')",
        )?
        .query_row([key.as_bytes()], |row| row.get(0))?;
    let balance = view.balance(Account::User(key.to_bytes()))?;
    Ok(Msat::new(balance.msat().saturating_add(on_hold)))
}

/// Says from which balance on a wallet counts as one that holds money.
pub(crate) fn count_from(tx: &LedgerTx<'_>, least: Msat) -> rusqlite::Result<()> {
    let sql = tx.sql();
    let changed = sql
        .prepare_cached(
            "UPDATE accounts_size SET least_msat = ?1,
                 holding = (SELECT count(*) FROM ledger_account WHERE key LIKE 'user:%' AND balance_msat >= ?1),
                 dust = (SELECT count(*) FROM ledger_account
                         WHERE key LIKE 'user:%' AND balance_msat > 0 AND balance_msat < ?1)
             WHERE least_msat <> ?1",
        )?
        .execute([least.msat()])?;
    if changed > 0 {
        sql.prepare_cached(
            "UPDATE history_of SET stranger = NOT EXISTS (SELECT 1 FROM ledger_account
                 WHERE key = 'user:' || lower(hex(pubkey)) AND balance_msat >= ?1)",
        )?
        .execute([least.msat()])?;
    }
    Ok(())
}

/// Looks through `limit` accounts after this number for those that may go; does not need the writer.
pub(crate) fn emptied(view: View<'_>, after: i64, limit: u32) -> rusqlite::Result<Emptied> {
    let seen: Vec<(i64, String, bool)> = view
        .sql()
        .prepare_cached(
            "SELECT id, key, balance_msat = 0 AND key LIKE 'user:%'
                 AND NOT EXISTS (SELECT 1 FROM ledger_posting WHERE account_id = ledger_account.id)
             FROM ledger_account WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?
        .query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let is_last = u32::try_from(seen.len()).is_ok_and(|seen| seen < limit);
    let next = seen.last().filter(|_| !is_last).map(|(id, ..)| *id);
    let mut accounts = Vec::new();
    for (_, key, may_go) in seen {
        if let Ok(account) = key.parse::<Account>()
            && may_go
            && !is_needed(view, account)?
        {
            accounts.push(account);
        }
    }
    Ok(Emptied { accounts, next })
}

/// Deletes those of these accounts that still may go; returns how many went.
pub(crate) fn close(tx: &LedgerTx<'_>, accounts: &[Account]) -> Result<u32, StoreError> {
    let compaction = tx.begin_compaction()?;
    let mut gone = 0;
    for account in accounts {
        if is_needed(tx.view(), *account)? || !compaction.forget_account(*account)? {
            continue;
        }
        gone += 1;
        if let Account::User(key) = account {
            tx.sql()
                .prepare_cached("DELETE FROM history_of WHERE pubkey = ?1 AND items = 0")?
                .execute([key])?;
        }
    }
    compaction.end()?;
    Ok(gone)
}

/// Whether something of an account is kept, or under way.
fn is_needed(view: View<'_>, account: Account) -> rusqlite::Result<bool> {
    let Account::User(key) = account else { return Ok(true) };
    view.sql()
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM history_of WHERE pubkey = ?1 AND items > 0)
                 OR EXISTS (SELECT 1 FROM payment WHERE payer = ?1 AND state IN ('held', 'dispatched'))
                 OR EXISTS (SELECT 1 FROM invoice WHERE payee = ?1 AND state IN ('open', 'accepted', 'claiming'))
                 OR EXISTS (SELECT 1 FROM connection WHERE owner = ?1)",
        )?
        .query_row([key], |row| row.get(0))
}

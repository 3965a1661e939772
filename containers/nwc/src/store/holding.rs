//! The fee for holding money, charged once a period to every wallet that has some.
//!
//! How far a period's round came is in the file, and each charge has a key that names period and account,
//! so that a crash neither skips nor repeats one.

use ledger::{Account, LedgerTx, NewTransaction, View};
use rusqlite::{OptionalExtension, params};
use units::{Msat, UnixSecs};

use super::StoreError;

/// Accounts that are charged in one transaction: few enough that requests hardly wait.
const BATCH: u32 = 128;

/// A round of charges.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// Which period, counted from 1970.
    pub(crate) period: u64,
    /// What each wallet pays, or all that it has.
    pub(crate) fee: Msat,
    /// Who pays nothing: the house's own keys.
    pub(crate) exempt: Vec<Account>,
}

/// Charges the next wallets of a round; true once the round is done. The first round ever only notes that
/// it was there: a wallet is not charged for the time before the fee was introduced.
pub(crate) fn charge(tx: &LedgerTx<'_>, round: &Round, now: UnixSecs) -> Result<bool, StoreError> {
    let period = i64::try_from(round.period).unwrap_or(i64::MAX);
    let (last, cursor) = match number(tx.view(), "holding_period")? {
        None => {
            set(tx, "holding_period", period)?;
            set(tx, "holding_cursor", i64::MAX)?;
            return Ok(true);
        }
        Some(last) if last < period => {
            set(tx, "holding_period", period)?;
            (period, 0)
        }
        Some(last) => (last, number(tx.view(), "holding_cursor")?.unwrap_or(i64::MAX)),
    };
    let wallets: Vec<(i64, String, i64)> = tx
        .sql()
        .prepare_cached(
            "SELECT id, key, balance_msat FROM ledger_account
             WHERE id > ?1 AND class = 'liability' AND balance_msat > 0 AND key LIKE 'user:%' ORDER BY id LIMIT ?2",
        )?
        .query_map(params![cursor, BATCH], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (id, key, balance) in &wallets {
        let account: Account =
            key.parse().map_err(|_| StoreError::Inconsistent("an account has a name that is none"))?;
        if round.exempt.contains(&account) {
            continue;
        }
        let fee = round.fee.min(Msat::new(*balance));
        let from = fee.negated().map_err(|_| StoreError::Inconsistent("an amount is out of range"))?;
        let charge = NewTransaction::new(format!("holding/{last}/{id}"), "holding_fee", "", now)
            .posting(account, from)
            .posting(Account::ServiceFee, fee);
        tx.post(&charge)?;
    }
    let done = u32::try_from(wallets.len()).unwrap_or(u32::MAX) < BATCH;
    set(tx, "holding_cursor", if done { i64::MAX } else { wallets.last().map_or(i64::MAX, |last| last.0) })?;
    Ok(done)
}

fn number(view: View<'_>, name: &str) -> Result<Option<i64>, StoreError> {
    let text: Option<String> = view
        .sql()
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    let wrong = |_| StoreError::Inconsistent("a number of the holding fee's is none");
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

fn set(tx: &LedgerTx<'_>, name: &str, value: i64) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?
        .execute(params![name, value.to_string()])
        .map(drop)
}

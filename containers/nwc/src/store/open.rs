//! How many invoices are open, of whom, and which of them gives way where there are too many.

use ledger::{LedgerTx, View};
use nostr::key::PublicKey;
use rusqlite::params;
use units::{Msat, UnixSecs};

use super::invoices::AskedBy;
use super::sql::{Columns, secs};

/// How many invoices are open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OpenCounts {
    /// Of one payee, of one origin (its own, or others').
    pub of_payee: u32,
    /// Of all payees that held no money, whoever asked but the house.
    pub unfunded: u32,
    /// Of all, whoever asked but the house.
    pub total: u32,
    /// About how many bytes those take.
    pub bytes: u64,
    /// Those that the house asked for.
    pub house: u32,
}

/// Open invoices of one payee that were asked for in one way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Heap {
    pub(crate) payee: PublicKey,
    pub(crate) asked_by: AskedBy,
    pub(crate) unfunded: bool,
    pub(crate) bytes: u64,
    /// What the payee holds at this moment.
    pub(crate) balance: Msat,
}

/// Counts open invoices. The counts over all payees include those that are due to be swept.
pub(crate) fn counts(
    view: View<'_>,
    payee: &PublicKey,
    asked_by: AskedBy,
    now: UnixSecs,
) -> rusqlite::Result<OpenCounts> {
    let of_payee = view
        .sql()
        .prepare_cached(
            "SELECT count(*) FROM invoice WHERE state = 'open' AND payee = ?1 AND asked_by = ?2 AND accept_until >= ?3",
        )?
        .query_row(params![payee.as_bytes(), asked_by.as_str(), secs(now)], |row| row.get(0))?;
    view.sql()
        .prepare_cached("SELECT total - house AS total, unfunded, bytes, house FROM open_invoices")?
        .query_row([], |row| {
            Ok(OpenCounts {
                of_payee,
                unfunded: row.get("unfunded")?,
                total: row.get("total")?,
                bytes: row.get("bytes")?,
                house: row.get("house")?,
            })
        })
}

/// All heaps but the house's, or those of payees that held no money. There are no more of them than open invoices.
/// What is on hold for a payment is its payer's until it is gone.
pub(crate) fn heaps(view: View<'_>, unfunded_only: bool) -> rusqlite::Result<Vec<Heap>> {
    view.sql()
        .prepare_cached(
            "SELECT o.payee, o.asked_by, o.unfunded, o.bytes, coalesce(a.balance_msat, 0) +
                 (SELECT coalesce(sum(amount_msat + reserve_msat + service_fee_msat), 0) FROM payment
                     WHERE payer = o.payee AND state IN ('held', 'dispatched')) AS balance_msat
             FROM open_of o LEFT JOIN ledger_account a ON a.key = 'user:' || lower(hex(o.payee))
             WHERE o.unfunded OR NOT ?1",
        )?
        .query_map([unfunded_only], |row| {
            Ok(Heap {
                payee: row.pubkey("payee")?,
                asked_by: row.word("asked_by", AskedBy::from_word)?,
                unfunded: row.get("unfunded")?,
                bytes: row.get("bytes")?,
                balance: row.msat("balance_msat")?,
            })
        })?
        .collect()
}

/// Has the oldest invoice of a heap expire before its time. False if there is none.
pub(crate) fn expire_oldest(tx: &LedgerTx<'_>, heap: &Heap) -> rusqlite::Result<bool> {
    let changed = tx
        .sql()
        .prepare_cached(
            "UPDATE invoice SET state = 'expired' WHERE id =
                 (SELECT min(id) FROM invoice
                  WHERE state = 'open' AND payee = ?1 AND asked_by = ?2 AND unfunded = ?3)",
        )?
        .execute(params![heap.payee.as_bytes(), heap.asked_by.as_str(), heap.unfunded])?;
    Ok(changed == 1)
}

//! How many invoices are open, of whom, and which of them gives way where there are too many.

use ledger::{LedgerTx, View};
use nostr::key::PublicKey;
use rusqlite::{OptionalExtension, Row, params};
use units::{Msat, UnixSecs};

use super::accounts;
use super::invoices::{AskedBy, NewInvoice};
use super::sql::{Columns, secs};

/// How many invoices are open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OpenCounts {
    /// Of one payee, of one origin (its own, or others').
    pub of_payee: u32,
    /// Those that the house asked for.
    pub house: u32,
}

/// Invoices that share bounds: those asked for in one way, for payees that held money, or that did not. The house's are
/// in none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pool {
    pub(crate) asked_by: AskedBy,
    /// Whether the payees held less than a first payment must be.
    pub(crate) unfunded: bool,
}

impl Pool {
    /// The pool of an invoice.
    pub(crate) const fn of(new: &NewInvoice) -> Self {
        Self { asked_by: new.asked_by, unfunded: new.unfunded }
    }

    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self { asked_by: AskedBy::Payee, unfunded: false },
        Self { asked_by: AskedBy::Web, unfunded: false },
        Self { asked_by: AskedBy::Key, unfunded: false },
        Self { asked_by: AskedBy::Payee, unfunded: true },
        Self { asked_by: AskedBy::Web, unfunded: true },
        Self { asked_by: AskedBy::Key, unfunded: true },
    ];
}

/// How much is open.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Amount {
    /// Invoices.
    pub(crate) items: u32,
    /// About how many bytes they take.
    pub(crate) bytes: u64,
}

/// What a bound counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Measure {
    /// Invoices.
    Items,
    /// Their bytes.
    Bytes,
}

impl Amount {
    /// So much of it.
    pub(crate) const fn by(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Items => self.items as u64,
            Measure::Bytes => self.bytes,
        }
    }
}

/// Open invoices of one payee in one pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Heap {
    pub(crate) payee: PublicKey,
    pub(crate) pool: Pool,
    pub(crate) has: Amount,
    /// What its payee's money weighed when that was looked up.
    pub(crate) weight: u64,
}

impl Heap {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            payee: row.pubkey("payee")?,
            pool: Pool {
                asked_by: row.word("asked_by", AskedBy::from_word)?,
                unfunded: row.get("unfunded")?,
            },
            has: Amount { items: row.get("items")?, bytes: row.get("bytes")? },
            weight: row.get("weight")?,
        })
    }
}

/// Counts open invoices. The house's include those that are due to be swept.
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
        .prepare_cached("SELECT house FROM open_invoices")?
        .query_row([], |row| Ok(OpenCounts { of_payee, house: row.get("house")? }))
}

/// How much is in a pool, with what is due to be swept.
pub(crate) fn in_pool(view: View<'_>, pool: Pool) -> rusqlite::Result<Amount> {
    let amount = view
        .sql()
        .prepare_cached("SELECT items, bytes FROM open_pool WHERE asked_by = ?1 AND unfunded = ?2")?
        .query_row(params![pool.asked_by.as_str(), pool.unfunded], |row| {
            Ok(Amount { items: row.get(0)?, bytes: row.get(1)? })
        })
        .optional()?;
    Ok(amount.unwrap_or_default())
}

/// About how many bytes all pools take.
pub(crate) fn bytes(view: View<'_>) -> rusqlite::Result<u64> {
    view.sql()
        .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM open_pool")?
        .query_row([], |row| row.get(0))
}

/// A payee's heap in a pool.
pub(crate) fn heap(view: View<'_>, payee: &PublicKey, pool: Pool) -> rusqlite::Result<Option<Heap>> {
    view.sql()
        .prepare_cached("SELECT * FROM open_of WHERE payee = ?1 AND asked_by = ?2 AND unfunded = ?3")?
        .query_row(params![payee.as_bytes(), pool.asked_by.as_str(), pool.unfunded], Heap::from_row)
        .optional()
}

/// The heap of a pool that has most for its weight; of equals the one whose newest invoice is oldest.
pub(crate) fn most(view: View<'_>, pool: Pool, measure: Measure) -> rusqlite::Result<Option<Heap>> {
    view.sql()
        .prepare_cached(match measure {
            Measure::Items => {
                "SELECT * FROM open_of WHERE asked_by = ?1 AND unfunded = ?2
                 ORDER BY items * 65536 / weight DESC, last LIMIT 1"
            }
            Measure::Bytes => {
                "SELECT * FROM open_of WHERE asked_by = ?1 AND unfunded = ?2
                 ORDER BY bytes * 65536 / weight DESC, last LIMIT 1"
            }
        })?
        .query_row(params![pool.asked_by.as_str(), pool.unfunded], Heap::from_row)
        .optional()
}

/// All heaps of a pool with what their payees hold.
pub(crate) fn heaps(view: View<'_>, pool: Pool) -> rusqlite::Result<Vec<(Heap, Msat)>> {
    let heaps: Vec<Heap> = view
        .sql()
        .prepare_cached("SELECT * FROM open_of WHERE asked_by = ?1 AND unfunded = ?2")?
        .query_map(params![pool.asked_by.as_str(), pool.unfunded], Heap::from_row)?
        .collect::<Result<_, _>>()?;
    heaps.into_iter().map(|heap| Ok((heap, accounts::holds(view, &heap.payee)?))).collect()
}

/// Notes what the money of a heap's payee weighs.
pub(crate) fn weigh(tx: &LedgerTx<'_>, heap: &Heap, weight: u64) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "UPDATE open_of SET weight = ?4 WHERE payee = ?1 AND asked_by = ?2 AND unfunded = ?3",
        )?
        .execute(params![heap.payee.as_bytes(), heap.pool.asked_by.as_str(), heap.pool.unfunded, weight])
        .map(drop)
}

/// When the oldest invoice of a heap was made.
pub(crate) fn oldest_at(view: View<'_>, heap: &Heap) -> rusqlite::Result<Option<UnixSecs>> {
    view.sql()
        .prepare_cached(
            "SELECT created_at FROM invoice
             WHERE state = 'open' AND payee = ?1 AND asked_by = ?2 AND unfunded = ?3 ORDER BY id LIMIT 1",
        )?
        .query_row(params![heap.payee.as_bytes(), heap.pool.asked_by.as_str(), heap.pool.unfunded], |row| {
            row.secs("created_at")
        })
        .optional()
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
        .execute(params![heap.payee.as_bytes(), heap.pool.asked_by.as_str(), heap.pool.unfunded])?;
    Ok(changed == 1)
}

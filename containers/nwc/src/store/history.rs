//! One caller's transactions. Nothing here can see anybody else's: every query names the caller.

use ledger::View;
use nostr::key::PublicKey;
use protocol::nwc::PaymentHash;
use rusqlite::{OptionalExtension, params};
use units::UnixSecs;

use super::invoices::Invoice;
use super::payments::{Payment, find};
use super::sql::secs;

/// A transaction of the caller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Item {
    /// An invoice that pays the caller.
    Incoming(Invoice),
    /// A payment by the caller.
    Outgoing(Payment),
}

/// Which transactions to list.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Created at this moment or later.
    pub from: UnixSecs,
    /// Created at this moment or earlier.
    pub until: UnixSecs,
    /// At most so many.
    pub limit: u32,
    /// Leave out so many of the newest.
    pub offset: u32,
    /// Also what is not paid.
    pub unpaid: bool,
    /// Invoices.
    pub incoming: bool,
    /// Payments.
    pub outgoing: bool,
}

/// The caller's invoice or payment with this hash.
pub(crate) fn lookup(
    view: View<'_>,
    caller: &PublicKey,
    hash: PaymentHash,
) -> rusqlite::Result<Option<Item>> {
    let invoice = view
        .sql()
        .prepare_cached("SELECT * FROM invoice WHERE payment_hash = ?1 AND payee = ?2")?
        .query_row(params![hash.as_bytes(), caller.as_bytes()], Invoice::from_row)
        .optional()?;
    if let Some(invoice) = invoice {
        return Ok(Some(Item::Incoming(invoice)));
    }
    Ok(find(view, caller, hash)?.map(Item::Outgoing))
}

/// Settled transactions of a caller, by indexes that say which those are.
const SETTLED: &str = "
    SELECT 0 AS outgoing, id, created_at FROM invoice
        WHERE ?6 AND payee = ?1 AND state = 'settled' AND created_at BETWEEN ?2 AND ?3
    UNION ALL
    SELECT 1 AS outgoing, id, created_at FROM payment
        WHERE ?7 AND payer = ?1 AND state = 'settled' AND created_at BETWEEN ?2 AND ?3
    ORDER BY created_at DESC, id DESC, outgoing LIMIT ?4 OFFSET ?5";

/// All transactions of a caller.
const ALL: &str = "
    SELECT 0 AS outgoing, id, created_at FROM invoice
        WHERE ?6 AND payee = ?1 AND created_at BETWEEN ?2 AND ?3
    UNION ALL
    SELECT 1 AS outgoing, id, created_at FROM payment
        WHERE ?7 AND payer = ?1 AND created_at BETWEEN ?2 AND ?3
    ORDER BY created_at DESC, id DESC, outgoing LIMIT ?4 OFFSET ?5";

/// The caller's transactions, newest first.
pub(crate) fn list(view: View<'_>, caller: &PublicKey, filter: &Filter) -> rusqlite::Result<Vec<Item>> {
    let mut select = view.sql().prepare_cached(if filter.unpaid { ALL } else { SETTLED })?;
    let rows = select.query_map(
        params![
            caller.as_bytes(),
            secs(filter.from),
            secs(filter.until),
            filter.limit,
            filter.offset,
            filter.incoming,
            filter.outgoing
        ],
        |row| Ok((row.get("outgoing")?, row.get("id")?)),
    )?;
    rows.map(|row| row.and_then(|(outgoing, id)| load(view, outgoing, id))).collect()
}

fn load(view: View<'_>, outgoing: bool, id: i64) -> rusqlite::Result<Item> {
    if outgoing {
        let mut select = view.sql().prepare_cached("SELECT * FROM payment WHERE id = ?1")?;
        select.query_row([id], Payment::from_row).map(Item::Outgoing)
    } else {
        let mut select = view.sql().prepare_cached("SELECT * FROM invoice WHERE id = ?1")?;
        select.query_row([id], Invoice::from_row).map(Item::Incoming)
    }
}

//! Hold invoices: money is locked in, and stays so until the payee gives the preimage, cancels, or its
//! time is over.
//!
//! ```text
//!          money locked in          preimage, from another wallet of ours
//!   open ─────────────────► accepted ──────────────────────────────────────► settled
//!    │                        │  │    preimage, from outside                    ▲
//!    │ cancel                 │  └──────────────────────► claiming ─────────────┘ arrived
//!    ▼        cancel, time    │
//!  cancelled ◄────────────────┘
//! ```
//!
//! What a node must be told (take it, send it back) is on the disk first, and told again after a crash.

use ledger::{LedgerTx, View};
use nostr::key::PublicKey;
use protocol::nwc::{PaymentHash, Preimage};
use rusqlite::params;
use units::UnixSecs;

use super::StoreError;
use super::invoices::{Invoice, InvoiceState};
use super::sql::secs;

/// Until when money is locked in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HoldUntil {
    /// From another wallet of ours: the last second.
    Time(UnixSecs),
    /// From outside: the height by which the node must have the preimage.
    Height(u32),
}

/// What the node has to be told about an invoice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NodeIntent {
    Claim(PaymentHash, Preimage),
    Reject(PaymentHash),
}

/// Locks money in for an open invoice. False if it is not open any more.
pub(crate) fn accept(tx: &LedgerTx<'_>, invoice: &Invoice, until: HoldUntil) -> rusqlite::Result<bool> {
    let (time, height) = match until {
        HoldUntil::Time(time) => (Some(secs(time)), None),
        HoldUntil::Height(height) => (None, Some(height)),
    };
    let changed = tx
        .sql()
        .prepare_cached(
            "UPDATE invoice SET state = 'accepted', settle_until = ?2, settle_height = ?3
             WHERE id = ?1 AND state = 'open'",
        )?
        .execute(params![invoice.id, time, height])?;
    Ok(changed == 1)
}

/// Writes the preimage into an accepted invoice whose money comes from another wallet of ours, for the
/// settlement that follows in the same transaction.
pub(crate) fn reveal(
    tx: &LedgerTx<'_>,
    invoice: Invoice,
    preimage: &Preimage,
) -> Result<Invoice, StoreError> {
    let changed = tx
        .sql()
        .prepare_cached("UPDATE invoice SET preimage = ?2 WHERE id = ?1 AND state = 'accepted'")?
        .execute(params![invoice.id, preimage.as_bytes()])?;
    if changed != 1 {
        return Err(StoreError::Inconsistent("a hold invoice was settled that nothing is locked in for"));
    }
    Ok(Invoice { preimage: Some(preimage.clone()), ..invoice })
}

/// Marks an accepted invoice as being taken from the node, which is to be told.
pub(crate) fn claim(tx: &LedgerTx<'_>, invoice: &Invoice, preimage: &Preimage) -> Result<(), StoreError> {
    let changed = tx
        .sql()
        .prepare_cached(
            "UPDATE invoice SET state = 'claiming', preimage = ?2, settle_height = NULL, node_intent = 'claim'
             WHERE id = ?1 AND state = 'accepted' AND settle_height IS NOT NULL",
        )?
        .execute(params![invoice.id, preimage.as_bytes()])?;
    if changed == 1 {
        return Ok(());
    }
    Err(StoreError::Inconsistent("a hold invoice was claimed that nothing from outside is locked in for"))
}

/// Withdraws an open or accepted invoice; if money from outside is locked in, the node is to be told.
pub(crate) fn cancel(tx: &LedgerTx<'_>, invoice: &Invoice) -> Result<(), StoreError> {
    let changed = tx
        .sql()
        .prepare_cached(
            "UPDATE invoice SET state = 'cancelled', settle_until = NULL, settle_height = NULL,
                 node_intent = CASE WHEN settle_height IS NULL THEN NULL ELSE 'reject' END
             WHERE id = ?1 AND state IN ('open', 'accepted')",
        )?
        .execute([invoice.id])?;
    if changed == 1 { Ok(()) } else { Err(StoreError::Inconsistent("an invoice cannot be cancelled")) }
}

/// Accepted invoices whose time is over: at most `limit`.
pub(crate) fn overdue(
    view: View<'_>,
    now: UnixSecs,
    height: Option<u32>,
    limit: u32,
) -> rusqlite::Result<Vec<Invoice>> {
    view.sql()
        .prepare_cached(
            "SELECT * FROM invoice WHERE state = 'accepted' AND (settle_until < ?1 OR settle_height <= ?2)
             ORDER BY id LIMIT ?3",
        )?
        .query_map(params![secs(now), height, limit], Invoice::from_row)?
        .collect()
}

/// Hold invoices that money is or is being locked in for, from other wallets of ours or from outside: of this
/// payee, and of all. The two are counted apart: what is locked in here takes no place in a channel.
pub(crate) fn counts(view: View<'_>, payee: &PublicKey, from_outside: bool) -> rusqlite::Result<(u32, u32)> {
    view.sql()
        .prepare_cached(
            "SELECT coalesce(sum(payee = ?1), 0), count(*) FROM invoice
             WHERE state IN ('accepted', 'claiming') AND hold_secs IS NOT NULL AND (settle_until IS NULL) = ?2",
        )?
        .query_row(params![payee.as_bytes(), from_outside], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Payments of this payer that are locked in for hold invoices of ours.
pub(crate) fn locked_in_by(view: View<'_>, payer: &PublicKey) -> rusqlite::Result<u32> {
    view.sql()
        .prepare_cached(
            "SELECT count(*) FROM payment p JOIN invoice i USING (payment_hash)
             WHERE p.payer = ?1 AND p.state IN ('held', 'dispatched') AND i.bolt11 = p.bolt11",
        )?
        .query_row([payer.as_bytes()], |row| row.get(0))
}

/// What the node has to be told: at most `limit`, oldest first.
pub(crate) fn intents(view: View<'_>, limit: u32) -> rusqlite::Result<Vec<(i64, NodeIntent)>> {
    let invoices: Vec<Invoice> = view
        .sql()
        .prepare_cached("SELECT * FROM invoice WHERE node_intent IS NOT NULL ORDER BY id LIMIT ?1")?
        .query_map([limit], Invoice::from_row)?
        .collect::<Result<_, _>>()?;
    let intent = |invoice: Invoice| match (invoice.state, invoice.preimage) {
        (InvoiceState::Cancelled, _) | (_, None) => (invoice.id, NodeIntent::Reject(invoice.payment_hash)),
        (_, Some(preimage)) => (invoice.id, NodeIntent::Claim(invoice.payment_hash, preimage)),
    };
    Ok(invoices.into_iter().map(intent).collect())
}

/// Notes that the node was told.
pub(crate) fn told(tx: &LedgerTx<'_>, id: i64) -> rusqlite::Result<()> {
    tx.sql().prepare_cached("UPDATE invoice SET node_intent = NULL WHERE id = ?1")?.execute([id]).map(drop)
}

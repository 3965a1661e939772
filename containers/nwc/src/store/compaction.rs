//! Compaction of what is finished, so that the file stays within its bound however much is paid.
//!
//! ```text
//!  rows of payments and paid invoices ── too many of a key, too old, too large ──► deleted
//!  journal ── its oldest transactions ──► carried forward into one, with the same balances
//! ```
//!
//! Both go in steps of a few rows, each with all that belongs to it in one transaction, so that requests
//! hardly wait and a crash leaves a step done or not begun. **Nothing can happen twice** for want of a row:
//!
//! - *Paying an invoice of ours again*: a payment needs an open invoice. The paid one is either still there
//!   and says so, or its row is gone and nothing can be paid.
//! - *Paying an invoice from outside again*: its hash is kept in `past_hash` until the invoice has expired, and
//!   an expired invoice is refused.
//! - *The same event again*: its answer is in `request`, which lives and dies on its own terms.
//! - *Claiming again what was received*: without a row, what is locked in is sent back.
//! - *A report that comes again*: a node repeats what was not acknowledged, which is what it said last;
//!   `past_hash` knows it for a day at least, counted in time that the wallet ran ([`Bounds::forget_hashes`]).
//! - *A failure that turns out to be a success*: is charged after all while the row is there. A node's
//!   failure is final, so this is a second net: rows of a day are in it, unless there is no room for them.
//! - *Posting again*: keys of transactions name rows by numbers that are never given again; while a row is
//!   there, the ledger keeps the keys of its transactions, of a payment those of its newest attempt. A round of holding fees goes only forward, in the
//!   transaction that posts them.
//! - *Spending a budget again*: what a deleted payment took is added up by day and connection.
//!
//! What is under way, what a node must still be told and what a zap's receipt still needs does not go.

use ledger::{CompactError, Compaction, LedgerTx, View};
use nostr::key::PublicKey;
use protocol::nwc::PaymentHash;
use rusqlite::{OptionalExtension, Row, params};
use units::UnixSecs;

use super::sql::secs;
use super::{StoreError, room};

/// Rows of each kind that one step deletes, and transactions that it carries forward: requests wait for a few
/// milliseconds at most.
const STEP: u32 = 128;
/// Keys that a step looks at: more than a few have too much only if what they have cannot go yet.
const KEYS: u32 = 32;
/// The part of it that is for keys that hold nothing, one in so many: they cost nothing, and displace nothing of those
/// who hold money beyond it.
const STRANGERS_PART: u64 = 4;
/// What [`squeeze`] deletes of either kind: more than one request adds, so that what is pressed shrinks.
const SQUEEZE: u32 = 16;
/// Rows of a key that [`squeeze`] leaves: the newest, which the key may ask for again.
const SQUEEZED_ITEMS: u32 = 64;
/// Transactions of the journal that it leaves.
const SQUEEZED_JOURNAL: u32 = 100;
/// How long a failed payment from here to the outside stays at least if there is room, in seconds.
const FAILED_KEPT_SECS: u64 = 86_400;
/// How long the hash of a payment that went is known at least, in seconds.
const HASH_KEPT_SECS: u64 = 86_400;

/// What a step may take beyond the file's bound: more than it writes before anything is free.
const MARGIN_BYTES: u32 = 256 * 1_024;

/// No failed payment is left out.
const ANY: UnixSecs = UnixSecs(i64::MAX.unsigned_abs());

/// What history is kept within.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Payments and paid invoices of one key.
    pub(crate) items_per_key: u32,
    /// What was made before is deleted.
    pub(crate) oldest: UnixSecs,
    /// About how many bytes all of it may take; whoever has most loses first, of those who hold nothing as long as they
    /// have more than a part of it.
    pub(crate) bytes: u64,
    /// Transactions in the journal.
    pub(crate) journal: u32,
    /// How large the file may become. A step may go a little beyond it: in a file that is full to the last page it could
    /// otherwise not make the notes that let rows go.
    pub(crate) file_bytes: u32,
    /// Whether hashes whose time is over are forgotten: not before the node had time to repeat its reports.
    pub(crate) forget_hashes: bool,
}

/// How much history there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Size {
    /// Payments and paid invoices.
    pub(crate) items: u64,
    /// About how many bytes they take.
    pub(crate) bytes: u64,
    /// Those of keys that hold nothing.
    pub(crate) strangers: u64,
}

pub(crate) fn size(view: View<'_>) -> rusqlite::Result<Size> {
    view.sql()
        .prepare_cached("SELECT items, bytes, strangers FROM history_size")?
        .query_row([], |row| Ok(Size { items: row.get(0)?, bytes: row.get(1)?, strangers: row.get(2)? }))
}

/// The last moment whose transactions of a wallet may be gone; none if all are there.
pub(crate) fn forgotten_until(view: View<'_>, of: &PublicKey) -> rusqlite::Result<Option<UnixSecs>> {
    let until: Option<Option<i64>> = view
        .sql()
        .prepare_cached("SELECT forgotten_until FROM history_of WHERE pubkey = ?1")?
        .query_row([of.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(until.flatten().map(|secs| UnixSecs(secs.unsigned_abs())))
}

/// Whether a payment with this hash went over Lightning whose row is gone.
pub(crate) fn is_past(view: View<'_>, hash: PaymentHash) -> rusqlite::Result<bool> {
    view.sql().prepare_cached("SELECT 1 FROM past_hash WHERE payment_hash = ?1")?.exists([hash.as_bytes()])
}

/// Whether a step would find something; does not need the writer.
pub(crate) fn is_due(view: View<'_>, bounds: &Bounds, now: UnixSecs) -> rusqlite::Result<bool> {
    if size(view)?.bytes > bounds.bytes || view.transactions()? > u64::from(bounds.journal.max(1)) {
        return Ok(true);
    }
    let old = secs(bounds.oldest);
    view.sql()
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM history_of WHERE items > ?1)
                 OR EXISTS (SELECT 1 FROM payment WHERE state IN ('settled', 'failed') AND created_at < ?2)
                 OR EXISTS (SELECT 1 FROM invoice WHERE state = 'settled' AND created_at < ?2)
                 OR ?4 AND EXISTS (SELECT 1 FROM past_hash WHERE until < ?3)",
        )?
        .query_row(params![bounds.items_per_key, old, secs(now), bounds.forget_hashes], |row| row.get(0))
}

/// Does a step. True if it did something, so that there may be more.
pub(crate) fn step(tx: &LedgerTx<'_>, bounds: &Bounds, now: UnixSecs) -> Result<bool, StoreError> {
    room::bound(tx, bounds.file_bytes.saturating_add(MARGIN_BYTES))?;
    let done = step_within(tx, bounds, now);
    room::bound(tx, bounds.file_bytes)?;
    done
}

fn step_within(tx: &LedgerTx<'_>, bounds: &Bounds, now: UnixSecs) -> Result<bool, StoreError> {
    let compaction = tx.begin_compaction()?;
    let mut gone = 0;
    let failures = now.minus_secs(FAILED_KEPT_SECS);
    for (key, items) in crowded(tx, bounds)? {
        let excess = items.saturating_sub(bounds.items_per_key).min(STEP.saturating_sub(gone));
        gone += delete(tx, &compaction, &oldest_of(tx, &key, excess, failures)?, now)?;
    }
    let before = gone;
    for of_strangers in [true, false] {
        let all = size(tx.view())?;
        // What none of those could give up is of all others.
        let is_due =
            if of_strangers { all.strangers > bounds.bytes / STRANGERS_PART } else { gone == before };
        if all.bytes <= bounds.bytes || !is_due {
            continue;
        }
        for key in largest(tx, of_strangers)? {
            if size(tx.view())?.bytes <= bounds.bytes || gone >= STEP {
                break;
            }
            // An eighth of a step from each, so that they come down together.
            gone += delete(tx, &compaction, &oldest_of(tx, &key, STEP / 8, ANY)?, now)?;
        }
    }
    gone += delete(tx, &compaction, &older_than(tx, bounds.oldest, STEP.saturating_sub(gone))?, now)?;
    let sql = tx.sql();
    gone += compaction.carry_forward(STEP, bounds.journal, |key| matters(tx.view(), key)).map_err(fault)?;
    compaction.end()?;
    if bounds.forget_hashes {
        let forgotten = sql
            .prepare_cached(
                "DELETE FROM past_hash WHERE payment_hash IN
                     (SELECT payment_hash FROM past_hash WHERE until < ?1 ORDER BY until LIMIT ?2)",
            )?
            .execute(params![secs(now), STEP])?;
        gone = gone.saturating_add(u32::try_from(forgotten).unwrap_or(u32::MAX));
    }
    Ok(gone > 0)
}

/// Deletes a few of a key's oldest finished rows and carries as many of the journal's forward, though
/// the bounds allow more: for those who must go on in a file that others filled.
pub(crate) fn squeeze(tx: &LedgerTx<'_>, key: &PublicKey, now: UnixSecs) -> Result<(), StoreError> {
    let items: Option<u32> = tx
        .sql()
        .prepare_cached("SELECT items FROM history_of WHERE pubkey = ?1")?
        .query_row([key.as_bytes()], |row| row.get(0))
        .optional()?;
    let excess = items.unwrap_or(0).saturating_sub(SQUEEZED_ITEMS).min(SQUEEZE);
    let journal = u32::try_from(tx.view().transactions()?).unwrap_or(u32::MAX);
    let kept = journal.saturating_sub(SQUEEZE).max(SQUEEZED_JOURNAL);
    let compaction = tx.begin_compaction()?;
    delete(tx, &compaction, &oldest_of(tx, &key.to_bytes(), excess, ANY)?, now)?;
    compaction.carry_forward(SQUEEZE, kept, |key| matters(tx.view(), key)).map_err(fault)?;
    compaction.end()?;
    Ok(())
}

/// A row that may go.
struct Finished {
    is_payment: bool,
    id: i64,
}

impl Finished {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { is_payment: row.get(0)?, id: row.get(1)? })
    }
}

/// Keys with more rows than a key may have.
fn crowded(tx: &LedgerTx<'_>, bounds: &Bounds) -> rusqlite::Result<Vec<([u8; 32], u32)>> {
    tx.sql()
        .prepare_cached("SELECT pubkey, items FROM history_of WHERE items > ?1 ORDER BY items DESC LIMIT ?2")?
        .query_map([bounds.items_per_key, KEYS], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Keys whose rows take most: of all, or of those that hold nothing.
fn largest(tx: &LedgerTx<'_>, of_strangers: bool) -> rusqlite::Result<Vec<[u8; 32]>> {
    tx.sql()
        .prepare_cached(if of_strangers {
            "SELECT pubkey FROM history_of WHERE stranger = 1 AND items > 0 ORDER BY bytes DESC LIMIT ?1"
        } else {
            "SELECT pubkey FROM history_of WHERE items > 0 ORDER BY bytes DESC LIMIT ?1"
        })?
        .query_map([KEYS], |row| row.get(0))?
        .collect()
}

/// The oldest finished rows of a key, without failed payments to the outside that were made at `failures` or later.
fn oldest_of(
    tx: &LedgerTx<'_>,
    key: &[u8; 32],
    limit: u32,
    failures: UnixSecs,
) -> rusqlite::Result<Vec<Finished>> {
    tx.sql()
        .prepare_cached(
            "SELECT * FROM (SELECT 1, id, created_at FROM payment p
                     WHERE payer = ?1 AND state IN ('settled', 'failed')
                     AND (state = 'settled' OR created_at < ?3 OR EXISTS (SELECT 1 FROM invoice i
                         WHERE i.payment_hash = p.payment_hash AND i.bolt11 = p.bolt11))
                     ORDER BY created_at LIMIT ?2)
             UNION ALL
             SELECT * FROM (SELECT 0, id, created_at FROM invoice i WHERE payee = ?1 AND state = 'settled'
                     AND node_intent IS NULL AND NOT EXISTS
                         (SELECT 1 FROM zap_receipt z WHERE z.invoice_id = i.id AND z.next_at IS NOT NULL)
                     ORDER BY created_at LIMIT ?2)
             ORDER BY 3 LIMIT ?2",
        )?
        .query_map(params![key, limit, secs(failures)], Finished::from_row)?
        .collect()
}

/// Finished rows from before a moment, of whomever.
fn older_than(tx: &LedgerTx<'_>, oldest: UnixSecs, limit: u32) -> rusqlite::Result<Vec<Finished>> {
    tx.sql()
        .prepare_cached(
            "SELECT * FROM (SELECT 1, id, created_at FROM payment
                     WHERE state IN ('settled', 'failed') AND created_at < ?1 ORDER BY created_at LIMIT ?2)
             UNION ALL
             SELECT * FROM (SELECT 0, id, created_at FROM invoice i WHERE state = 'settled' AND created_at < ?1
                     AND node_intent IS NULL AND NOT EXISTS
                         (SELECT 1 FROM zap_receipt z WHERE z.invoice_id = i.id AND z.next_at IS NOT NULL)
                     ORDER BY created_at LIMIT ?2)
             ORDER BY 3 LIMIT ?2",
        )?
        .query_map(params![secs(oldest), limit], Finished::from_row)?
        .collect()
}

/// Deletes rows with what hangs on them; returns how many.
fn delete(
    tx: &LedgerTx<'_>,
    compaction: &Compaction<'_, '_>,
    rows: &[Finished],
    now: UnixSecs,
) -> rusqlite::Result<u32> {
    for row in rows {
        let id = row.id;
        if row.is_payment {
            let needed = delete_payment(tx, id, now)?;
            compaction.forget_keys(&format!("payment/{id}"), needed.as_deref())?;
        } else {
            // The payment's row went before; its key stayed for the invoice alone.
            if let Some(key) = delete_invoice(tx, id, now)? {
                compaction.forget_key(&key)?;
            }
            compaction.forget_keys(&format!("invoice/{id}"), None)?;
        }
    }
    Ok(u32::try_from(rows.len()).unwrap_or(u32::MAX))
}

/// Deletes a payment; returns the key of the transaction by which an invoice of ours is still provable.
fn delete_payment(tx: &LedgerTx<'_>, id: i64, now: UnixSecs) -> rusqlite::Result<Option<String>> {
    let sql = tx.sql();
    let needed = sql.prepare_cached(
        "UPDATE invoice SET settle_key = 'payment/' || p.id || '/' || p.attempt || '/settle' FROM payment p
         WHERE p.id = ?1 AND p.state = 'settled' AND invoice.payment_hash = p.payment_hash
             AND invoice.bolt11 = p.bolt11 AND invoice.state = 'settled'
         RETURNING settle_key",
    )?
    .query_row([id], |row| row.get(0))
    .optional()?;
    sql.prepare_cached(
        "INSERT INTO past_hash (payment_hash, until)
             SELECT payment_hash, max(expires_at, ?2) FROM payment WHERE id = ?1 AND state = 'settled' AND outside = 1
         ON CONFLICT (payment_hash) DO UPDATE SET until = max(until, excluded.until)",
    )?
    .execute(params![id, secs(now.plus_secs(HASH_KEPT_SECS))])?;
    sql.prepare_cached("DELETE FROM payment WHERE id = ?1")?.execute([id])?;
    Ok(needed)
}

/// Deletes an invoice; returns the key that was kept for it alone.
fn delete_invoice(tx: &LedgerTx<'_>, id: i64, now: UnixSecs) -> rusqlite::Result<Option<String>> {
    let sql = tx.sql();
    sql.prepare_cached(
        "INSERT INTO past_hash (payment_hash, until) SELECT payment_hash, ?2 FROM invoice WHERE id = ?1 AND outside = 1
         ON CONFLICT (payment_hash) DO UPDATE SET until = max(until, excluded.until)",
    )?
    .execute(params![id, secs(now.plus_secs(HASH_KEPT_SECS))])?;
    // Published or given up. The same request can then be paid, and receipted, once more.
    sql.prepare_cached("DELETE FROM zap_receipt WHERE invoice_id = ?1")?.execute([id])?;
    let settle_key: Option<Option<String>> = sql
        .prepare_cached("DELETE FROM invoice WHERE id = ?1 RETURNING settle_key")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(settle_key.flatten())
}

/// Whether the key of a transaction is still needed once the transaction is gone.
fn matters(view: View<'_>, key: &str) -> rusqlite::Result<bool> {
    let mut parts = key.split('/');
    let (table, mut number) = (parts.next(), || parts.next().and_then(|number| number.parse::<i64>().ok()));
    let sql = view.sql();
    let exists = match table {
        // What an earlier attempt posted is not posted again: a retry has keys of its own.
        Some("payment") => {
            let (Some(id), Some(attempt)) = (number(), number()) else { return Ok(true) };
            sql.prepare_cached("SELECT 1 FROM payment WHERE id = ?1 AND attempt = ?2")?
                .exists([id, attempt])?
        }
        Some("invoice") => {
            let Some(id) = number() else { return Ok(true) };
            sql.prepare_cached("SELECT 1 FROM invoice WHERE id = ?1")?.exists([id])?
        }
        // A round of them goes only forward.
        Some("holding") => return Ok(false),
        // The faucet's, and whatever a later release posts.
        Some(_) | None => return Ok(true),
    };
    Ok(exists || sql.prepare_cached("SELECT 1 FROM invoice WHERE settle_key = ?1")?.exists([key])?)
}

fn fault(error: CompactError) -> StoreError {
    match error {
        CompactError::Sqlite(error) => StoreError::Sqlite(error),
        CompactError::Books(broken) => {
            tracing::error!(%broken, "the history is not compacted");
            StoreError::Inconsistent("the books do not add up")
        }
    }
}

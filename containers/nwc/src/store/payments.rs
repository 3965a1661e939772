//! Payments of this wallet's users.
//!
//! ```text
//!           hold              dispatch               settle
//!  (none) ───────► held ────────────────► dispatched ───────► settled
//!                   │  ▲                     │                   ▲
//!                   │  └── retry ── failed ◄─┘ fail              │
//!                   │                 │  ▲                       │
//!                   │                 │  └──────── fail ── held  │
//!                   │                 └── settled after all ─────┤
//!                   └── settled between accounts of ours ────────┘
//! ```
//!
//! | state | money | after a crash |
//! |---|---|---|
//! | held | amount and fee reserve in `hold` | never handed over: released at start |
//! | dispatched | in `hold` | perhaps handed over: waits for the node's event, however long |
//! | settled | gone; unused reserve returned | final |
//! | failed | back with the payer | a retry is another attempt; a late "settled" still counts |
//!
//! Every posting's key names payment, attempt and step, so a repeated event posts nothing twice.

mod postings;
mod state;
pub(super) mod transactions;

use ledger::{LedgerTx, View};
use nostr::key::PublicKey;
use protocol::nwc::{DescriptionHash, PaymentHash, Preimage};
use rusqlite::{OptionalExtension, Row, params};
use units::{Msat, UnixSecs};

use super::StoreError;
use super::sql::{Columns, secs};

pub(crate) use postings::{
    HoldError, dispatch, fail, hold, is_suspended, release_undispatched, settle_external, settle_internal,
    suspend,
};
pub use state::{PaymentEvent, PaymentState, Step};

/// A payment's row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Payment {
    /// The row's number.
    pub id: i64,
    /// Who pays.
    pub payer: PublicKey,
    /// The payment's name.
    pub payment_hash: PaymentHash,
    /// The invoice.
    pub bolt11: String,
    /// What the payee gets.
    pub amount: Msat,
    /// What is or was set aside for fees.
    pub reserve: Msat,
    /// What the house takes, set aside with the rest.
    pub service_fee: Msat,
    /// What fees came to: routing and the house's.
    pub fee: Msat,
    /// Counts retries, from one.
    pub attempt: u32,
    /// How far it is.
    pub state: PaymentState,
    /// The proof, once settled.
    pub preimage: Option<Preimage>,
    /// Why it failed, for the payer.
    pub failure: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The hash that the invoice carries instead.
    pub description_hash: Option<DescriptionHash>,
    /// The payer's notes, JSON.
    pub metadata: Option<String>,
    /// When it began (the latest attempt).
    pub created_at: UnixSecs,
    /// The invoice's expiry.
    pub expires_at: UnixSecs,
    /// When it settled.
    pub settled_at: Option<UnixSecs>,
    /// The number of the connection that it was asked for through, if any.
    pub connection: Option<i64>,
}

/// A payment to be begun.
#[derive(Clone, Debug)]
pub struct NewPayment {
    /// Who pays.
    pub payer: PublicKey,
    /// The payment's name.
    pub payment_hash: PaymentHash,
    /// The invoice.
    pub bolt11: String,
    /// What the payee gets.
    pub amount: Msat,
    /// What to set aside for fees.
    pub reserve: Msat,
    /// What the house takes.
    pub service_fee: Msat,
    /// What it is for.
    pub description: Option<String>,
    /// The hash that the invoice carries instead.
    pub description_hash: Option<DescriptionHash>,
    /// The payer's notes, JSON.
    pub metadata: Option<String>,
    /// The invoice's expiry.
    pub expires_at: UnixSecs,
    /// The number of the connection that it is asked for through, if any.
    pub connection: Option<i64>,
}

impl Payment {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            payer: row.pubkey("payer")?,
            payment_hash: row.payment_hash()?,
            bolt11: row.get("bolt11")?,
            amount: row.msat("amount_msat")?,
            reserve: row.msat("reserve_msat")?,
            service_fee: row.msat("service_fee_msat")?,
            fee: row.msat("fee_msat")?,
            attempt: row.get("attempt")?,
            state: row.word("state", PaymentState::from_word)?,
            preimage: row.preimage()?,
            failure: row.get("failure")?,
            description: row.get("description")?,
            description_hash: row.description_hash()?,
            metadata: row.get("metadata")?,
            created_at: row.secs("created_at")?,
            expires_at: row.secs("expires_at")?,
            settled_at: row.secs_or_none("settled_at")?,
            connection: row.get("connection")?,
        })
    }
}

/// The payment of `payer` with this hash.
pub(crate) fn find(
    view: View<'_>,
    payer: &PublicKey,
    hash: PaymentHash,
) -> rusqlite::Result<Option<Payment>> {
    view.sql()
        .prepare_cached("SELECT * FROM payment WHERE payer = ?1 AND payment_hash = ?2")?
        .query_row(params![payer.as_bytes(), hash.as_bytes()], Payment::from_row)
        .optional()
}

/// The payment with this hash that is in flight or settled. There is at most one.
pub(crate) fn live_by_hash(view: View<'_>, hash: PaymentHash) -> rusqlite::Result<Option<Payment>> {
    view.sql()
        .prepare_cached("SELECT * FROM payment WHERE payment_hash = ?1 AND state <> 'failed'")?
        .query_row([hash.as_bytes()], Payment::from_row)
        .optional()
}

/// The payment that a report about this hash is about: the live one, or the one that was given up last. Not an older
/// one, also when the row of the last is gone: see [`begin`].
pub(crate) fn sent_by_hash(view: View<'_>, hash: PaymentHash) -> rusqlite::Result<Option<Payment>> {
    view.sql()
        .prepare_cached(
            "SELECT * FROM payment WHERE payment_hash = ?1 AND (state <> 'failed' OR outside = 1)
             ORDER BY state = 'failed', created_at DESC, id DESC LIMIT 1",
        )?
        .query_row([hash.as_bytes()], Payment::from_row)
        .optional()
}

/// The row as it is now.
pub(crate) fn reload(tx: &LedgerTx<'_>, payment: &Payment) -> Result<Payment, StoreError> {
    let now = find(tx.view(), &payment.payer, payment.payment_hash)?;
    now.ok_or(StoreError::Inconsistent("a payment is missing"))
}

/// Payments whose outcome is open, oldest first.
pub(crate) fn in_flight(view: View<'_>) -> rusqlite::Result<Vec<Payment>> {
    view.sql()
        .prepare_cached("SELECT * FROM payment WHERE state IN ('held', 'dispatched') ORDER BY id")?
        .query_map([], Payment::from_row)?
        .collect()
}

/// Inserts a payment, or begins another attempt of one that failed. None if the same payment is in flight
/// or settled. Of others with this hash, which failed, a node has nothing more to report from here on: what it says
/// is about this attempt.
fn begin(tx: &LedgerTx<'_>, new: NewPayment, now: UnixSecs) -> rusqlite::Result<Option<Payment>> {
    let sql = tx.sql();
    let before: Option<(i64, u32, String)> = sql
        .prepare_cached("SELECT id, attempt, state FROM payment WHERE payment_hash = ?1 AND payer = ?2")?
        .query_row(params![new.payment_hash.as_bytes(), new.payer.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    if before.as_ref().is_some_and(|(_, _, state)| state != PaymentState::Failed.as_str()) {
        return Ok(None);
    }
    // What became of the row is known without asking for it: an answer to a change makes a list of rows first.
    let inserted = sql
        .prepare_cached(
            "INSERT INTO payment (payer, payment_hash, bolt11, amount_msat, reserve_msat, attempt, state, description,
                 description_hash, metadata, created_at, expires_at, service_fee_msat, connection)
             VALUES (?1, ?2, ?3, ?4, ?5, 1, 'held', ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (payment_hash, payer) DO UPDATE SET bolt11 = excluded.bolt11,
                 amount_msat = excluded.amount_msat, reserve_msat = excluded.reserve_msat, attempt = attempt + 1,
                 state = 'held', failure = NULL, metadata = excluded.metadata, created_at = excluded.created_at,
                 service_fee_msat = excluded.service_fee_msat, connection = excluded.connection,
                 description = excluded.description, description_hash = excluded.description_hash,
                 expires_at = excluded.expires_at, outside = 1",
        )?
        .insert(params![
            new.payer.as_bytes(),
            new.payment_hash.as_bytes(),
            new.bolt11,
            new.amount.msat(),
            new.reserve.msat(),
            new.description,
            new.description_hash.as_ref().map(DescriptionHash::as_bytes),
            new.metadata,
            secs(now),
            secs(new.expires_at),
            new.service_fee.msat(),
            new.connection,
        ])?;
    let (id, attempt) =
        before.map_or((inserted, 1), |(id, attempt, _): (i64, u32, _)| (id, attempt.saturating_add(1)));
    tx.sql()
        .prepare_cached(
            "UPDATE payment SET outside = 0 WHERE payment_hash = ?1 AND id <> ?2 AND state = 'failed' AND outside = 1",
        )?
        .execute(params![new.payment_hash.as_bytes(), id])?;
    Ok(Some(Payment {
        id,
        payer: new.payer,
        payment_hash: new.payment_hash,
        bolt11: new.bolt11,
        amount: new.amount,
        reserve: new.reserve,
        service_fee: new.service_fee,
        fee: Msat::ZERO,
        attempt,
        state: PaymentState::Held,
        preimage: None,
        failure: None,
        description: new.description,
        description_hash: new.description_hash,
        metadata: new.metadata,
        created_at: now,
        expires_at: new.expires_at,
        settled_at: None,
        connection: new.connection,
    }))
}

//! Invoices of this wallet.
//!
//! ```text
//!            paid by an account of ours
//!         ┌──────────────────────────────────► settled
//!  open ──┤ money locked in on Lightning          ▲
//!         ├────────────────────► claiming ────────┘ arrived
//!         ├──► expired     nobody paid until `accept_until`, or it gave way to others
//!         └──► cancelled   withdrawn by its payee
//! ```
//!
//! Only an open invoice can be paid, by whichever comes first; the step out of `open` is one statement
//! inside the writer's transaction, so an internal payment, a payment over Lightning, a cancellation and
//! the expiry cannot both happen. Dead invoices are deleted after a day; paid ones stay.

use ledger::{Account, LedgerTx, NewTransaction, View};
use nostr::key::PublicKey;
use protocol::nwc::{DescriptionHash, PaymentHash, Preimage};
use rusqlite::{OptionalExtension, Row, params};
use units::{Msat, UnixSecs};

use super::StoreError;
use super::holds::HoldUntil;
use super::sql::{Columns, secs};

/// How long an invoice that nobody paid can still be looked up.
const DEAD_KEPT_SECS: u64 = 24 * 3_600;

/// An invoice's row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invoice {
    /// The row's number.
    pub id: i64,
    /// The payment's name.
    pub payment_hash: PaymentHash,
    /// What proves payment; kept secret until then.
    pub preimage: Option<Preimage>,
    /// Who is paid.
    pub payee: PublicKey,
    /// Who asked for it.
    pub asked_by: AskedBy,
    /// The invoice.
    pub bolt11: String,
    /// What it asks for.
    pub amount: Msat,
    /// What it is for.
    pub description: Option<String>,
    /// The hash it carries instead.
    pub description_hash: Option<DescriptionHash>,
    /// The payee's notes, JSON.
    pub metadata: Option<String>,
    /// The zap request it answers, as received.
    pub zap_request: Option<String>,
    /// How far it is.
    pub state: InvoiceState,
    /// When it was made.
    pub created_at: UnixSecs,
    /// The last second in which payers may try.
    pub expires_at: UnixSecs,
    /// The last second in which a payment is honoured.
    pub accept_until: UnixSecs,
    /// When it was paid.
    pub settled_at: Option<UnixSecs>,
    /// What was paid.
    pub received: Option<Msat>,
    /// A hold invoice: for how long money from another wallet of ours may be locked in.
    pub hold_secs: Option<u32>,
    /// While money is locked in: by when the payee must settle.
    pub settle_by: Option<HoldUntil>,
}

/// How far an invoice is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InvoiceState {
    /// Can be paid.
    Open,
    /// A hold invoice with money locked in.
    Accepted,
    /// Being paid over Lightning: claimed, not arrived.
    Claiming,
    /// Paid.
    Settled,
    /// Never paid in time.
    Expired,
    /// Withdrawn.
    Cancelled,
}

impl InvoiceState {
    const ALL: [Self; 6] =
        [Self::Open, Self::Accepted, Self::Claiming, Self::Settled, Self::Expired, Self::Cancelled];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Claiming => "claiming",
            Self::Settled => "settled",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Who asked for an invoice. Each has a part of its own of a payee's open invoices.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AskedBy {
    /// The payee itself.
    Payee,
    /// Another Nostr key.
    Key,
    /// Somebody over HTTP, who has no key.
    Web,
    /// The server around the wallet, for itself or one of its containers.
    House,
}

impl AskedBy {
    const ALL: [Self; 4] = [Self::Payee, Self::Key, Self::Web, Self::House];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Payee => "payee",
            Self::Key => "key",
            Self::Web => "web",
            Self::House => "house",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.as_str() == word)
    }

    /// Whether the payee is told whatever is told about its own wallet.
    const fn is_own(self) -> bool {
        matches!(self, Self::Payee | Self::House)
    }
}

/// An invoice to be inserted, open.
#[derive(Clone, Debug)]
pub struct NewInvoice {
    /// The payment's name.
    pub payment_hash: PaymentHash,
    /// Its secret; none for a hold invoice.
    pub preimage: Option<Preimage>,
    /// Who is paid.
    pub payee: PublicKey,
    /// Who asked for it.
    pub asked_by: AskedBy,
    /// Whether the payee holds less than a first payment must be.
    pub unfunded: bool,
    /// The invoice.
    pub bolt11: String,
    /// What it asks for.
    pub amount: Msat,
    /// What it is for.
    pub description: Option<String>,
    /// The hash it carries instead.
    pub description_hash: Option<DescriptionHash>,
    /// The payee's notes, JSON.
    pub metadata: Option<String>,
    /// The zap request it answers.
    pub zap_request: Option<String>,
    /// When it is made.
    pub created_at: UnixSecs,
    /// The last second in which payers may try.
    pub expires_at: UnixSecs,
    /// The last second in which a payment is honoured.
    pub accept_until: UnixSecs,
    /// A hold invoice: for how long money from another wallet of ours may be locked in.
    pub hold_secs: Option<u32>,
}

impl Invoice {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            payment_hash: row.payment_hash()?,
            preimage: row.preimage()?,
            payee: row.pubkey("payee")?,
            asked_by: row.word("asked_by", AskedBy::from_word)?,
            bolt11: row.get("bolt11")?,
            amount: row.msat("amount_msat")?,
            description: row.get("description")?,
            description_hash: row.description_hash()?,
            metadata: row.get("metadata")?,
            zap_request: row.get("zap_request")?,
            state: row
                .word("state", |word| InvoiceState::ALL.into_iter().find(|state| state.as_str() == word))?,
            created_at: row.secs("created_at")?,
            expires_at: row.secs("expires_at")?,
            accept_until: row.secs("accept_until")?,
            settled_at: row.secs_or_none("settled_at")?,
            received: row.get::<_, Option<i64>>("received_msat")?.map(Msat::new),
            hold_secs: row.get("hold_secs")?,
            settle_by: match row.get::<_, Option<u32>>("settle_height")? {
                Some(height) => Some(HoldUntil::Height(height)),
                None => row.secs_or_none("settle_until")?.map(HoldUntil::Time),
            },
        })
    }
}

pub(crate) fn by_hash(view: View<'_>, hash: PaymentHash) -> rusqlite::Result<Option<Invoice>> {
    view.sql()
        .prepare_cached("SELECT * FROM invoice WHERE payment_hash = ?1")?
        .query_row([hash.as_bytes()], Invoice::from_row)
        .optional()
}

pub(crate) fn insert(tx: &LedgerTx<'_>, new: &NewInvoice) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "INSERT INTO invoice (payment_hash, preimage, payee, own, unfunded, bolt11, amount_msat, description,
                 description_hash, metadata, zap_request, state, created_at, expires_at, accept_until,
                 hold_secs, asked_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'open', ?12, ?13, ?14, ?15, ?16)",
        )?
        .execute(params![
            new.payment_hash.as_bytes(),
            new.preimage.as_ref().map(Preimage::as_bytes),
            new.payee.as_bytes(),
            new.asked_by.is_own(),
            new.unfunded,
            new.bolt11,
            new.amount.msat(),
            new.description,
            new.description_hash.as_ref().map(DescriptionHash::as_bytes),
            new.metadata,
            new.zap_request,
            secs(new.created_at),
            secs(new.expires_at),
            secs(new.accept_until),
            new.hold_secs,
            new.asked_by.as_str(),
        ])
        .map(drop)
}

/// Marks up to `limit` invoices whose time has passed as expired, and deletes up to as many that have
/// long been dead. Called with every new invoice, which keeps the table from growing without a timer.
pub(crate) fn sweep(tx: &LedgerTx<'_>, now: UnixSecs, limit: u32) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "UPDATE invoice SET state = 'expired' WHERE id IN
                 (SELECT id FROM invoice WHERE state = 'open' AND accept_until < ?1 ORDER BY accept_until LIMIT ?2)",
        )?
        .execute(params![secs(now), limit])?;
    tx.sql()
        .prepare_cached(
            "DELETE FROM invoice WHERE id IN
                 (SELECT id FROM invoice WHERE state IN ('expired', 'cancelled') AND accept_until < ?1
                      AND node_intent IS NULL
                  ORDER BY accept_until LIMIT ?2)",
        )?
        .execute(params![secs(now.minus_secs(DEAD_KEPT_SECS)), limit])
        .map(drop)
}

/// Deletes dead invoices, the oldest first, until `kept` are left: whoever makes them faster than a day
/// passes must not fill the file.
pub(crate) fn forget_dead(tx: &LedgerTx<'_>, kept: u32) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "DELETE FROM invoice WHERE node_intent IS NULL AND id IN
                 (SELECT id FROM invoice WHERE state IN ('expired', 'cancelled')
                  ORDER BY accept_until DESC LIMIT -1 OFFSET ?1)",
        )?
        .execute([kept])
        .map(drop)
}

/// Payees of invoices that the house asked for, the newest first.
pub(crate) fn payees_of_house(view: View<'_>, limit: u32) -> rusqlite::Result<Vec<PublicKey>> {
    view.sql()
        .prepare_cached(
            "SELECT payee FROM invoice WHERE asked_by = 'house' GROUP BY payee ORDER BY max(id) DESC LIMIT ?1",
        )?
        .query_map([limit], |row| row.pubkey("payee"))?
        .collect()
}

/// Marks an open, accepted or claimed invoice as paid and returns it as it is now. The credit is posted by the
/// caller, in the same transaction.
///
/// # Errors
/// [`StoreError::Inconsistent`] if it is in neither state.
pub(crate) fn settle(
    tx: &LedgerTx<'_>,
    invoice: Invoice,
    received: Msat,
    from_outside: bool,
    now: UnixSecs,
) -> Result<Invoice, StoreError> {
    let changed = tx
        .sql()
        .prepare_cached(
            "UPDATE invoice SET state = 'settled', settled_at = ?2, received_msat = ?3, settle_until = NULL,
                 outside = ?4
             WHERE id = ?1 AND state IN ('open', 'accepted', 'claiming') AND settle_height IS NULL",
        )?
        .execute(params![invoice.id, secs(now), received.msat(), from_outside])?;
    if changed != 1 {
        return Err(StoreError::Inconsistent("a settled invoice was neither open nor locked in nor claimed"));
    }
    let settled_at = Some(now);
    let state = InvoiceState::Settled;
    Ok(Invoice { state, settled_at, received: Some(received), settle_by: None, ..invoice })
}

/// Reserves an open invoice for a payment that is locked in on Lightning. False if it is not open any
/// more: somebody else was first, or it was withdrawn.
pub(crate) fn begin_claim(tx: &LedgerTx<'_>, invoice: &Invoice) -> rusqlite::Result<bool> {
    let changed = tx
        .sql()
        .prepare_cached("UPDATE invoice SET state = 'claiming' WHERE id = ?1 AND state = 'open'")?
        .execute([invoice.id])?;
    Ok(changed == 1)
}

/// Pays out a claimed invoice: `amount` arrived over Lightning and is the payee's. Returns the invoice as
/// it is now; none if that is no news.
pub(crate) fn receive(
    tx: &LedgerTx<'_>,
    invoice: Invoice,
    amount: Msat,
    now: UnixSecs,
) -> Result<Option<Invoice>, StoreError> {
    match invoice.state {
        InvoiceState::Claiming => {}
        InvoiceState::Settled => return Ok(None),
        InvoiceState::Open | InvoiceState::Accepted | InvoiceState::Expired | InvoiceState::Cancelled => {
            return Err(StoreError::Inconsistent("money arrived for an invoice that was not claimed"));
        }
    }
    tx.post(&credit(&invoice, amount, now)?)?;
    settle(tx, invoice, amount, true, now).map(Some)
}

/// What is posted when money for an invoice arrived over Lightning.
pub(super) fn credit(invoice: &Invoice, amount: Msat, now: UnixSecs) -> Result<NewTransaction, StoreError> {
    let from_node = amount.negated().map_err(|_| StoreError::Inconsistent("an amount is out of range"))?;
    let key = format!("invoice/{}/receive", invoice.id);
    Ok(NewTransaction::new(key, "invoice_receive", invoice.payment_hash.to_hex(), now)
        .posting(Account::NodeLightning, from_node)
        .posting(Account::User(invoice.payee.to_bytes()), amount))
}

/// Withdraws an open invoice of `payee`. False if it has none with this hash that can still be paid.
pub(crate) fn cancel(
    tx: &LedgerTx<'_>,
    payee: &PublicKey,
    hash: PaymentHash,
    now: UnixSecs,
) -> rusqlite::Result<bool> {
    let changed = tx
        .sql()
        .prepare_cached(
            "UPDATE invoice SET state = 'cancelled'
             WHERE payment_hash = ?1 AND payee = ?2 AND state = 'open' AND accept_until >= ?3",
        )?
        .execute(params![hash.as_bytes(), payee.as_bytes(), secs(now)])?;
    Ok(changed == 1)
}

//! Hold invoices: made for a hash whose preimage the payee keeps, settled or cancelled by it, cancelled
//! when its time is over.

use ledger::LedgerTx;
use nostr::key::PublicKey;
use protocol::nwc::{
    CancelHoldInvoice, Done, ErrorCode, MakeHoldInvoice, Method, PaymentHash, Preimage, Response, ResultBody,
    SettleHoldInvoice, WalletError,
};
use sha2::{Digest, Sha256};
use units::UnixSecs;

use super::Wallet;
use super::answer::{Handled, Notice};
use super::caller::Caller;
use super::pay::{late, paid, received_notices, sent_notice};
use super::receive::Hold;
use super::refusal::Refusal;
use crate::store::{HoldUntil, Invoice, InvoiceState, Store, StoreError, held, invoice, payment};

/// Seconds of a block, as Bitcoin aims at.
const BLOCK_SECS: u32 = 600;
/// Blocks for a client that names no number: a day, as other wallets do.
const CLTV_DELTA_DEFAULT: u32 = 144;
/// Blocks before the node's own deadline at which money is sent back: the claim must be confirmed in time.
const SETTLE_MARGIN: u32 = 6;
/// Invoices that are cancelled, or that the node is told of, in one go.
const BATCH: u32 = 64;

/// The height by which the payee must settle, if the node must have the preimage by `deadline`.
pub(super) const fn settle_height(deadline: u32) -> u32 {
    deadline.saturating_sub(SETTLE_MARGIN)
}

impl Wallet {
    pub(super) fn make_hold_invoice(
        &self,
        caller: &Caller,
        terms: MakeHoldInvoice,
        now: UnixSecs,
    ) -> Result<Handled, Refusal> {
        let blocks = terms.min_cltv_expiry_delta.unwrap_or(CLTV_DELTA_DEFAULT);
        let hold = Hold {
            payment_hash: terms.payment_hash,
            secs: blocks.saturating_mul(BLOCK_SECS).min(self.limits.hold_secs_max),
            min_cltv_delta: terms.min_cltv_expiry_delta,
        };
        self.make_held(caller, hold, terms.invoice, now)
    }

    pub(super) fn settle_hold_invoice(
        &self,
        caller: &Caller,
        wanted: SettleHoldInvoice,
        now: UnixSecs,
    ) -> Result<Handled, Refusal> {
        let payee = caller.wallet;
        let height = self.backend.block_height();
        let (handled, _) = self.once::<()>(caller, &Method::SettleHoldInvoice, now, move |tx, _| {
            Ok((settle(tx, &payee, &wanted.preimage, height, now)?, None))
        })?;
        self.tell_node_now();
        Ok(handled)
    }

    pub(super) fn cancel_hold_invoice(
        &self,
        caller: &Caller,
        wanted: CancelHoldInvoice,
        now: UnixSecs,
    ) -> Result<Handled, Refusal> {
        let payee = caller.wallet;
        let (handled, _) = self.once::<()>(caller, &Method::CancelHoldInvoice, now, move |tx, _| {
            let found = own(tx, &payee, wanted.payment_hash)?;
            let done = Handled::now(Response::done(ResultBody::CancelHoldInvoice(Done {})));
            let notices = match found.state {
                InvoiceState::Open | InvoiceState::Accepted => cancel(tx, &found, now)?,
                InvoiceState::Cancelled | InvoiceState::Expired => Vec::new(),
                InvoiceState::Claiming | InvoiceState::Settled => return Err(Refusal::HoldSettled),
            };
            Ok((Handled { notices, ..done }, None))
        })?;
        self.tell_node_now();
        Ok(handled)
    }

    /// Sends back what was locked in for too long. Returns what is to be sent.
    pub(super) fn cancel_overdue(&self, now: UnixSecs) -> Result<Vec<Notice>, StoreError> {
        let height = self.backend.block_height();
        // Most of the time there is none; looking for that does not need the writer.
        if self.store.read(|view| held::overdue(view, now, height, 1))?.is_empty() {
            return Ok(Vec::new());
        }
        self.store.write(move |tx| {
            let mut notices = Vec::new();
            for overdue in held::overdue(tx.view(), now, height, BATCH)? {
                notices.extend(cancel(tx, &overdue, now)?);
            }
            Ok(notices)
        })
    }

    /// The same after a change that is on the disk: a fault must not take its answer back. The next upkeep
    /// tells the node.
    fn tell_node_now(&self) {
        if let Err(error) = self.tell_node() {
            tracing::error!(%error, "the node is told later");
        }
    }

    /// Tells the node what it must be told, and notes that it was. Asked again after a crash, a node does
    /// the same again.
    pub(super) fn tell_node(&self) -> Result<(), StoreError> {
        let Some(claims) = self.backend.claims() else { return Ok(()) };
        for (id, intent) in self.store.read(|view| held::intents(view, BATCH))? {
            match intent {
                held::NodeIntent::Claim(hash, preimage) => claims.claim(hash, &preimage),
                held::NodeIntent::Reject(hash) => claims.reject(hash),
            }
            note_told(&self.store, id)?;
        }
        Ok(())
    }
}

fn note_told(store: &Store, id: i64) -> Result<(), StoreError> {
    store.write(move |tx| held::told(tx, id).map_err(StoreError::from))
}

/// The payee's own hold invoice of this hash.
fn own(tx: &LedgerTx<'_>, payee: &PublicKey, hash: PaymentHash) -> Result<Invoice, Refusal> {
    let found = invoice::by_hash(tx.view(), hash)?;
    found.filter(|found| found.payee == *payee && found.hold_secs.is_some()).ok_or(Refusal::NotFound)
}

fn settle(
    tx: &LedgerTx<'_>,
    payee: &PublicKey,
    preimage: &Preimage,
    height: Option<u32>,
    now: UnixSecs,
) -> Result<Handled, Refusal> {
    let hash = PaymentHash::from_bytes(Sha256::digest(preimage.as_bytes()).into());
    let found = own(tx, payee, hash)?;
    let done = Handled::now(Response::done(ResultBody::SettleHoldInvoice(Done {})));
    match (found.state, found.settle_by) {
        (InvoiceState::Settled | InvoiceState::Claiming, _) => Ok(done),
        (InvoiceState::Accepted, Some(HoldUntil::Time(until))) if now <= until => {
            let payer = payment::live_by_hash(tx.view(), hash)?;
            let payer = payer.ok_or(StoreError::Inconsistent("nobody pays an accepted hold invoice"))?;
            let revealed = held::reveal(tx, found, preimage)?;
            let (settled, credited) = payment::settle_internal(tx, payer, revealed, now)?;
            let mut notices = match paid(&settled) {
                Some(response) => late(tx, &settled.payer, hash, &response)?,
                None => Vec::new(),
            };
            notices.extend(received_notices(&credited));
            notices.push(sent_notice(&settled));
            Ok(Handled { notices, ..done })
        }
        (InvoiceState::Accepted, Some(HoldUntil::Height(until)))
            if height.is_some_and(|height| height < until) =>
        {
            held::claim(tx, &found, preimage)?;
            Ok(done)
        }
        (InvoiceState::Accepted, _) => Err(Refusal::HoldOverdue),
        (InvoiceState::Open, _) => Err(Refusal::NothingLockedIn),
        (InvoiceState::Cancelled | InvoiceState::Expired, _) => Err(Refusal::Cancelled),
    }
}

/// Cancels an open or accepted invoice; money of another wallet of ours goes back to it.
fn cancel(tx: &LedgerTx<'_>, found: &Invoice, now: UnixSecs) -> Result<Vec<Notice>, StoreError> {
    held::cancel(tx, found)?;
    if !matches!(found.settle_by, Some(HoldUntil::Time(_))) {
        return Ok(Vec::new());
    }
    let payer = payment::live_by_hash(tx.view(), found.payment_hash)?;
    let payer = payer.ok_or(StoreError::Inconsistent("nobody pays an accepted hold invoice"))?;
    payment::fail(tx, &payer, "the payee sent it back", now)?;
    let error = WalletError::new(ErrorCode::PaymentFailed, "the payee sent the payment back");
    Ok(late(tx, &payer.payer, found.payment_hash, &Response::refused(&Method::PayInvoice, error))?)
}

//! Paying invoices.
//!
//! An invoice of this wallet's own node never leaves the house: it is matched by hash and exact text and
//! settled in the ledger, hold and settlement in one transaction. Any other goes to the backend, with
//! amount and fee reserve set aside and the intent on the disk before the hand-over.

use ledger::LedgerTx;
use nostr::key::PublicKey;
use protocol::nwc::{Metadata, Method, Notification, Paid, PayInvoice, PaymentHash, Response, ResultBody};
use units::{Msat, UnixSecs};

use super::answer::{Handled, Notice};
use super::caller::Caller;
use super::connections::check_budget;
use super::fees::Fees;
use super::limits::{self, Incoming};
use super::reconcile::attempt_of;
use super::refusal::Refusal;
use super::{Wallet, upkeep, wire};
use crate::config::Limits;
use crate::lightning::{Bolt11, Dispatch, OutgoingPayment};
use crate::store::{
    self, Connection, HoldError, HoldUntil, Invoice, InvoiceState, NewPayment, Payment, StoreError, invoice,
    past, payment, request,
};

/// How long an invoice from outside may still be payable: that it was paid is remembered until it has expired, also
/// when its payment's row is gone.
const EXPIRY_SECS_MAX: u64 = 366 * 86_400;

/// What payments are bound by.
#[derive(Clone, Copy, Debug)]
struct Policy {
    limits: Limits,
    fees: Fees,
    /// Whether the house pays, whose few accounts may hold what is left.
    by_house: bool,
}

impl Wallet {
    pub(super) fn pay(&self, caller: &Caller, wanted: PayInvoice, now: UnixSecs) -> Result<Handled, Refusal> {
        let invoice = Bolt11::parse(&wanted.invoice).map_err(Refusal::Bolt11)?;
        if invoice.network() != self.backend.network() {
            return Err(Refusal::Network { theirs: invoice.network(), ours: self.backend.network() });
        }
        let amount = amount_to_pay(invoice.amount(), wanted.amount)?;
        let mut new = NewPayment {
            payer: caller.wallet,
            payment_hash: invoice.payment_hash(),
            bolt11: invoice.text().to_owned(),
            amount,
            reserve: Msat::ZERO,
            service_fee: self.fees.payment.of(amount),
            description: invoice.description().map(str::to_owned),
            description_hash: invoice.description_hash(),
            metadata: wanted.metadata.as_ref().map(Metadata::to_json),
            expires_at: invoice.expires_at(),
            connection: caller.connection_id(),
        };
        let by_house = self.is_house(caller);
        let policy = Policy { limits: self.limits, fees: self.fees, by_house };
        if invoice.payee() == self.backend.node_id() {
            let (handled, _) = self.once::<()>(caller, &Method::PayInvoice, now, move |tx, through| {
                Ok((pay_internally(tx, through, new, &policy, now)?, None))
            })?;
            return Ok(handled);
        }
        new.reserve = policy.fees.reserve.of(amount);
        self.pay_over_lightning(caller, invoice, new, policy, now)
    }

    fn pay_over_lightning(
        &self,
        caller: &Caller,
        invoice: Bolt11,
        new: NewPayment,
        policy: Policy,
        now: UnixSecs,
    ) -> Result<Handled, Refusal> {
        let payable = self.backend.check_payable(&invoice).map_err(Refusal::CannotPay);
        let expired = now > invoice.expires_at();
        let expires_too_late = invoice.expires_at() > now.plus_secs(EXPIRY_SECS_MAX);
        let node = self.backend.assets();
        let (handled, begun) = self.once(caller, &Method::PayInvoice, now, move |tx, through| {
            // What is already known comes first: a paid invoice stays paid when it expires.
            if let Some(known) = already(tx, &new)? {
                return Ok((known, None));
            }
            if expired {
                return Err(Refusal::Expired);
            }
            if expires_too_late {
                return Err(Refusal::ExpiresTooLate);
            }
            payable?;
            // Paid before, and its row is gone.
            if past::is_past(tx.view(), new.payment_hash)? {
                return Err(Refusal::PaidBefore);
            }
            // A node has one name for both directions: money that leaves under the hash of an invoice of ours could
            // come back under it, and be taken for its payment.
            if invoice::by_hash(tx.view(), new.payment_hash)?.is_some() {
                return Err(Refusal::HashOurs);
            }
            if !upkeep::solvency(tx.view(), node)?.is_solvent() {
                return Err(Refusal::PayoutsStopped);
            }
            limits::check_in_flight(tx.view(), &new.payer, new.amount, &policy.limits)?;
            let held = hold(tx, through, new, &policy, now)?;
            payment::dispatch(tx, &held)?;
            Ok((Handled::when_settled(held.payment_hash), Some(held)))
        })?;
        let Some(begun) = begun else { return Ok(handled) };
        let (attempt, amount, max_fee) = (attempt_of(&begun), begun.amount, begun.reserve);
        match self.backend.pay(&OutgoingPayment { attempt, invoice, amount, max_fee }) {
            Dispatch::Sent => Ok(handled),
            // The only answer after which the money may go back.
            Dispatch::Refused(reason) => {
                let refusal = Refusal::CannotPay(reason);
                let text = refusal.to_string();
                let refused = Response::refused(&Method::PayInvoice, refusal.into_error(&Method::PayInvoice));
                let response = refused.clone();
                let mut notices = self.store.write(move |tx| {
                    let current = payment::reload(tx, &begun)?;
                    // Another attempt may be on its way by now; this refusal is not about that one.
                    if current.attempt != begun.attempt || !payment::fail(tx, &current, &text, now)? {
                        return Ok(Vec::new());
                    }
                    Ok::<_, StoreError>(late(tx, &begun.payer, begun.payment_hash, &response)?)
                })?;
                // Who asks now is answered now; the others waited.
                notices.retain(|notice| !is_to(notice, caller));
                Ok(Handled { notices, ..Handled::now(refused) })
            }
            Dispatch::Unknown(error) => {
                let hash = begun.payment_hash;
                tracing::warn!(payment_hash = %hash, error, "a payment may or may not have been sent");
                Ok(handled)
            }
        }
    }
}

fn is_to(notice: &Notice, caller: &Caller) -> bool {
    match notice {
        Notice::Late(answer) => Some(answer.to) == caller.event,
        Notice::Wallet { .. } | Notice::Zap => false,
    }
}

/// Answers the requests that wait for this payment.
pub(super) fn late(
    tx: &LedgerTx<'_>,
    payer: &PublicKey,
    hash: PaymentHash,
    response: &Response,
) -> rusqlite::Result<Vec<Notice>> {
    let answers = request::answer_waiting(tx, payer, hash, &response.to_json())?;
    Ok(answers.into_iter().map(Notice::Late).collect())
}

/// The amount to pay. A request may repeat the invoice's amount but not change it: the ledger would
/// otherwise take one number from the payer and give another to the payee.
fn amount_to_pay(invoice: Option<Msat>, requested: Option<Msat>) -> Result<Msat, Refusal> {
    match (invoice, requested) {
        (Some(invoice), Some(requested)) if invoice != requested => Err(Refusal::amount_differs(invoice)),
        (Some(amount), _) | (None, Some(amount)) => Ok(amount),
        (None, None) => Err(Refusal::AmountMissing),
    }
}

fn pay_internally(
    tx: &LedgerTx<'_>,
    through: Option<&Connection>,
    new: NewPayment,
    policy: &Policy,
    now: UnixSecs,
) -> Result<Handled, Refusal> {
    if let Some(known) = already(tx, &new)? {
        return Ok(known);
    }
    let invoice = invoice::by_hash(tx.view(), new.payment_hash)?;
    // The same hash in another invoice is not ours, even if our key signed it.
    let invoice = invoice.filter(|invoice| invoice.bolt11 == new.bolt11).ok_or(Refusal::NotOurs)?;
    match invoice.state {
        InvoiceState::Open if now <= invoice.accept_until => {}
        InvoiceState::Open | InvoiceState::Expired => return Err(Refusal::Expired),
        InvoiceState::Accepted | InvoiceState::Claiming | InvoiceState::Settled => {
            return Err(Refusal::PaidByOther);
        }
        InvoiceState::Cancelled => return Err(Refusal::Cancelled),
    }
    if invoice.payee == new.payer {
        return Err(Refusal::OwnInvoice);
    }
    limits::check_room(tx.view(), Incoming::of(&invoice, invoice.amount), &policy.limits)?;
    if let Some(secs) = invoice.hold_secs {
        return lock_in(tx, through, new, invoice, now.plus_secs(secs.into()), policy, now);
    }
    let held = hold(tx, through, new, policy, now)?;
    let (paid, invoice) = payment::settle_internal(tx, held, invoice, now)?;
    let mut notices = received_notices(&invoice);
    notices.push(sent_notice(&paid));
    Ok(Handled { notices, ..answer(&paid) })
}

/// Sets the money aside for a hold invoice of ours and waits for its payee.
fn lock_in(
    tx: &LedgerTx<'_>,
    through: Option<&Connection>,
    new: NewPayment,
    invoice: Invoice,
    until: UnixSecs,
    policy: &Policy,
    now: UnixSecs,
) -> Result<Handled, Refusal> {
    limits::check_locked_in(tx.view(), &new.payer, &invoice.payee, new.amount, &policy.limits)?;
    let held = hold(tx, through, new, policy, now)?;
    payment::dispatch(tx, &held)?;
    if !store::held::accept(tx, &invoice, HoldUntil::Time(until))? {
        return Err(Refusal::PaidByOther);
    }
    let accepted = invoice::by_hash(tx.view(), invoice.payment_hash)?.ok_or(Refusal::NotFound)?;
    let notices = vec![accepted_notice(&accepted, now)];
    Ok(Handled { notices, ..Handled::when_settled(held.payment_hash) })
}

/// What is told to the payee of a hold invoice that money is locked in for.
pub(super) fn accepted_notice(invoice: &Invoice, now: UnixSecs) -> Notice {
    let notification = Notification::HoldInvoiceAccepted(wire::incoming(invoice, now));
    Notice::Wallet { to: invoice.payee, notification }
}

/// What became of this hash before: paid or being paid by this payer, or by another.
fn already(tx: &LedgerTx<'_>, new: &NewPayment) -> Result<Option<Handled>, Refusal> {
    let Some(live) = payment::live_by_hash(tx.view(), new.payment_hash)? else { return Ok(None) };
    // Its proof belongs to whoever paid it.
    if live.payer != new.payer {
        return Err(Refusal::PaidByOther);
    }
    Ok(Some(answer(&live)))
}

fn hold(
    tx: &LedgerTx<'_>,
    through: Option<&Connection>,
    new: NewPayment,
    policy: &Policy,
    now: UnixSecs,
) -> Result<Payment, Refusal> {
    let total = new.amount.plus(new.reserve).and_then(|sum| sum.plus(new.service_fee)).ok();
    check_budget(tx, through, total, now)?;
    let held = payment::hold(tx, new, now).map_err(|error| match error {
        HoldError::Insufficient => Refusal::Insufficient,
        HoldError::Overflow => Refusal::AmountOutOfRange,
        HoldError::Exists => Refusal::PaidByOther,
        HoldError::Store(error) => error.into(),
    })?;
    if !policy.by_house {
        limits::check_rest(tx.view(), &held.payer, held.reserve, &policy.limits)?;
    }
    Ok(held)
}

/// The answer to whoever asked for this payment, as far as it is.
fn answer(payment: &Payment) -> Handled {
    paid(payment).map_or(Handled::when_settled(payment.payment_hash), Handled::now)
}

/// The reply for a payment that is settled.
pub(super) fn paid(payment: &Payment) -> Option<Response> {
    let preimage = payment.preimage.clone()?;
    Some(Response::done(ResultBody::PayInvoice(Paid { preimage, fees_paid: payment.fee })))
}

pub(super) fn sent_notice(payment: &Payment) -> Notice {
    Notice::Wallet { to: payment.payer, notification: Notification::PaymentSent(wire::outgoing(payment)) }
}

/// What is told about a paid invoice: to its payee, and to the world if it was a zap.
pub(super) fn received_notices(invoice: &Invoice) -> Vec<Notice> {
    let paid_at = invoice.settled_at.unwrap_or_default();
    let notification = Notification::PaymentReceived(wire::incoming(invoice, paid_at));
    let mut notices = vec![Notice::Wallet { to: invoice.payee, notification }];
    if invoice.zap_request.is_some() {
        notices.push(Notice::Zap);
    }
    notices
}

#[cfg(test)]
mod tests;

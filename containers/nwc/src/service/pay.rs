//! Paying invoices.
//!
//! An invoice of this wallet's own node never leaves the house: it is matched by hash and exact text and
//! settled in the ledger, hold and settlement in one transaction. Any other goes to the backend, with
//! amount and fee reserve set aside and the intent on the disk before the hand-over.

use std::ops::ControlFlow;

use ledger::LedgerTx;
use nostr::key::PublicKey;
use protocol::nwc::{Metadata, Notification, Paid, PayInvoice, Response, ResultBody};
use units::{Msat, UnixSecs};

use super::answer::{Handled, Notice, ZapReceipt};
use super::refusal::Refusal;
use super::{Wallet, wire, zap};
use crate::lightning::{Bolt11, Dispatch, OutgoingPayment};
use crate::store::{HoldError, Invoice, InvoiceState, NewPayment, Payment, invoice, payment};

impl Wallet {
    pub(super) fn pay(
        &self,
        caller: &PublicKey,
        wanted: PayInvoice,
        now: UnixSecs,
    ) -> Result<Handled, Refusal> {
        let invoice = Bolt11::parse(&wanted.invoice).map_err(Refusal::Bolt11)?;
        if invoice.network() != self.backend.network() {
            return Err(Refusal::Network { theirs: invoice.network(), ours: self.backend.network() });
        }
        let amount = amount_to_pay(invoice.amount(), wanted.amount)?;
        let mut new = NewPayment {
            payer: *caller,
            payment_hash: invoice.payment_hash(),
            bolt11: invoice.text().to_owned(),
            amount,
            reserve: Msat::ZERO,
            description: invoice.description().map(str::to_owned),
            description_hash: invoice.description_hash(),
            metadata: wanted.metadata.as_ref().map(Metadata::to_json),
            expires_at: invoice.expires_at(),
        };
        if invoice.payee() == self.backend.node_id() {
            return self.store.write(move |tx| pay_internally(tx, new, now));
        }
        new.reserve = self.fee_reserve.of(amount);
        self.pay_over_lightning(invoice, new, now)
    }

    fn pay_over_lightning(
        &self,
        invoice: Bolt11,
        new: NewPayment,
        now: UnixSecs,
    ) -> Result<Handled, Refusal> {
        let outgoing = OutgoingPayment { amount: new.amount, max_fee: new.reserve, invoice };
        let payable = self.backend.check_payable(&outgoing.invoice).map_err(Refusal::CannotPay);
        let expired = now > outgoing.invoice.expires_at();
        let begun = self.store.write(move |tx| {
            // What is already known comes first: a paid invoice stays paid when it expires.
            if let Some(known) = already(tx, &new)? {
                return Ok::<_, Refusal>(ControlFlow::Break(known));
            }
            if expired {
                return Err(Refusal::Expired);
            }
            payable?;
            let held = hold(tx, new, now)?;
            payment::dispatch(tx, &held)?;
            Ok(ControlFlow::Continue(held))
        })?;
        let begun = match begun {
            ControlFlow::Continue(begun) => begun,
            ControlFlow::Break(known) => return Ok(known),
        };
        let hash = begun.payment_hash;
        match self.backend.pay(&outgoing) {
            Dispatch::Sent => {}
            // The only answer after which the money may go back.
            Dispatch::Refused(reason) => {
                let text = reason.to_string();
                self.store.write(move |tx| {
                    let current = payment::reload(tx, &begun)?;
                    payment::fail(tx, &current, &text, now)
                })?;
                return Err(Refusal::CannotPay(reason));
            }
            Dispatch::Unknown(error) => {
                tracing::warn!(payment_hash = %hash, error, "a payment may or may not have been sent");
            }
        }
        Ok(Handled::when_settled(hash))
    }
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

fn pay_internally(tx: &LedgerTx<'_>, new: NewPayment, now: UnixSecs) -> Result<Handled, Refusal> {
    if let Some(known) = already(tx, &new)? {
        return Ok(known);
    }
    let invoice = invoice::by_hash(tx.view(), new.payment_hash)?;
    // The same hash in another invoice is not ours, even if our key signed it.
    let invoice = invoice.filter(|invoice| invoice.bolt11 == new.bolt11).ok_or(Refusal::NotOurs)?;
    match invoice.state {
        InvoiceState::Open if now <= invoice.accept_until => {}
        InvoiceState::Open | InvoiceState::Expired => return Err(Refusal::Expired),
        InvoiceState::Claiming | InvoiceState::Settled => return Err(Refusal::PaidByOther),
        InvoiceState::Cancelled => return Err(Refusal::Cancelled),
    }
    if invoice.payee == new.payer {
        return Err(Refusal::OwnInvoice);
    }
    let held = hold(tx, new, now)?;
    let (paid, invoice) = payment::settle_internal(tx, held, invoice, now)?;
    let mut notices = received_notices(&invoice);
    notices.push(sent_notice(&paid));
    Ok(Handled { notices, ..answer(&paid) })
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

fn hold(tx: &LedgerTx<'_>, new: NewPayment, now: UnixSecs) -> Result<Payment, Refusal> {
    payment::hold(tx, new, now).map_err(|error| match error {
        HoldError::Insufficient => Refusal::Insufficient,
        HoldError::Overflow => Refusal::AmountOutOfRange,
        HoldError::Exists => Refusal::PaidByOther,
        HoldError::Store(error) => Refusal::Store(error),
    })
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
    if let (Some(request), Some(preimage)) = (&invoice.zap_request, &invoice.preimage) {
        notices.push(Notice::Zap(ZapReceipt {
            relays: zap::relays(request),
            request: request.clone(),
            bolt11: invoice.bolt11.clone(),
            preimage: preimage.clone(),
            paid_at,
        }));
    }
    notices
}

#[cfg(test)]
mod tests;

//! Bounds that depend on what the file holds, checked in the transaction that would go beyond them.
//!
//! Those of one key refuse it. Those over all keys have whoever has most give way: see [`super::shares`].

use ledger::{Account, LedgerTx, View};
use nostr::key::PublicKey;
use protocol::nwc::{Method, PaymentHash, Response};
use units::Msat;

use super::refusal::Refusal;
use super::shares::{dust_max, gave_way, least_worth};
use crate::config::Limits;
use crate::store::{AskedBy, Invoice, LateAnswer, OpenCounts, account, held, request, total};

/// What a key is to the wallet: by what it holds, for what it once held may be another key's now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// Holds less than a first payment must be.
    Stranger,
    /// Holds money.
    Holder,
}

impl Standing {
    /// The standing of a key of its own.
    pub(super) fn of(view: View<'_>, key: &PublicKey, limits: &Limits) -> rusqlite::Result<Self> {
        let holds = view.balance(Account::User(key.to_bytes()))?;
        Ok(if holds >= limits.first_min() { Self::Holder } else { Self::Stranger })
    }
}

/// Money for a payee.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming<'a> {
    pub(super) payee: &'a PublicKey,
    pub(super) amount: Msat,
    pub(super) by_house: bool,
}

impl<'a> Incoming<'a> {
    /// What an invoice asks for, or what is given for it.
    pub(super) fn of(invoice: &'a Invoice, amount: Msat) -> Self {
        Self { payee: &invoice.payee, amount, by_house: invoice.asked_by == AskedBy::House }
    }
}

/// Refuses money for a payee that would be one wallet too many, or hold too much. Money that is already
/// being taken for somebody counts as if it were there, so that payments side by side cannot together go
/// beyond the bounds.
pub(super) fn check_room(view: View<'_>, incoming: Incoming<'_>, limits: &Limits) -> Result<(), Refusal> {
    let Incoming { payee, amount, by_house } = incoming;
    let account = Account::User(payee.to_bytes());
    // The server's containers are few, and bounded by it.
    if !by_house && !view.exists(account)? {
        if amount < limits.first_min() {
            return Err(Refusal::FirstPaymentSmall { min: limits.first_min().msat() });
        }
        // Wallets that were emptied take no place: whoever moves the same money through many keys fills none.
        let to_come = total::accounts_to_come(view, payee)?;
        if account::size(view)?.holding.saturating_add(to_come) >= limits.wallets_max {
            return Err(Refusal::TooManyWallets);
        }
    }
    let there = view.balance(account)?.plus(total::coming_in(view, payee)?);
    let after = there.and_then(|there| there.plus(amount)).ok();
    let (min, is_dust) = (limits.first_min(), after.is_some_and(|after| after < limits.first_min()));
    if !by_house && is_dust && account::size(view)?.dust >= dust_max(limits) {
        return Err(Refusal::FirstPaymentSmall { min: min.msat() });
    }
    if after.is_some_and(|after| after <= limits.balance_max) {
        Ok(())
    } else {
        Err(Refusal::PayeeFull { max: limits.balance_max.msat() })
    }
}

/// Refuses a payment that would leave dust where there is much of it: an account with less than opens a wallet stays
/// for as long as it is not used.
pub(super) fn check_rest(
    view: View<'_>,
    payer: &PublicKey,
    reserve: Msat,
    limits: &Limits,
) -> Result<(), Refusal> {
    // What is set aside for routing comes back, all or most of it.
    let rest = view.balance(Account::User(payer.to_bytes()))?.plus(reserve).ok();
    let min = limits.first_min();
    let is_dust = rest.is_some_and(|rest| rest.is_positive() && rest < min);
    if is_dust && account::size(view)?.dust > dust_max(limits) {
        return Err(Refusal::LeavesDust { min: min.msat() });
    }
    Ok(())
}

/// Refuses a payment to the outside that would be one too many on its way: each takes a place in a channel.
pub(super) fn check_in_flight(
    view: View<'_>,
    payer: &PublicKey,
    amount: Msat,
    limits: &Limits,
) -> Result<(), Refusal> {
    let (of_payer, of_all) = total::in_flight(view, payer)?;
    let least = least_worth(of_all, limits.in_flight_total, limits.first_min());
    if of_payer >= limits.in_flight_per_key || least.is_none_or(|least| amount < least) {
        return Err(Refusal::TooManyInFlight);
    }
    Ok(())
}

/// Refuses to lock in money from outside for one hold invoice too many: it takes a place in a channel.
pub(super) fn check_holds(
    view: View<'_>,
    payee: &PublicKey,
    amount: Msat,
    limits: &Limits,
) -> Result<(), Refusal> {
    holds_within(held::counts(view, payee, true)?, amount, limits)
}

/// The same for money of another wallet of ours, which is counted apart from both.
pub(super) fn check_locked_in(
    view: View<'_>,
    payer: &PublicKey,
    payee: &PublicKey,
    amount: Msat,
    limits: &Limits,
) -> Result<(), Refusal> {
    if held::locked_in_by(view, payer)? >= limits.in_flight_per_key {
        return Err(Refusal::TooManyInFlight);
    }
    holds_within(held::counts(view, payee, false)?, amount, limits)
}

fn holds_within((of_payee, of_all): (u32, u32), amount: Msat, limits: &Limits) -> Result<(), Refusal> {
    let least = least_worth(of_all, limits.holds_total, limits.first_min());
    if of_payee >= limits.holds_per_key || least.is_none_or(|least| amount < least) {
        return Err(Refusal::TooManyHolds);
    }
    Ok(())
}

/// Refuses one more request that joins a payment under way, or answers one of whichever payer has most of them. The
/// first that waits for a payment is bounded with the payment.
pub(super) fn check_waiting(
    tx: &LedgerTx<'_>,
    payer: &PublicKey,
    hash: PaymentHash,
    limits: &Limits,
) -> Result<Option<LateAnswer>, Refusal> {
    let waiting = request::waiting(tx.view(), payer, hash)?;
    if waiting.for_it == 0 {
        return Ok(None);
    }
    if waiting.for_it >= limits.waiting_per_payment {
        return Err(Refusal::TooManyWaiting);
    }
    if waiting.joined < limits.waiting_total {
        return Ok(None);
    }
    let method = Method::PayInvoice;
    let text = Response::refused(&method, Refusal::TooManyWaiting.into_error(&method)).to_json();
    let answered = request::answer_newest_joined(tx, waiting.joined_of_payer.saturating_add(1), &text)?;
    let answered = answered.ok_or(Refusal::TooManyWaiting)?;
    gave_way("waiting");
    Ok(Some(answered))
}

/// Whether one more open invoice would be too many of its payee's, or of the house's. `asker` is the standing of
/// whoever asks.
pub(super) const fn exceeds_own(
    counts: &OpenCounts,
    asked_by: AskedBy,
    asker: Standing,
    limits: &Limits,
) -> bool {
    match (asked_by, asker) {
        // The house has as many as all others, for all its payees.
        (AskedBy::House, _) => counts.house >= limits.open_total,
        // Keys that hold nothing leave room for those that do.
        (AskedBy::Key, Standing::Stranger) => {
            counts.of_payee >= limits.open_per_key - limits.open_per_key / 2
        }
        (AskedBy::Payee | AskedBy::Key | AskedBy::Web, _) => counts.of_payee >= limits.open_per_key,
    }
}

#[cfg(test)]
mod tests;

//! Bounds that depend on what the file holds, checked in the transaction that would go beyond them.
//!
//! Keys cost nothing, so a bound over all keys is a bound that one stranger can use up for the others. Each such
//! bound has parts: strangers share one, whoever was paid before or holds money reaches further, and the house
//! (the server around the wallet, for itself and its containers) has a part that nobody else uses.

use ledger::{Account, View};
use nostr::key::PublicKey;
use protocol::nwc::PaymentHash;
use units::Msat;

use super::refusal::Refusal;
use crate::config::Limits;
use crate::store::{AskedBy, Invoice, OpenCounts, held, request, total};

/// What a key is to the wallet, the least first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// Was never paid.
    Stranger,
    /// Was paid, and holds less than a first payment must be.
    Paid,
    /// Holds money.
    Holder,
}

impl Standing {
    /// The standing of a key of its own.
    pub(super) fn of(view: View<'_>, key: &PublicKey, limits: &Limits) -> rusqlite::Result<Self> {
        let account = Account::User(key.to_bytes());
        Ok(if view.balance(account)? >= limits.first_min() {
            Self::Holder
        } else if view.exists(account)? {
            Self::Paid
        } else {
            Self::Stranger
        })
    }

    /// How much of a bound over all keys this standing reaches.
    const fn part_of(self, whole: u32) -> u32 {
        match self {
            Self::Stranger | Self::Paid => whole - whole / 4,
            Self::Holder => whole,
        }
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
        let to_come = total::accounts_to_come(view, payee)?;
        if !total::has_place(view, limits.wallets_max, limits.first_min(), to_come)? {
            return Err(Refusal::TooManyWallets);
        }
    }
    let there = view.balance(account)?.plus(total::coming_in(view, payee)?);
    let after = there.and_then(|there| there.plus(amount)).ok();
    if after.is_some_and(|after| after <= limits.balance_max) {
        Ok(())
    } else {
        Err(Refusal::PayeeFull { max: limits.balance_max.msat() })
    }
}

/// Refuses a payment to the outside that would be one too many on its way: each takes a place in a channel.
pub(super) fn check_in_flight(view: View<'_>, payer: &PublicKey, limits: &Limits) -> Result<(), Refusal> {
    let (of_payer, of_all) = total::in_flight(view, payer)?;
    if of_payer >= limits.in_flight_per_key || of_all >= limits.in_flight_total {
        return Err(Refusal::TooManyInFlight);
    }
    Ok(())
}

/// Refuses to lock in money from outside for one hold invoice too many: it takes a place in a channel.
pub(super) fn check_holds(view: View<'_>, payee: &PublicKey, limits: &Limits) -> Result<(), Refusal> {
    let counts = held::counts(view, payee, true)?;
    holds_within(counts, Standing::of(view, payee, limits)?, limits)
}

/// The same for money of another wallet of ours, which is counted apart from both.
pub(super) fn check_locked_in(
    view: View<'_>,
    payer: &PublicKey,
    payee: &PublicKey,
    limits: &Limits,
) -> Result<(), Refusal> {
    if held::locked_in_by(view, payer)? >= limits.in_flight_per_key {
        return Err(Refusal::TooManyInFlight);
    }
    let counts = held::counts(view, payee, false)?;
    holds_within(counts, Standing::of(view, payee, limits)?, limits)
}

const fn holds_within(
    (of_payee, of_all): (u32, u32),
    standing: Standing,
    limits: &Limits,
) -> Result<(), Refusal> {
    if of_payee >= limits.holds_per_key || of_all >= standing.part_of(limits.holds_total) {
        return Err(Refusal::TooManyHolds);
    }
    Ok(())
}

/// Refuses one more request that waits for a payment.
pub(super) fn check_waiting(
    view: View<'_>,
    payer: &PublicKey,
    hash: PaymentHash,
    limits: &Limits,
) -> Result<(), Refusal> {
    let (for_it, for_any) = request::waiting(view, payer, hash)?;
    if for_it >= limits.waiting_per_payment || for_any >= limits.waiting_total {
        return Err(Refusal::TooManyWaiting);
    }
    Ok(())
}

/// Whether one more open invoice would be too many. `payee` is the standing of whoever is paid, `asker` of
/// whoever asks.
pub(super) const fn exceeds_open(
    counts: &OpenCounts,
    asked_by: AskedBy,
    payee: Standing,
    asker: Standing,
    limits: &Limits,
) -> bool {
    let of_payee = match (asked_by, asker) {
        // The house has as many again, for all its payees.
        (AskedBy::House, _) => return counts.house >= limits.open_total,
        // Keys that were never paid leave room for those that were.
        (AskedBy::Key, Standing::Stranger) => limits.open_per_key - limits.open_per_key / 2,
        (AskedBy::Payee | AskedBy::Key | AskedBy::Web, _) => limits.open_per_key,
    };
    counts.of_payee >= of_payee
        || counts.total >= payee.part_of(limits.open_total)
        || matches!(payee, Standing::Stranger) && counts.unfunded >= limits.open_unfunded
}

#[cfg(test)]
mod tests;

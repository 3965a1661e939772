//! Bounds that depend on what the file holds, checked in the transaction that would go beyond them.

use ledger::{Account, View};
use nostr::key::PublicKey;
use units::Msat;

use super::refusal::Refusal;
use crate::config::Limits;
use crate::store::{held, total};

/// Refuses money for a payee that would be one wallet too many, or hold too much. Money that is already
/// being taken for somebody counts as if it were there, so that payments side by side cannot together go
/// beyond the bounds.
pub(super) fn check_room(
    view: View<'_>,
    payee: &PublicKey,
    amount: Msat,
    limits: &Limits,
) -> Result<(), Refusal> {
    let account = Account::User(payee.to_bytes());
    if !view.exists(account)? {
        let wallets = total::accounts(view)?.saturating_add(total::accounts_to_come(view, payee)?);
        if wallets >= limits.wallets_max {
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

/// Refuses a payment that would be one too many on its way: each takes a place in a channel.
pub(super) fn check_in_flight(view: View<'_>, payer: &PublicKey, limits: &Limits) -> Result<(), Refusal> {
    let (of_payer, of_all) = total::in_flight(view, payer)?;
    if of_payer >= limits.in_flight_per_key || of_all >= limits.in_flight_total {
        return Err(Refusal::TooManyInFlight);
    }
    Ok(())
}

/// Refuses to lock in money for one hold invoice too many: what is locked in serves nobody.
pub(super) fn check_holds(view: View<'_>, payee: &PublicKey, limits: &Limits) -> Result<(), Refusal> {
    let (of_payee, of_all) = held::counts(view, payee)?;
    if of_payee >= limits.holds_per_key || of_all >= limits.holds_total {
        return Err(Refusal::TooManyHolds);
    }
    Ok(())
}

//! What the steps of a payment post. All of it follows from the payment, so that the audit can tell what was posted for
//! a row even when the transaction itself has gone.

use ledger::{Account, NewTransaction};
use nostr::key::PublicKey;
use units::{Msat, UnixSecs};

use super::super::StoreError;
use super::Payment;

pub(super) const OUT_OF_RANGE: StoreError = StoreError::Inconsistent("an amount is out of range");

/// Amount, fee reserve and the house's fee are set aside.
pub(in crate::store) fn hold(payment: &Payment, now: UnixSecs) -> Result<NewTransaction, StoreError> {
    let held = held(payment)?;
    Ok(step(payment, "hold", "payment_hold", now)
        .posting(Account::User(payment.payer.to_bytes()), negated(held)?)
        .posting(Account::Hold, held))
}

/// All of it comes back.
pub(in crate::store) fn release(payment: &Payment, now: UnixSecs) -> Result<NewTransaction, StoreError> {
    let held = held(payment)?;
    Ok(step(payment, "release", "payment_release", now)
        .posting(Account::Hold, negated(held)?)
        .posting(Account::User(payment.payer.to_bytes()), held))
}

/// A payee of ours is paid.
pub(in crate::store) fn settle_internal(
    payment: &Payment,
    payee: &PublicKey,
    received: Msat,
    now: UnixSecs,
) -> Result<NewTransaction, StoreError> {
    Ok(step(payment, "settle", "internal_payment", now)
        .posting(Account::Hold, negated(held(payment)?)?)
        .posting(Account::User(payee.to_bytes()), received)
        .posting_unless_zero(Account::ServiceFee, payment.service_fee))
}

/// Somebody elsewhere was paid, for a routing fee.
pub(in crate::store) fn settle_external(
    payment: &Payment,
    fee: Msat,
    now: UnixSecs,
) -> Result<NewTransaction, StoreError> {
    let unused = payment.reserve.minus(fee).map_err(|_| OUT_OF_RANGE)?;
    // The reserve is the maximum that the node may spend. If it spent more, the house pays.
    let (back, excess) = if unused.is_negative() { (Msat::ZERO, unused) } else { (unused, Msat::ZERO) };
    Ok(step(payment, "settle", "payment_settle", now)
        .posting(Account::Hold, negated(held(payment)?)?)
        .posting(Account::NodeLightning, sum(payment.amount, fee)?)
        .posting_unless_zero(Account::User(payment.payer.to_bytes()), back)
        .posting_unless_zero(Account::ServiceFee, payment.service_fee)
        .posting_unless_zero(Account::RoutingFee, excess))
}

/// A ledger transaction that is this step of this attempt, and can be posted once.
pub(super) fn step(payment: &Payment, name: &str, kind: &'static str, now: UnixSecs) -> NewTransaction {
    let key = format!("payment/{}/{}/{name}", payment.id, payment.attempt);
    NewTransaction::new(key, kind, payment.payment_hash.to_hex(), now)
}

/// What is on hold for a payment in flight.
fn held(payment: &Payment) -> Result<Msat, StoreError> {
    sum(sum(payment.amount, payment.reserve)?, payment.service_fee)
}

pub(super) fn sum(a: Msat, b: Msat) -> Result<Msat, StoreError> {
    a.plus(b).map_err(|_| OUT_OF_RANGE)
}

pub(super) fn negated(amount: Msat) -> Result<Msat, StoreError> {
    amount.negated().map_err(|_| OUT_OF_RANGE)
}

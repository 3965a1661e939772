//! The steps of a payment with the money they move.

use ledger::{Account, LedgerTx, NewTransaction, PostError, Posted, View};
use protocol::nwc::{PaymentHash, Preimage};
use rusqlite::params;
use units::{Msat, UnixSecs};

use super::super::StoreError;
use super::super::invoices::{self, Invoice};
use super::super::sql::secs;
use super::transactions::{self, OUT_OF_RANGE, negated, step, sum};
use super::{NewPayment, Payment, PaymentEvent, PaymentState, Step, begin, in_flight};

/// Why the money for a payment was not set aside. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldError {
    /// The balance does not cover amount and fee reserve.
    #[error("the balance does not cover the payment")]
    Insufficient,
    /// Amount and reserve together are beyond any amount.
    #[error("the amount is out of range")]
    Overflow,
    /// The same payment is in flight or settled.
    #[error("the payment exists")]
    Exists,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for HoldError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Begins a payment: writes it and moves amount and fee reserve from the payer to `hold`. If it fails, the
/// caller must abandon the transaction.
pub(crate) fn hold(tx: &LedgerTx<'_>, new: NewPayment, now: UnixSecs) -> Result<Payment, HoldError> {
    let total = new.amount.plus(new.reserve).and_then(|sum| sum.plus(new.service_fee));
    total.map_err(|_| HoldError::Overflow)?;
    let payment = begin(tx, new, now)?.ok_or(HoldError::Exists)?;
    if payment.attempt > 1 {
        // Nothing is posted for an earlier attempt any more; where its transactions went, their keys need not stay.
        let compaction = tx.begin_compaction()?;
        compaction.forget_keys(&format!("payment/{}", payment.id), None)?;
        compaction.end()?;
    }
    let payer = Account::User(payment.payer.to_bytes());
    match tx.post(&transactions::hold(&payment, now)?) {
        Ok(_) => Ok(payment),
        Err(PostError::Insufficient { account, .. }) if account == payer => Err(HoldError::Insufficient),
        Err(error) => Err(HoldError::Store(error.into())),
    }
}

/// Marks a held payment as about to be handed to the node. Must be on the disk before it is.
pub(crate) fn dispatch(tx: &LedgerTx<'_>, payment: &Payment) -> Result<(), StoreError> {
    match payment.state.step(PaymentEvent::Dispatch) {
        Step::To(state) => set_state(tx, payment, state),
        Step::SettleLate | Step::Ignore | Step::Impossible => {
            Err(StoreError::Inconsistent("a payment was dispatched twice"))
        }
    }
}

/// Settles a payment against an invoice of ours: the money moves from `hold` to the payee and the fee to the
/// house, the invoice is paid and gives its preimage. Returns both as they are now.
pub(crate) fn settle_internal(
    tx: &LedgerTx<'_>,
    payment: Payment,
    invoice: Invoice,
    now: UnixSecs,
) -> Result<(Payment, Invoice), StoreError> {
    let preimage = invoice.preimage.clone();
    let preimage = preimage.ok_or(StoreError::Inconsistent("an invoice of ours has no preimage"))?;
    // The amounts agree, or one of the two accounts would be given money from nowhere.
    if payment.amount != invoice.amount || payment.reserve != Msat::ZERO {
        return Err(StoreError::Inconsistent("a payment does not pay what its invoice asks for"));
    }
    let invoice = invoices::settle(tx, invoice, payment.amount, false, now)?;
    tx.post(&transactions::settle_internal(&payment, &invoice.payee, payment.amount, now)?)?;
    let fee = payment.service_fee;
    Ok((set_settled(tx, payment, preimage, fee, false, now)?, invoice))
}

/// Settles a payment that arrived over Lightning, and returns it as it is now; none if that is no news.
pub(crate) fn settle_external(
    tx: &LedgerTx<'_>,
    payment: Payment,
    preimage: Preimage,
    fee: Msat,
    now: UnixSecs,
) -> Result<Option<Payment>, StoreError> {
    let spent = sum(payment.amount, fee)?;
    let mut fees = fee;
    let payer = Account::User(payment.payer.to_bytes());
    let posting = match payment.state.step(PaymentEvent::Settle) {
        Step::To(_) => {
            fees = sum(fee, payment.service_fee)?;
            transactions::settle_external(&payment, fee, now)?
        }
        // What was given up and arrives after all costs what it cost; the house takes nothing for it.
        Step::SettleLate => {
            let from_payer = tx.view().balance(payer)?.min(spent);
            let missing = from_payer.minus(spent).map_err(|_| OUT_OF_RANGE)?;
            step(&payment, "settle-late", "payment_settle_late", now)
                .posting(Account::NodeLightning, spent)
                .posting_unless_zero(payer, negated(from_payer)?)
                .posting_unless_zero(Account::Suspense, missing)
        }
        Step::Ignore => return Ok(None),
        Step::Impossible => return Err(StoreError::Inconsistent("a payment cannot settle")),
    };
    tx.post(&posting)?;
    set_settled(tx, payment, preimage, fees, true, now).map(Some)
}

/// Gives up a payment that definitely failed and returns the money. True if that was news.
pub(crate) fn fail(
    tx: &LedgerTx<'_>,
    payment: &Payment,
    reason: &str,
    now: UnixSecs,
) -> Result<bool, StoreError> {
    match payment.state.step(PaymentEvent::Fail) {
        Step::To(_) => {}
        Step::Ignore => return Ok(false),
        Step::SettleLate | Step::Impossible => return Err(StoreError::Inconsistent("a payment cannot fail")),
    }
    tx.post(&transactions::release(payment, now)?)?;
    tx.sql()
        .prepare_cached("UPDATE payment SET state = 'failed', failure = ?2 WHERE id = ?1")?
        .execute(params![payment.id, reason])?;
    Ok(true)
}

/// Returns the money of payments that were held but never marked as dispatched: the program ended in
/// between, and nothing was handed over. For the start, before anything else runs.
pub(crate) fn release_undispatched(tx: &LedgerTx<'_>, now: UnixSecs) -> Result<Vec<PaymentHash>, StoreError> {
    let held = in_flight(tx.view())?.into_iter().filter(|payment| payment.state == PaymentState::Held);
    held.map(|payment| {
        fail(tx, &payment, "the wallet restarted before the payment was sent", now)?;
        Ok(payment.payment_hash)
    })
    .collect()
}

/// Books money that arrived and is nobody's. True if that was news.
pub(crate) fn suspend(
    tx: &LedgerTx<'_>,
    hash: PaymentHash,
    amount: Msat,
    now: UnixSecs,
) -> Result<bool, StoreError> {
    if !amount.is_positive() {
        return Ok(false);
    }
    let posting = NewTransaction::new(unclaimed(hash), "unclaimed_receive", hash.to_hex(), now)
        .posting(Account::NodeLightning, negated(amount)?)
        .posting(Account::Suspense, amount);
    match tx.post(&posting) {
        Ok(Posted::New(_)) => Ok(true),
        // Told again, perhaps with another amount: once is what there is a hash for.
        Ok(Posted::Already(_)) | Err(PostError::KeyReused { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether money with this hash was booked as nobody's.
pub(crate) fn is_suspended(view: View<'_>, hash: PaymentHash) -> rusqlite::Result<bool> {
    view.sql()
        .prepare_cached(
            "SELECT 1 FROM ledger_transaction WHERE key = ?1 UNION ALL SELECT 1 FROM ledger_carried WHERE key = ?1",
        )?
        .exists([unclaimed(hash)])
}

fn unclaimed(hash: PaymentHash) -> String {
    format!("unclaimed/{}", hash.to_hex())
}

fn set_state(tx: &LedgerTx<'_>, payment: &Payment, state: PaymentState) -> Result<(), StoreError> {
    tx.sql()
        .prepare_cached("UPDATE payment SET state = ?2 WHERE id = ?1")?
        .execute(params![payment.id, state.as_str()])?;
    Ok(())
}

fn set_settled(
    tx: &LedgerTx<'_>,
    payment: Payment,
    preimage: Preimage,
    fee: Msat,
    to_outside: bool,
    now: UnixSecs,
) -> Result<Payment, StoreError> {
    tx.sql()
        .prepare_cached(
            "UPDATE payment SET state = 'settled', preimage = ?2, fee_msat = ?3, settled_at = ?4, failure = NULL,
                 outside = ?5
             WHERE id = ?1",
        )?
        .execute(params![payment.id, preimage.as_bytes(), fee.msat(), secs(now), to_outside])?;
    Ok(Payment {
        state: PaymentState::Settled,
        preimage: Some(preimage),
        fee,
        settled_at: Some(now),
        failure: None,
        ..payment
    })
}

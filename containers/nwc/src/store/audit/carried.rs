//! What was carried forward, compared with the rows that it was posted for: of a transaction that went a key and a
//! digest are kept, and what it said follows from the row.

use ledger::View;
use rusqlite::OptionalExtension;
use units::UnixSecs;

use super::AuditError;
use crate::store::StoreError;
use crate::store::invoices::{self, Invoice};
use crate::store::payments::{Payment, PaymentState, transactions};

/// A digest says nothing of when.
const WHENEVER: UnixSecs = UnixSecs(0);
/// Keys that are read at once.
const PAGE: u32 = 1_000;

/// The first row that says something else than what was posted for it.
pub(super) fn wrong(view: View<'_>) -> Result<Option<AuditError>, AuditError> {
    let mut after = String::new();
    loop {
        let keys = view.carried_keys(&after, PAGE)?;
        for key in &keys {
            if let Some(error) = wrong_at(view, key)? {
                return Ok(Some(error));
            }
        }
        match keys.into_iter().next_back() {
            Some(last) => after = last,
            None => return Ok(None),
        }
    }
}

fn wrong_at(view: View<'_>, key: &str) -> Result<Option<AuditError>, AuditError> {
    let mut parts = key.split('/');
    let table = parts.next();
    let Some(id) = parts.next().and_then(|id| id.parse::<i64>().ok()) else { return Ok(None) };
    let rest: Vec<&str> = parts.collect();
    let (expected, error) = match (table, rest.as_slice()) {
        (Some("payment"), [attempt, step]) => (of_payment(view, id, attempt, step)?, AuditError::Payment(id)),
        (Some("invoice"), ["receive"]) => (of_invoice(view, id)?, AuditError::Invoice(id)),
        // The faucet's, holding fees, money that is nobody's: no row says how much.
        (Some(_) | None, _) => return Ok(None),
    };
    let is_wrong = match expected {
        Some(Ok(expected)) => view.was_carried_otherwise(&expected)?,
        Some(Err(StoreError::Sqlite(error))) => return Err(error.into()),
        // Amounts that no transaction can have had.
        Some(Err(_)) => true,
        None => false,
    };
    Ok(is_wrong.then_some(error))
}

type Expected = Option<Result<ledger::NewTransaction, StoreError>>;

/// What a step of a payment posted. None if the row does not tell: it is about another attempt, or gone, or the payee's
/// is, or the payer paid what it still had.
fn of_payment(view: View<'_>, id: i64, attempt: &str, step: &str) -> rusqlite::Result<Expected> {
    let payment = view
        .sql()
        .prepare_cached("SELECT * FROM payment WHERE id = ?1")?
        .query_row([id], |row| Ok((Payment::from_row(row)?, row.get::<_, bool>("outside")?)))
        .optional()?;
    let Some((payment, outside)) = payment.filter(|(one, _)| one.attempt.to_string() == attempt) else {
        return Ok(None);
    };
    Ok(match step {
        "hold" => Some(transactions::hold(&payment, WHENEVER)),
        "release" => Some(transactions::release(&payment, WHENEVER)),
        "settle" if payment.state == PaymentState::Settled => match paid_by(view, &payment)? {
            Some(invoice) => {
                // What the row says was received, so that the two cannot differ.
                let received = invoice.received.unwrap_or(payment.amount);
                Some(transactions::settle_internal(&payment, &invoice.payee, received, WHENEVER))
            }
            None if outside => Some(of_outside(&payment)),
            None => None,
        },
        _ => None,
    })
}

fn of_outside(payment: &Payment) -> Result<ledger::NewTransaction, StoreError> {
    let routing = payment.fee.minus(payment.service_fee);
    let routing = routing.map_err(|_| StoreError::Inconsistent("an amount is out of range"))?;
    transactions::settle_external(payment, routing, WHENEVER)
}

/// The invoice of ours that a payment paid.
fn paid_by(view: View<'_>, payment: &Payment) -> rusqlite::Result<Option<Invoice>> {
    view.sql()
        .prepare_cached(
            "SELECT * FROM invoice WHERE payment_hash = ?1 AND bolt11 = ?2 AND state = 'settled'",
        )?
        .query_row((payment.payment_hash.as_bytes(), &payment.bolt11), Invoice::from_row)
        .optional()
}

/// What was credited for an invoice.
fn of_invoice(view: View<'_>, id: i64) -> rusqlite::Result<Expected> {
    let invoice = view
        .sql()
        .prepare_cached("SELECT * FROM invoice WHERE id = ?1")?
        .query_row([id], Invoice::from_row)
        .optional()?;
    let paid = invoice.and_then(|invoice| Some((invoice.received?, invoice)));
    Ok(paid.map(|(received, invoice)| invoices::credit(&invoice, received, WHENEVER)))
}

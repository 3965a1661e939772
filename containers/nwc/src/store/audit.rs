//! The audit of the whole file: the books, and that the wallet's tables say the same as the books.

use ledger::{Account, BooksBroken, View};
use rusqlite::OptionalExtension;
use units::Msat;

/// A promise of the file that does not hold. The wallet must not go on.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The ledger itself.
    #[error("the books are broken")]
    Books(#[from] BooksBroken),
    /// `hold` is not what the payments in flight hold.
    #[error("{held} is on hold, but payments in flight hold {in_flight}")]
    Hold {
        /// The account's balance.
        held: Msat,
        /// The sum over payments in flight.
        in_flight: Msat,
    },
    /// A paid invoice whose credit is not in the books, or a credit without a paid invoice.
    #[error("the invoice {0} and the books disagree")]
    Invoice(i64),
    /// A payment and the books disagree.
    #[error("the payment {0} and the books disagree")]
    Payment(i64),
    /// Money is locked in for a hold invoice, but no payment holds it; or the other way round.
    #[error("the hold invoice {0} and the payments disagree")]
    HoldInvoice(i64),
    /// The counts of open invoices are wrong.
    #[error("the counts of open invoices are wrong")]
    OpenInvoices,
    /// The database failed.
    #[error("the wallet's database cannot be read")]
    Sqlite(#[from] rusqlite::Error),
}

/// Settled payments without a settling transaction of this attempt, payments in flight or failed with
/// one, and payments without the hold they began with.
const WRONG_PAYMENT: &str = "
    SELECT p.id FROM payment p
    LEFT JOIN ledger_transaction h ON h.key = 'payment/' || p.id || '/' || p.attempt || '/hold'
    LEFT JOIN ledger_transaction s ON s.key = 'payment/' || p.id || '/' || p.attempt || '/settle'
    LEFT JOIN ledger_transaction l ON l.key = 'payment/' || p.id || '/' || p.attempt || '/settle-late'
    LEFT JOIN ledger_transaction r ON r.key = 'payment/' || p.id || '/' || p.attempt || '/release'
    WHERE h.id IS NULL
       OR (p.state = 'settled') <> (s.id IS NOT NULL OR l.id IS NOT NULL)
       OR (p.state IN ('held', 'dispatched') AND r.id IS NOT NULL)
       OR (p.state = 'failed' AND r.id IS NULL)
       OR (s.id IS NOT NULL AND r.id IS NOT NULL)
    LIMIT 1";

/// Settled invoices without exactly one transaction that credits the payee with what was received: a
/// receipt over Lightning, or the settling of a payment with the same hash.
const WRONG_INVOICE: &str = "
    SELECT i.id FROM invoice i
    WHERE (i.state = 'settled') <> (
        SELECT count(*) FROM (
            SELECT t.id FROM ledger_transaction t WHERE t.key = 'invoice/' || i.id || '/receive'
            UNION ALL
            SELECT t.id FROM payment p
                JOIN ledger_transaction t ON t.key = 'payment/' || p.id || '/' || p.attempt || '/settle'
                WHERE p.payment_hash = i.payment_hash AND p.state = 'settled'
        ) t
        JOIN ledger_posting g ON g.transaction_id = t.id
        JOIN ledger_account a ON a.id = g.account_id AND a.key = 'user:' || lower(hex(i.payee))
        WHERE g.amount_msat = i.received_msat
    )
    LIMIT 1";

/// Hold invoices that wait for money of another wallet of ours without a payment that holds just that,
/// and payments in flight to an invoice of ours that does not wait for them.
const WRONG_HOLD: &str = "
    SELECT i.id FROM invoice i
    LEFT JOIN payment p ON p.payment_hash = i.payment_hash AND p.bolt11 = i.bolt11 AND p.state = 'dispatched'
    WHERE (i.settle_until IS NOT NULL) <> (p.id IS NOT NULL) OR p.amount_msat <> i.amount_msat
    LIMIT 1";

pub(super) fn audit(view: View<'_>) -> Result<(), AuditError> {
    view.check_books()?;
    let sql = view.sql();
    let held = view.balance(Account::Hold)?;
    let in_flight = sql.query_row(
        "SELECT coalesce(sum(amount_msat + reserve_msat + service_fee_msat), 0) FROM payment WHERE state IN ('held', 'dispatched')",
        [],
        |row| row.get(0).map(Msat::new),
    )?;
    if held != in_flight {
        return Err(AuditError::Hold { held, in_flight });
    }
    if let Some(id) = sql.query_row(WRONG_PAYMENT, [], |row| row.get(0)).optional()? {
        return Err(AuditError::Payment(id));
    }
    if let Some(id) = sql.query_row(WRONG_INVOICE, [], |row| row.get(0)).optional()? {
        return Err(AuditError::Invoice(id));
    }
    if let Some(id) = sql.query_row(WRONG_HOLD, [], |row| row.get(0)).optional()? {
        return Err(AuditError::HoldInvoice(id));
    }
    let counts_agree: bool = sql.query_row(
        "SELECT (total, unfunded, house) = (SELECT count(*), coalesce(sum(unfunded), 0),
             coalesce(sum(asked_by = 'house'), 0) FROM invoice WHERE state = 'open')
         FROM open_invoices",
        [],
        |row| row.get(0),
    )?;
    if counts_agree { Ok(()) } else { Err(AuditError::OpenInvoices) }
}

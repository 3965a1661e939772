//! The audit of the whole file: the books, and that the wallet's tables say the same as the books.

mod carried;

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
    /// The counts of connections are wrong.
    #[error("the counts of connections are wrong")]
    Connections,
    /// The counts of accounts are wrong.
    #[error("the counts of accounts are wrong")]
    Accounts,
    /// The counts of what is finished are wrong.
    #[error("the counts of finished payments and invoices are wrong")]
    History,
    /// The counts of remembered requests are wrong.
    #[error("the counts of remembered requests are wrong")]
    Requests,
    /// The database failed.
    #[error("the wallet's database cannot be read")]
    Sqlite(#[from] rusqlite::Error),
}

/// Settled payments without a settling transaction of this attempt, payments in flight or failed with
/// one, and payments without the hold they began with. A transaction that was carried forward counts: its key
/// is kept for as long as the row is.
const WRONG_PAYMENT: &str = "
    SELECT id FROM (
        SELECT p.id, p.state,
            EXISTS (SELECT 1 FROM ledger_transaction WHERE key = name || '/hold')
                OR EXISTS (SELECT 1 FROM ledger_carried WHERE key = name || '/hold') AS h,
            EXISTS (SELECT 1 FROM ledger_transaction WHERE key = name || '/settle')
                OR EXISTS (SELECT 1 FROM ledger_carried WHERE key = name || '/settle') AS s,
            EXISTS (SELECT 1 FROM ledger_transaction WHERE key = name || '/settle-late')
                OR EXISTS (SELECT 1 FROM ledger_carried WHERE key = name || '/settle-late') AS l,
            EXISTS (SELECT 1 FROM ledger_transaction WHERE key = name || '/release')
                OR EXISTS (SELECT 1 FROM ledger_carried WHERE key = name || '/release') AS r
        FROM (SELECT id, state, 'payment/' || id || '/' || attempt AS name FROM payment) p
    )
    WHERE NOT h
       OR (state = 'settled') <> (s OR l)
       OR (state IN ('held', 'dispatched') AND r)
       OR (state = 'failed' AND NOT r)
       OR (s AND r)
    LIMIT 1";

/// Settled invoices without exactly one transaction that credits the payee with what was received: a
/// receipt over Lightning, or the settling of the payment of just this invoice. (Somebody may have paid another
/// invoice with the same hash, made elsewhere; that is no payment of this one.)
const WRONG_INVOICE: &str = "
    SELECT i.id FROM invoice i
    WHERE (i.state = 'settled') <> (
        SELECT count(*) FROM (
            SELECT 'invoice/' || i.id || '/receive' AS key
            UNION ALL
            SELECT i.settle_key WHERE i.settle_key IS NOT NULL
            UNION ALL
            SELECT 'payment/' || p.id || '/' || p.attempt || '/settle' FROM payment p
                WHERE p.payment_hash = i.payment_hash AND p.bolt11 = i.bolt11 AND p.state = 'settled'
        ) k
        WHERE EXISTS (SELECT 1 FROM ledger_carried c WHERE c.key = k.key)
           OR EXISTS (
                SELECT 1 FROM ledger_transaction t
                JOIN ledger_posting g ON g.transaction_id = t.id
                JOIN ledger_account a ON a.id = g.account_id AND a.key = 'user:' || lower(hex(i.payee))
                WHERE t.key = k.key AND g.amount_msat = i.received_msat)
    )
    LIMIT 1";

/// Keys whose history is not counted right.
const WRONG_HISTORY: &str = "
    SELECT 1 FROM (
        SELECT pubkey, sum(items) AS items, sum(bytes) AS bytes FROM (
            SELECT payer AS pubkey, 1 AS items, bytes FROM payment WHERE state IN ('settled', 'failed')
            UNION ALL SELECT payee, 1, bytes FROM invoice WHERE state = 'settled'
            UNION ALL SELECT pubkey, -items, -bytes FROM history_of
            UNION ALL SELECT NULL, items, bytes FROM history_of
            UNION ALL SELECT NULL, -items, -bytes FROM history_size)
        GROUP BY pubkey
    ) WHERE items <> 0 OR bytes <> 0
    UNION ALL SELECT 1 FROM history_size
        WHERE strangers <> (SELECT coalesce(sum(bytes), 0) FROM history_of WHERE stranger = 1)
    UNION ALL SELECT 1 FROM history_of WHERE stranger = EXISTS (SELECT 1 FROM ledger_account
        WHERE key = 'user:' || lower(hex(pubkey)) AND balance_msat >= (SELECT least_msat FROM accounts_size))";

/// Payees whose open invoices are not counted right, and pools that are not the sum of theirs.
const WRONG_OPEN: &str = "
    SELECT 1 FROM (
        SELECT payee, asked_by, unfunded, 1 AS items, bytes FROM invoice WHERE state = 'open' AND asked_by <> 'house'
        UNION ALL SELECT payee, asked_by, unfunded, -items, -bytes FROM open_of
        UNION ALL SELECT NULL, asked_by, unfunded, items, bytes FROM open_of
        UNION ALL SELECT NULL, asked_by, unfunded, -items, -bytes FROM open_pool)
    GROUP BY payee, asked_by, unfunded HAVING sum(items) <> 0 OR sum(bytes) <> 0 LIMIT 1";

/// If connections are not counted right.
const WRONG_CONNECTIONS: &str = "
    SELECT 1 FROM connections_size WHERE (house, others) <> (
        SELECT coalesce(sum(house), 0), coalesce(sum(1 - house), 0) FROM connection)
    UNION ALL SELECT 1 FROM (
        SELECT owner, 1 AS items FROM connection WHERE house = 0
        UNION ALL SELECT owner, -items FROM connections_of)
        GROUP BY owner HAVING sum(items) <> 0";

/// If accounts are not counted right.
const WRONG_ACCOUNTS: &str = "
    SELECT 1 FROM accounts_size s WHERE (total, holding, dust) <> (
        SELECT count(*), coalesce(sum(key LIKE 'user:%' AND balance_msat >= s.least_msat), 0),
            coalesce(sum(key LIKE 'user:%' AND balance_msat > 0 AND balance_msat < s.least_msat), 0)
        FROM ledger_account)";

/// Clients whose remembered requests are not counted right.
const WRONG_REQUESTS: &str = "
    SELECT 1 FROM (
        SELECT client, 1 AS items, coalesce(400 + octet_length(reply), 0) AS bytes, 0 AS strangers
            FROM request WHERE house = 0
        UNION ALL SELECT client, -items, -bytes, 0 FROM answers_of
        UNION ALL SELECT NULL, 0, 400 + coalesce(octet_length(reply), 0), 0 FROM request WHERE house = 0
        UNION ALL SELECT NULL, 0, 200, stranger * (200 + bytes) FROM answers_of
        UNION ALL SELECT NULL, 0, -bytes, -strangers FROM request_bytes)
    GROUP BY client HAVING sum(items) <> 0 OR sum(bytes) <> 0 OR sum(strangers) <> 0 LIMIT 1";

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
    if let Some(error) = carried::wrong(view)? {
        return Err(error);
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
    if !counts_agree || sql.prepare(WRONG_OPEN)?.exists([])? {
        return Err(AuditError::OpenInvoices);
    }
    if sql.prepare(WRONG_CONNECTIONS)?.exists([])? {
        return Err(AuditError::Connections);
    }
    if sql.prepare(WRONG_ACCOUNTS)?.exists([])? {
        return Err(AuditError::Accounts);
    }
    if sql.prepare(WRONG_REQUESTS)?.exists([])? {
        return Err(AuditError::Requests);
    }
    if sql.prepare(WRONG_HISTORY)?.exists([])? { Err(AuditError::History) } else { Ok(()) }
}

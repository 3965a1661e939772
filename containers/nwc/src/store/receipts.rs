//! The outbox of zap receipts. Rows come into it by a trigger, in the transaction that pays the invoice.

use ledger::{LedgerTx, View};
use nostr::key::PublicKey;
use nostr::types::url::RelayUrl;
use protocol::nwc::Preimage;
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{OptionalExtension, Row, params};
use units::UnixSecs;

use super::sql::{Columns, secs};

/// How long to wait after each attempt, in seconds. After the last one the receipt is given up: the
/// relay has been away for most of a day.
const RETRY_SECS: [u64; 7] = [5, 30, 120, 600, 3_600, 7_200, 43_200];

/// A receipt that is to be published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) invoice_id: i64,
    pub(crate) payee: PublicKey,
    pub(crate) zap_request: String,
    pub(crate) bolt11: String,
    pub(crate) preimage: Preimage,
    pub(crate) paid_at: UnixSecs,
    /// Relays that need it no more.
    pub(crate) settled: Vec<RelayUrl>,
}

impl Waiting {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let missing = |what: &str| {
            let error = FromSqlError::Other(format!("a zap was paid without {what}").into());
            rusqlite::Error::FromSqlConversionFailure(0, Type::Null, Box::new(error))
        };
        Ok(Self {
            invoice_id: row.get("id")?,
            payee: row.pubkey("payee")?,
            zap_request: row.get("zap_request")?,
            bolt11: row.get("bolt11")?,
            preimage: row.preimage()?.ok_or_else(|| missing("a preimage"))?,
            paid_at: row.secs_or_none("settled_at")?.ok_or_else(|| missing("a time"))?,
            settled: urls(&row.get::<_, String>("settled")?),
        })
    }
}

/// Receipts whose time has come: one of each payee, the longest waiting first, then the next one of each. A payee
/// with many of them delays its own.
pub(crate) fn due(view: View<'_>, now: UnixSecs, limit: u32) -> rusqlite::Result<Vec<Waiting>> {
    view.sql()
        .prepare_cached(
            "SELECT i.id, i.payee, i.zap_request, i.bolt11, i.preimage, i.settled_at, z.settled
             FROM (SELECT *, row_number() OVER (PARTITION BY payee ORDER BY next_at, invoice_id) AS turn
                   FROM zap_receipt WHERE next_at <= ?1) z
             JOIN invoice i ON i.id = z.invoice_id
             ORDER BY z.turn, z.next_at, z.invoice_id LIMIT ?2",
        )?
        .query_map(params![secs(now), limit], Waiting::from_row)?
        .collect()
}

/// When the next receipt is due; none if none waits.
pub(crate) fn next_due(view: View<'_>) -> rusqlite::Result<Option<UnixSecs>> {
    view.sql()
        .prepare_cached("SELECT min(next_at) AS next_at FROM zap_receipt WHERE next_at IS NOT NULL")?
        .query_row([], |row| row.secs_or_none("next_at"))
}

/// How many receipts wait.
pub(crate) fn waiting(view: View<'_>) -> rusqlite::Result<u32> {
    view.sql()
        .prepare_cached("SELECT count(*) FROM zap_receipt WHERE next_at IS NOT NULL")?
        .query_row([], |row| row.get(0))
}

/// Notes that an attempt begins, and when the next one is due: also one that ends with the program counts.
pub(crate) fn begun(tx: &LedgerTx<'_>, invoice_id: i64, now: UnixSecs) -> rusqlite::Result<()> {
    let attempts: Option<usize> = tx
        .sql()
        .prepare_cached("SELECT attempts FROM zap_receipt WHERE invoice_id = ?1 AND next_at IS NOT NULL")?
        .query_row([invoice_id], |row| row.get(0))
        .optional()?;
    let Some(attempts) = attempts else { return Ok(()) };
    let next_at = RETRY_SECS.get(attempts).map(|wait| secs(now.plus_secs(*wait)));
    tx.sql()
        .prepare_cached("UPDATE zap_receipt SET attempts = attempts + 1, next_at = ?2 WHERE invoice_id = ?1")?
        .execute(params![invoice_id, next_at])
        .map(drop)
}

/// Puts one off, or gives it up. What is done stays done.
pub(crate) fn postponed(tx: &LedgerTx<'_>, invoice_id: i64, until: Option<UnixSecs>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("UPDATE zap_receipt SET next_at = ?2 WHERE invoice_id = ?1 AND next_at IS NOT NULL")?
        .execute(params![invoice_id, until.map(secs)])
        .map(drop)
}

/// Writes what came of an attempt: these relays need it no more, and whether any other does.
pub(crate) fn tried(
    tx: &LedgerTx<'_>,
    invoice_id: i64,
    settled: &[RelayUrl],
    more: bool,
) -> rusqlite::Result<()> {
    let before: Option<String> = tx
        .sql()
        .prepare_cached("SELECT settled FROM zap_receipt WHERE invoice_id = ?1")?
        .query_row([invoice_id], |row| row.get(0))
        .optional()?;
    let Some(before) = before else { return Ok(()) };
    let mut all = urls(&before);
    all.extend(settled.iter().filter(|url| !urls(&before).contains(url)).cloned());
    let text = serde_json::to_string(&all).unwrap_or(before);
    tx.sql()
        .prepare_cached(
            "UPDATE zap_receipt SET settled = ?2, next_at = CASE WHEN ?3 THEN next_at END
             WHERE invoice_id = ?1",
        )?
        .execute(params![invoice_id, text, more])
        .map(drop)
}

/// The addresses of a list that we wrote; an entry that cannot be read is tried again.
fn urls(json: &str) -> Vec<RelayUrl> {
    serde_json::from_str::<Vec<String>>(json)
        .map(|texts| texts.iter().filter_map(|text| RelayUrl::parse(text).ok()).collect())
        .unwrap_or_default()
}

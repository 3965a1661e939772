//! Requests that change something, each acted on once. The row and the change are one transaction: after
//! a crash either both are there or neither.

use ledger::{LedgerTx, View};
use nostr::event::EventId;
use nostr::key::PublicKey;
use protocol::nwc::PaymentHash;
use relay::request_log::AGE_SECS_MAX;
use rusqlite::{OptionalExtension, Row, params};
use units::UnixSecs;

use super::sql::{Columns, secs};

/// How long answers are kept. A request is taken up to [`AGE_SECS_MAX`] before and after our clock, so twice
/// that is as long as an event can come back; the rest is for a clock that is set right. No longer: whoever
/// asks twenty times a second fills the wallet's volume with what nobody will ask for again.
const KEPT_SECS: u64 = 3 * AGE_SECS_MAX;
/// Old rows that are removed with every new one: more than one, so that any backlog shrinks.
const PRUNED: u32 = 2;
/// After so long no event can come back: dated ahead as far as is taken, it is too old by then.
const REPLAYED_SECS: u64 = 2 * AGE_SECS_MAX;
/// Rows that are removed at once where there are too many.
const FORGOTTEN: u32 = 1_024;
/// Rows that whoever has most of them gives up at once: more bytes than most answers take.
const GIVEN_UP: u32 = 16;

/// How a request is encrypted, and so its answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scheme {
    /// NIP-44, version 2.
    Nip44,
    /// NIP-04, for old clients.
    Nip04,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Nip44 => "nip44",
            Self::Nip04 => "nip04",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Nip44, Self::Nip04].into_iter().find(|scheme| scheme.as_str() == word)
    }
}

/// The event that a request came in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestEvent {
    /// Its id: what makes it one request.
    pub event: EventId,
    /// Its author.
    pub client: PublicKey,
    /// The service key that it was sent to; the answer comes from there.
    pub service: PublicKey,
    /// How it was encrypted.
    pub scheme: Scheme,
    /// When its author says that it was signed.
    pub signed_at: UnixSecs,
}

/// An answer to a request that waited for the outcome of a payment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LateAnswer {
    /// What it answers.
    pub to: RequestEvent,
    /// The text to encrypt and send.
    pub text: String,
}

/// What is known of an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Known {
    /// It was answered with this text.
    Answered(String),
    /// It waits for this payment.
    Waiting(PaymentHash),
}

/// What is known of this event, if anything.
pub(crate) fn known(view: View<'_>, event: &EventId) -> rusqlite::Result<Option<Known>> {
    view.sql()
        .prepare_cached("SELECT reply, payment_hash FROM request WHERE event = ?1")?
        .query_row([event.as_bytes()], |row| {
            Ok(match row.get::<_, Option<String>>("reply")? {
                Some(text) => Known::Answered(text),
                None => Known::Waiting(row.payment_hash()?),
            })
        })
        .optional()
}

/// Whether this event may be one whose answer was forgotten before its time.
pub(crate) fn is_forgotten(view: View<'_>, request: &RequestEvent) -> rusqlite::Result<bool> {
    view.sql()
        .prepare_cached("SELECT 1 FROM answers_of WHERE client = ?1 AND forgotten_until >= ?2")?
        .exists(params![request.client.as_bytes(), secs(request.signed_at)])
}

/// Records an event with its answer. What the house asks is counted apart, and never forgotten before its time.
pub(crate) fn record_answered(
    tx: &LedgerTx<'_>,
    request: &RequestEvent,
    by_house: bool,
    text: &str,
    now: UnixSecs,
) -> rusqlite::Result<()> {
    insert(tx, request, by_house, None, Some(text), now)
}

/// Records an event whose answer comes with the outcome of a payment.
pub(crate) fn record_waiting(
    tx: &LedgerTx<'_>,
    request: &RequestEvent,
    by_house: bool,
    (payer, hash): (&PublicKey, PaymentHash),
    now: UnixSecs,
) -> rusqlite::Result<()> {
    insert(tx, request, by_house, Some((payer, hash)), None, now)
}

fn insert(
    tx: &LedgerTx<'_>,
    request: &RequestEvent,
    by_house: bool,
    waits_for: Option<(&PublicKey, PaymentHash)>,
    reply: Option<&str>,
    now: UnixSecs,
) -> rusqlite::Result<()> {
    prune(tx, now)?;
    tx.sql()
        .prepare_cached(
            "INSERT INTO request (event, client, service, scheme, payer, payment_hash, reply, at, signed_at, house)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            request.event.as_bytes(),
            request.client.as_bytes(),
            request.service.as_bytes(),
            request.scheme.as_str(),
            waits_for.map(|(payer, _)| payer.to_bytes()),
            waits_for.map(|(_, hash)| *hash.as_bytes()),
            reply,
            secs(now),
            secs(request.signed_at),
            by_house,
        ])
        .map(drop)
}

/// Removes some of what is kept no longer. There is nothing most times, so it is looked for before it is deleted: a
/// deletion of rows that a query names first makes a list of them.
fn prune(tx: &LedgerTx<'_>, now: UnixSecs) -> rusqlite::Result<()> {
    let old: Vec<[u8; 32]> = tx
        .sql()
        .prepare_cached("SELECT event FROM request WHERE reply IS NOT NULL AND at < ?1 ORDER BY at LIMIT ?2")?
        .query_map(params![secs(now.minus_secs(KEPT_SECS)), PRUNED], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    old.iter().try_for_each(|event| delete(tx, event))
}

fn delete(tx: &LedgerTx<'_>, event: &[u8; 32]) -> rusqlite::Result<()> {
    tx.sql().prepare_cached("DELETE FROM request WHERE event = ?1")?.execute([event]).map(drop)
}

/// How many requests wait. The first of each payment is not one that joins it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Waiting {
    /// For one payment, with the first.
    pub(crate) for_it: u32,
    /// That joined payments of its payer.
    pub(crate) joined_of_payer: u32,
    /// That joined any.
    pub(crate) joined: u32,
}

/// How many requests wait for this payment, of its payer, and in all, but the house's.
pub(crate) fn waiting(view: View<'_>, payer: &PublicKey, hash: PaymentHash) -> rusqlite::Result<Waiting> {
    view.sql()
        .prepare_cached(
            "SELECT coalesce(sum(items) FILTER (WHERE payment_hash = ?1 AND payer = ?2), 0),
                 coalesce(sum(items - 1) FILTER (WHERE payer = ?2), 0), coalesce(sum(items - 1), 0)
             FROM (SELECT payer, payment_hash, count(*) AS items FROM request
                   WHERE reply IS NULL AND house = 0 GROUP BY payer, payment_hash)",
        )?
        .query_row(params![hash.as_bytes(), payer.as_bytes()], |row| {
            Ok(Waiting { for_it: row.get(0)?, joined_of_payer: row.get(1)?, joined: row.get(2)? })
        })
}

/// Answers the newest request that joined a payment of whichever payer has most of them, if that payer has more than
/// `than`; returns the answer to be sent.
pub(crate) fn answer_newest_joined(
    tx: &LedgerTx<'_>,
    than: u32,
    text: &str,
) -> rusqlite::Result<Option<LateAnswer>> {
    tx.sql()
        .prepare_cached(
            "WITH joined AS (SELECT payer, payment_hash, count(*) - 1 AS items FROM request
                     WHERE reply IS NULL AND house = 0 GROUP BY payer, payment_hash HAVING count(*) > 1),
                 most AS (SELECT payer FROM joined GROUP BY payer HAVING sum(items) > ?1
                     ORDER BY sum(items) DESC LIMIT 1)
             UPDATE request SET reply = ?2 WHERE event = (
                 SELECT event FROM request JOIN joined USING (payer, payment_hash)
                 WHERE payer = (SELECT payer FROM most) AND reply IS NULL AND house = 0
                 ORDER BY at DESC, event DESC LIMIT 1)
             RETURNING event, client, service, scheme, signed_at",
        )?
        .query_row(params![than, text], |row| late(row, text))
        .optional()
}

/// How many requests of this client are remembered, but those that it made for the house.
pub(crate) fn rows_of(view: View<'_>, client: &PublicKey) -> rusqlite::Result<u32> {
    view.sql()
        .prepare_cached("SELECT items FROM answers_of WHERE client = ?1")?
        .query_row([client.as_bytes()], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

/// About how many bytes all of them take but the house's.
pub(crate) fn bytes(view: View<'_>) -> rusqlite::Result<u64> {
    view.sql().prepare_cached("SELECT bytes FROM request_bytes")?.query_row([], |row| row.get(0))
}

/// The part of it that is of clients who held no money at any of their requests.
pub(crate) fn bytes_of_strangers(view: View<'_>) -> rusqlite::Result<u64> {
    view.sql().prepare_cached("SELECT strangers FROM request_bytes")?.query_row([], |row| row.get(0))
}

/// Notes that a client holds money: what is remembered of it gives way to nobody who does not.
pub(crate) fn holds_money(tx: &LedgerTx<'_>, client: &PublicKey) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("UPDATE answers_of SET stranger = 0 WHERE client = ?1 AND stranger = 1")?
        .execute([client.as_bytes()])
        .map(drop)
}

/// Removes answers whose events are refused by their age, the oldest first.
pub(crate) fn forget(tx: &LedgerTx<'_>, now: UnixSecs) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "DELETE FROM request WHERE event IN
                 (SELECT event FROM request WHERE reply IS NOT NULL AND at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute(params![secs(now.minus_secs(REPLAYED_SECS)), FORGOTTEN])?;
    // What was signed then is refused by its age.
    tx.sql()
        .prepare_cached(
            "DELETE FROM answers_of WHERE client IN
                 (SELECT client FROM answers_of WHERE bytes = 0 AND items = 0 AND forgotten_until < ?1 LIMIT ?2)",
        )?
        .execute(params![secs(now.minus_secs(REPLAYED_SECS)), FORGOTTEN])
        .map(drop)
}

/// The same of one client.
pub(crate) fn forget_of(tx: &LedgerTx<'_>, client: &PublicKey, now: UnixSecs) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "DELETE FROM request WHERE event IN
                 (SELECT event FROM request WHERE client = ?3 AND at < ?1 AND reply IS NOT NULL
                  ORDER BY at LIMIT ?2)",
        )?
        .execute(params![secs(now.minus_secs(REPLAYED_SECS)), FORGOTTEN, client.as_bytes()])
        .map(drop)
}

/// Forgets the oldest answers of whichever client, or stranger, has most, and takes no event of it any more that was
/// signed as early. False if there are none.
pub(crate) fn forget_most(tx: &LedgerTx<'_>, of_strangers: bool) -> rusqlite::Result<bool> {
    let sql = tx.sql();
    let most: Option<[u8; 32]> = sql
        .prepare_cached(if of_strangers {
            "SELECT client FROM answers_of WHERE stranger = 1 AND bytes > 0 ORDER BY bytes DESC LIMIT 1"
        } else {
            "SELECT client FROM answers_of WHERE bytes > 0 ORDER BY bytes DESC LIMIT 1"
        })?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(client) = most else { return Ok(false) };
    let oldest: Vec<([u8; 32], i64)> = sql
        .prepare_cached(
            "SELECT event, signed_at FROM request WHERE client = ?1 AND reply IS NOT NULL AND house = 0
             ORDER BY at LIMIT ?2",
        )?
        .query_map(params![client, GIVEN_UP], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let until = oldest.iter().map(|(_, signed_at)| *signed_at).max();
    // Before they go: with the last of them the note would go, too.
    sql.prepare_cached(
        "UPDATE answers_of SET forgotten_until = max(coalesce(forgotten_until, ?2), ?2) WHERE client = ?1",
    )?
    .execute(params![client, until])?;
    oldest.iter().try_for_each(|(event, _)| delete(tx, event))?;
    Ok(!oldest.is_empty())
}

/// Answers everything that waits for this payment of `payer`, and returns it to be sent.
pub(crate) fn answer_waiting(
    tx: &LedgerTx<'_>,
    payer: &PublicKey,
    hash: PaymentHash,
    text: &str,
) -> rusqlite::Result<Vec<LateAnswer>> {
    tx.sql()
        .prepare_cached(
            "UPDATE request SET reply = ?3 WHERE payment_hash = ?1 AND payer = ?2 AND reply IS NULL
             RETURNING event, client, service, scheme, signed_at",
        )?
        .query_map(params![hash.as_bytes(), payer.as_bytes(), text], |row| late(row, text))?
        .collect()
}

fn late(row: &Row<'_>, text: &str) -> rusqlite::Result<LateAnswer> {
    let to = RequestEvent {
        event: EventId::from_byte_array(row.get("event")?),
        client: row.pubkey("client")?,
        service: row.pubkey("service")?,
        scheme: row.word("scheme", Scheme::from_word)?,
        signed_at: row.secs("signed_at")?,
    };
    Ok(LateAnswer { to, text: text.to_owned() })
}

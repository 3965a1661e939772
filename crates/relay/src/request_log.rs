//! The durable memory of commands: an event is acted on once, a command is answered once.
//!
//! A relay may deliver an event twice, before and after a restart; a client may repeat a command in a
//! new event with the same id. Both must have one effect. The row is written before the handler runs;
//! a command whose answer is missing after a crash is run again, and its handler recognises it by its
//! [`RequestKey`].

use std::fmt;
use std::path::Path;
use std::sync::Mutex;

use nostr::event::EventId;
use nostr::key::PublicKey;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use rusqlite_migration::{M, Migrations};
use sha2::{Digest, Sha256};
use thiserror::Error;
use units::UnixSecs;

use crate::dialer::lock;

/// A request may be so much older or newer than our clock; what is older may be a replay of something
/// that was forgotten.
pub const AGE_SECS_MAX: u64 = 600;
/// How long answers are kept for clients that repeat themselves. Longer than [`AGE_SECS_MAX`], so that
/// no event that would still be taken is ever forgotten.
const KEPT_SECS: u64 = 24 * 3_600;
/// How long they are kept at least, when there are too many: an event may be of the future by
/// [`AGE_SECS_MAX`] when it comes, and be old by as much when it comes again.
const REPLAYED_SECS: u64 = 2 * AGE_SECS_MAX + 60;
/// Beyond so many nothing is taken until some have been forgotten: keys cost nothing, and neither do
/// commands that are refused. Some 100 MB at a fully used answer of 500 bytes each.
const ROWS_MAX: u64 = 200_000;
/// Old rows are removed at every so-manieth command.
const PRUNE_EVERY: u64 = 256;

/// The idempotency key of a command: the hash of its caller, its id and its body.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct RequestKey([u8; 32]);

impl RequestKey {
    /// The key of a command.
    #[must_use]
    pub fn new(caller: &PublicKey, id: &str, body_sha256: &[u8; 32]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(caller.to_bytes());
        hasher.update(Sha256::digest(id.as_bytes()));
        hasher.update(body_sha256);
        Self(hasher.finalize().into())
    }

    /// The key as hex, to store beside what the command made.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestKey({})", self.to_hex())
    }
}

/// What is known of a command when its event arrives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Seen {
    /// Never heard of: it is now on record, run it.
    Never,
    /// On record without an answer: it is under way, or a crash cut it short.
    Unanswered,
    /// Answered before; this was the answer.
    Answered(String),
    /// The id stands for another command of this caller.
    OtherCommand,
    /// This very event was taken before: say nothing.
    SameEvent,
}

/// The log cannot be used.
#[derive(Debug, Error)]
pub enum RequestLogError {
    /// SQLite failed.
    #[error("the log of requests cannot be used")]
    Sqlite(#[from] rusqlite::Error),
    /// Strangers sent more than is remembered.
    #[error("the log of requests is full: ask again in some minutes")]
    Full,
    /// The schema cannot be brought up to date.
    #[error("the log of requests cannot be migrated")]
    Migration(#[from] rusqlite_migration::Error),
}

/// The log of commands, in a SQLite file.
#[derive(Debug)]
pub struct RequestLog {
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    connection: Connection,
    begun: u64,
    rows_max: u64,
    is_full: bool,
}

impl RequestLog {
    /// Opens or creates the log at `path`.
    ///
    /// # Errors
    /// [`RequestLogError`].
    pub fn open(path: &Path) -> Result<Self, RequestLogError> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Migrations::new(vec![M::up(include_str!("request_log/schema.sql"))]).to_latest(&mut connection)?;
        Ok(Self { writer: Mutex::new(Writer { connection, begun: 0, rows_max: ROWS_MAX, is_full: false }) })
    }

    /// Records that `event` carries the command `id` with this body, and says what is known of it.
    ///
    /// # Errors
    /// [`RequestLogError`]; the command must not be run then.
    pub fn begin(
        &self,
        event: &EventId,
        caller: &PublicKey,
        id: &str,
        body_sha256: &[u8; 32],
        now: UnixSecs,
    ) -> Result<Seen, RequestLogError> {
        let mut writer = lock(&self.writer);
        writer.prune_now_and_then(now)?;
        let at = i64::try_from(now.0).unwrap_or(i64::MAX);
        let tx = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let new_event = tx.execute(
            "INSERT OR IGNORE INTO events (id, at) VALUES (?1, ?2)",
            params![event.as_bytes(), at],
        )?;
        if new_event == 0 {
            return Ok(Seen::SameEvent);
        }
        let seen = look_up_or_record(&tx, caller, id, body_sha256, at)?;
        tx.commit()?;
        Ok(seen)
    }

    /// Records an event that is a command by itself, with no id but its own, and says what is known of
    /// it. Unlike [`Self::begin`] it returns the answer when the same event comes again: the protocol
    /// has no other way to ask for it (NIP-47).
    ///
    /// # Errors
    /// [`RequestLogError`]; the command must not be run then.
    pub fn begin_event(
        &self,
        event: &EventId,
        caller: &PublicKey,
        now: UnixSecs,
    ) -> Result<Seen, RequestLogError> {
        let mut writer = lock(&self.writer);
        let at = i64::try_from(now.0).unwrap_or(i64::MAX);
        writer.prune_now_and_then(now)?;
        let tx = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let seen = look_up_or_record(&tx, caller, &event.to_hex(), event.as_bytes(), at)?;
        tx.commit()?;
        Ok(seen)
    }

    /// Records the answer to a command that was begun.
    ///
    /// # Errors
    /// [`RequestLogError`]; the answer is sent all the same, and a repeated command runs again.
    pub fn finish(&self, caller: &PublicKey, id: &str, reply: &str) -> Result<(), RequestLogError> {
        lock(&self.writer).connection.execute(
            "UPDATE commands SET reply = ?3 WHERE caller = ?1 AND id = ?2",
            params![caller.to_bytes(), id, reply],
        )?;
        Ok(())
    }
}

impl Writer {
    fn prune_now_and_then(&mut self, now: UnixSecs) -> Result<(), RequestLogError> {
        self.begun += 1;
        if self.begun.is_multiple_of(PRUNE_EVERY) {
            self.prune(now, KEPT_SECS)?;
            if self.rows()? >= self.rows_max {
                self.prune(now, REPLAYED_SECS)?;
            }
            self.is_full = self.rows()? >= self.rows_max;
        }
        if self.is_full { Err(RequestLogError::Full) } else { Ok(()) }
    }

    fn prune(&self, now: UnixSecs, kept_secs: u64) -> Result<(), RequestLogError> {
        let before = i64::try_from(now.minus_secs(kept_secs).0).unwrap_or(i64::MAX);
        self.connection.execute("DELETE FROM events WHERE at < ?1", [before])?;
        self.connection.execute("DELETE FROM commands WHERE at < ?1", [before])?;
        Ok(())
    }

    fn rows(&self) -> Result<u64, RequestLogError> {
        let count = |sql| self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let rows = count("SELECT count(*) FROM commands")?.max(count("SELECT count(*) FROM events")?);
        Ok(u64::try_from(rows).unwrap_or_default())
    }
}

fn look_up_or_record(
    tx: &Transaction<'_>,
    caller: &PublicKey,
    id: &str,
    body: &[u8; 32],
    at: i64,
) -> Result<Seen, RequestLogError> {
    let known: Option<(Vec<u8>, Option<String>)> = tx
        .query_row(
            "SELECT body, reply FROM commands WHERE caller = ?1 AND id = ?2",
            params![caller.to_bytes(), id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    match known {
        Some((known_body, _)) if known_body != body => Ok(Seen::OtherCommand),
        Some((_, Some(reply))) => Ok(Seen::Answered(reply)),
        Some((_, None)) => Ok(Seen::Unanswered),
        None => {
            tx.execute(
                "INSERT INTO commands (caller, id, body, reply, at) VALUES (?1, ?2, ?3, NULL, ?4)",
                params![caller.to_bytes(), id, body, at],
            )?;
            Ok(Seen::Never)
        }
    }
}

#[cfg(test)]
mod tests;

//! The durable memory of commands: an event is acted on once, a command is answered once.
//!
//! A relay may deliver an event twice, before and after a restart; a client may repeat a command in a
//! new event with the same id. Both must have one effect. The row is written before the handler runs;
//! a command whose answer is missing after a crash is run again, and its handler recognises it by its
//! [`RequestKey`].
//!
//! What is kept is bounded, because it is a part of every snapshot: so many commands, fewer of keys that nobody
//! knows, and so many bytes of answers. Of what is beyond, only that it was done is remembered.

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
/// Beyond so many nothing is taken until some have been forgotten. Some 100 MB at a fully used answer of
/// [`SHORT_BYTES_MAX`] each.
const ROWS_MAX: u64 = 200_000;
/// The quarters of them that are taken of anybody: keys cost nothing, and neither do commands that are refused.
/// The last is for keys that are known.
const STRANGERS_QUARTERS: u64 = 3;
/// Longest answer, in bytes, that is always kept: most, and every usual refusal.
pub const SHORT_BYTES_MAX: usize = 512;
/// What the longer answers to one key may take, in bytes: a day of launches, or a dozen of the longest answers.
const KEPT_BYTES_PER_CALLER: u64 = 1024 * 1024;
/// The same for all keys: what snapshots carry of them.
const KEPT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Stands for the answer to a command that was carried out, and whose answer was not kept.
const DONE: &str = "";
/// How often the log says that it is full.
const TELL_EVERY_SECS: u64 = 60;
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
    /// Carried out before; the answer was not kept.
    Done,
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
    room: Room,
    /// What the longer answers take.
    kept_bytes: u64,
    kept_bytes_max: u64,
    /// When the log last said that it is full.
    told_at: Option<UnixSecs>,
    /// Of before then, what is young enough to be kept may have gone for want of room.
    forgot_before: UnixSecs,
}

/// Whose commands are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Room {
    Anybody,
    Known,
    Nobody,
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
        let steps = [
            include_str!("request_log/schema.sql"),
            include_str!("request_log/kept.sql"),
            include_str!("request_log/forgotten.sql"),
        ];
        Migrations::new(steps.map(M::up).to_vec()).to_latest(&mut connection)?;
        let mut writer = Writer {
            connection,
            begun: 0,
            rows_max: ROWS_MAX,
            room: Room::Anybody,
            kept_bytes: 0,
            kept_bytes_max: KEPT_BYTES_MAX,
            told_at: None,
            forgot_before: UnixSecs(0),
        };
        writer.kept_bytes = writer.kept_in_all()?;
        let forgot: i64 =
            writer.connection.query_row("SELECT before FROM forgotten", [], |row| row.get(0))?;
        writer.forgot_before = UnixSecs(u64::try_from(forgot).unwrap_or_default());
        Ok(Self { writer: Mutex::new(writer) })
    }

    /// Records that `event` carries the command `id` with this body, and says what is known of it. While there
    /// is little room, `is_known` is asked whether the caller is more than a key that somebody made up.
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
        is_known: impl FnOnce() -> bool,
    ) -> Result<Seen, RequestLogError> {
        let mut writer = lock(&self.writer);
        writer.prune_now_and_then(now)?;
        writer.let_in(now, is_known)?;
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

    /// Whether this very event was taken before, for who need not count it again.
    #[must_use]
    pub fn has_taken(&self, event: &EventId) -> bool {
        let taken = "SELECT EXISTS (SELECT 1 FROM events WHERE id = ?1)";
        lock(&self.writer).connection.query_row(taken, [event.as_bytes()], |row| row.get(0)).unwrap_or(false)
    }

    /// Events of before may have been taken and forgotten for want of room, although they are not old.
    #[must_use]
    pub fn forgot_before(&self) -> UnixSecs {
        lock(&self.writer).forgot_before
    }

    /// Records the answer to a command that was begun: whole if it is short or there is room for it, otherwise
    /// only that there was one.
    ///
    /// # Errors
    /// [`RequestLogError`]; the answer is sent all the same, and a repeated command runs again.
    pub fn finish(&self, caller: &PublicKey, id: &str, reply: &str) -> Result<(), RequestLogError> {
        lock(&self.writer).finish(caller, id, reply)
    }

    /// Records that a command was carried out whose answer need not be kept.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn done(&self, caller: &PublicKey, id: &str) -> Result<(), RequestLogError> {
        lock(&self.writer).finish(caller, id, DONE)
    }
}

impl Writer {
    fn finish(&mut self, caller: &PublicKey, id: &str, reply: &str) -> Result<(), RequestLogError> {
        let bytes = if reply.len() > SHORT_BYTES_MAX { reply.len() } else { 0 };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let fits = bytes == 0 || self.has_room(caller, bytes)?;
        let (reply, bytes) = if fits { (reply, bytes) } else { (DONE, 0) };
        self.connection.execute(
            "UPDATE commands SET reply = ?3, kept_bytes = ?4 WHERE caller = ?1 AND id = ?2",
            params![caller.to_bytes(), id, reply, i64::try_from(bytes).unwrap_or(i64::MAX)],
        )?;
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        Ok(())
    }

    fn has_room(&self, caller: &PublicKey, bytes: u64) -> Result<bool, RequestLogError> {
        let own = "SELECT coalesce(sum(kept_bytes), 0) FROM commands WHERE kept_bytes > 0 AND caller = ?1";
        let own: i64 = self.connection.query_row(own, [caller.to_bytes()], |row| row.get(0))?;
        let own = u64::try_from(own).unwrap_or_default().saturating_add(bytes);
        let all = self.kept_bytes.saturating_add(bytes);
        Ok(own <= KEPT_BYTES_PER_CALLER && all <= self.kept_bytes_max)
    }

    fn kept_in_all(&self) -> Result<u64, RequestLogError> {
        let all = "SELECT coalesce(sum(kept_bytes), 0) FROM commands WHERE kept_bytes > 0";
        let all: i64 = self.connection.query_row(all, [], |row| row.get(0))?;
        Ok(u64::try_from(all).unwrap_or_default())
    }

    fn prune_now_and_then(&mut self, now: UnixSecs) -> Result<(), RequestLogError> {
        self.begun += 1;
        if !self.begun.is_multiple_of(PRUNE_EVERY) {
            return Ok(());
        }
        let strangers_max = self.rows_max / 4 * STRANGERS_QUARTERS;
        self.prune(now, KEPT_SECS)?;
        if self.rows()? >= strangers_max {
            // On record before anything goes.
            self.forgot_before = self.forgot_before.max(now.minus_secs(REPLAYED_SECS));
            let sql = "UPDATE forgotten SET before = ?1";
            self.connection.execute(sql, [i64::try_from(self.forgot_before.0).unwrap_or(i64::MAX)])?;
            self.prune(now, REPLAYED_SECS)?;
        }
        self.kept_bytes = self.kept_in_all()?;
        self.room = match self.rows()? {
            rows if rows >= self.rows_max => Room::Nobody,
            rows if rows >= strangers_max => Room::Known,
            _ => Room::Anybody,
        };
        Ok(())
    }

    fn let_in(&mut self, now: UnixSecs, is_known: impl FnOnce() -> bool) -> Result<(), RequestLogError> {
        let may = match self.room {
            Room::Anybody => true,
            Room::Known => is_known(),
            Room::Nobody => false,
        };
        if may {
            return Ok(());
        }
        // Strangers make it happen as often as they like.
        if self.told_at.is_none_or(|at| now.secs_since(at) >= TELL_EVERY_SECS) {
            let whom = if self.room == Room::Known { "of keys that nobody knows" } else { "of anybody" };
            tracing::warn!("the log of requests is full: no command {whom} is taken, for some minutes");
            self.told_at = Some(now);
        }
        Err(RequestLogError::Full)
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
        Some((_, Some(reply))) if reply == DONE => Ok(Seen::Done),
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

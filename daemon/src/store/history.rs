//! What happened to a container, and who paid before.

use nostr::key::PublicKey;
use protocol::rpc::enclaved::HistoryEvent;
use rusqlite::{Connection, params};
use units::UnixSecs;

use super::containers::secs;
use super::{Store, StoreError};

/// Events that are kept of one container: months of an ordinary life. A program that crashes every
/// minute forgets its oldest crashes.
const KEPT_MAX: u32 = 500;
/// Longest text of an event, in bytes; more is cut.
const MESSAGE_BYTES_MAX: usize = 500;

impl Store {
    /// Puts an event on record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note(
        &self,
        pubkey: &PublicKey,
        at: UnixSecs,
        code: &str,
        message: &str,
    ) -> Result<(), StoreError> {
        insert(&self.lock(), pubkey, at, code, message, None)
    }

    /// Puts on record that a command is about to be carried out which must not be carried out twice;
    /// false if it was on record before.
    ///
    /// # Errors
    /// [`StoreError`]; the command must not be carried out then.
    pub fn note_once(
        &self,
        pubkey: &PublicKey,
        at: UnixSecs,
        code: &str,
        message: &str,
        request_key: &str,
    ) -> Result<bool, StoreError> {
        let connection = self.lock();
        let sql = "SELECT count(*) FROM history WHERE request_key = ?1";
        let known: u32 = connection.query_row(sql, [request_key], |row| row.get(0))?;
        if known > 0 {
            return Ok(false);
        }
        insert(&connection, pubkey, at, code, message, Some(request_key))?;
        Ok(true)
    }

    /// The newest events of a container, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn history(&self, pubkey: &PublicKey, limit: u32) -> Result<Vec<HistoryEvent>, StoreError> {
        let connection = self.lock();
        let sql = "SELECT seq, at, code, message FROM history WHERE pubkey = ?1 ORDER BY seq DESC LIMIT ?2";
        let mut statement = connection.prepare(sql)?;
        let number = |value: i64| u64::try_from(value).unwrap_or_default();
        let events = statement.query_map(params![pubkey.to_bytes(), limit], |row| {
            Ok(HistoryEvent {
                seq: number(row.get(0)?),
                at: UnixSecs(number(row.get(1)?)),
                code: row.get(2)?,
                message: row.get(3)?,
            })
        })?;
        Ok(events.collect::<Result<_, _>>()?)
    }

    /// True if a container of this key's was paid for at least once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has_paid(&self, owner: &PublicKey) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM containers JOIN charges USING (pubkey)
                       WHERE owner = ?1 AND preimage IS NOT NULL AND amount_msat > 0)";
        Ok(self.lock().query_row(sql, [owner.to_bytes()], |row| row.get(0))?)
    }
}

fn insert(
    connection: &Connection,
    pubkey: &PublicKey,
    at: UnixSecs,
    code: &str,
    message: &str,
    request_key: Option<&str>,
) -> Result<(), StoreError> {
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let key = pubkey.to_bytes();
    connection.execute(
        "INSERT INTO history (pubkey, seq, at, code, message, request_key)
         VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM history WHERE pubkey = ?1), ?2, ?3, ?4, ?5)",
        params![key, secs(at), code, &message[..end], request_key],
    )?;
    connection.execute(
        "DELETE FROM history WHERE pubkey = ?1
             AND seq <= (SELECT max(seq) FROM history WHERE pubkey = ?1) - ?2",
        params![key, KEPT_MAX],
    )?;
    Ok(())
}

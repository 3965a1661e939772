//! Rows of receipts.

use nostr::event::EventId;
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError};

/// The next link of a container's chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NextReceipt {
    /// Its number, which is how many there are.
    pub number: u64,
    /// The last one's id.
    pub previous: Option<EventId>,
}

/// A receipt to be put on record.
#[derive(Debug)]
pub struct NewReceipt {
    /// Its place in the chain.
    pub number: u64,
    /// The signed event.
    pub event: CheckedEvent,
}

impl Store {
    /// Where a container's chain goes on. Its driver alone adds to it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn next_receipt(&self, pubkey: &PublicKey) -> Result<NextReceipt, StoreError> {
        let sql = "SELECT number, id FROM receipts WHERE pubkey = ?1 ORDER BY number DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u32>(0)?, row.get::<_, [u8; 32]>(1)?));
        let last = self.lock().query_row(sql, [pubkey.to_bytes()], read).optional()?;
        Ok(match last {
            Some((number, id)) => {
                NextReceipt { number: u64::from(number) + 1, previous: Some(EventId::from_byte_array(id)) }
            }
            None => NextReceipt { number: 0, previous: None },
        })
    }

    /// So many receipts from number `from` on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn receipts(
        &self,
        pubkey: &PublicKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<CheckedEvent>, StoreError> {
        let sql = "SELECT event FROM receipts WHERE pubkey = ?1 AND number >= ?2 ORDER BY number LIMIT ?3";
        let connection = self.lock();
        let mut statement = connection.prepare(sql)?;
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let rows =
            statement.query_map(params![pubkey.to_bytes(), from, limit], |row| row.get::<_, String>(0))?;
        rows.map(|text| CheckedEvent::parse(&text?).map_err(|e| StoreError::malformed("receipt", e)))
            .collect()
    }
}

/// Puts a receipt on record, once for each period.
pub(super) fn insert(
    connection: &Connection,
    pubkey: &PublicKey,
    period: i64,
    receipt: &NewReceipt,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO receipts (pubkey, number, period, id, event) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (pubkey, period) DO NOTHING",
        params![
            pubkey.to_bytes(),
            i64::try_from(receipt.number).unwrap_or(i64::MAX),
            period,
            receipt.event.id.as_bytes(),
            receipt.event.as_json(),
        ],
    )?;
    Ok(())
}

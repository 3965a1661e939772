//! Single facts.

use rusqlite::{OptionalExtension, params};
use units::UnixSecs;

use super::containers::secs;
use super::{Store, StoreError};

const HEARTBEAT: &str = "heartbeat_at";

impl Store {
    /// Records that the server is alive.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn beat(&self, now: UnixSecs) -> Result<(), StoreError> {
        let sql = "INSERT INTO facts (name, value) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.lock().execute(sql, params![HEARTBEAT, secs(now)])?;
        Ok(())
    }

    /// When the server was last known to be alive.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_beat(&self) -> Result<Option<UnixSecs>, StoreError> {
        let sql = "SELECT value FROM facts WHERE name = ?1";
        let value: Option<i64> = self.lock().query_row(sql, [HEARTBEAT], |row| row.get(0)).optional()?;
        Ok(value.and_then(|secs| u64::try_from(secs).ok()).map(UnixSecs))
    }
}

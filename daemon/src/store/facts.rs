//! Single facts.

use nostr::key::PublicKey;
use rusqlite::{OptionalExtension, params};
use units::UnixSecs;

use super::containers::secs;
use super::{Store, StoreError};

const HEARTBEAT: &str = "heartbeat_at";
/// Begins the names of what was told to owners, and when.
const TOLD: &str = "told:";
/// What was told longer ago is told again, if it still holds.
const TOLD_SECS: u64 = 90 * 24 * 3_600;

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

    /// Records that an owner is told of a release; false if that is on record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tell_release(&self, owner: &PublicKey, release: &str, now: UnixSecs) -> Result<bool, StoreError> {
        let connection = self.lock();
        let old = "DELETE FROM facts WHERE name >= ?1 AND name < ?2 AND value < ?3";
        // The character after the colon ends all names that begin so.
        connection.execute(old, params![TOLD, "told;", secs(now.minus_secs(TOLD_SECS))])?;
        let sql = "INSERT OR IGNORE INTO facts (name, value) VALUES (?1, ?2)";
        Ok(connection.execute(sql, params![format!("{TOLD}{release}:{owner}"), secs(now)])? > 0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{Fixture, key};

    #[test]
    fn owner_is_told_of_a_release_once_and_a_restart_does_not_tell_again() {
        let (fixture, owner, later, now) = (Fixture::new(), key(), key(), UnixSecs(1_800_000_000));
        fixture.store.beat(UnixSecs(1)).unwrap();
        let told =
            |fixture: &Fixture, owner, release, now| fixture.store.tell_release(owner, release, now).unwrap();
        assert!(told(&fixture, &owner, "aa", now) && told(&fixture, &owner, "bb", now));
        let fixture = fixture.reopen();
        assert!(!told(&fixture, &owner, "aa", now.plus_secs(60)));
        assert!(told(&fixture, &later, "aa", now), "who came later");
        assert!(told(&fixture, &owner, "aa", now.plus_secs(TOLD_SECS + 1)));
        assert_eq!(fixture.store.last_beat().unwrap(), Some(UnixSecs(1)), "other facts stay");
    }
}

//! Single facts.

use lifecycle::{Event, Policy, State, step};
use nostr::key::PublicKey;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use units::UnixSecs;

use super::containers::{from_json, secs, to_json};
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
        beat(&self.lock(), now)
    }

    /// Gives the time since the server was last known to be alive back to whoever had paid for it, and records
    /// that it is alive: both or neither, so that no time is lost that nobody was given. Returns the seconds.
    ///
    /// # Errors
    /// [`StoreError`]; nothing changed.
    pub fn give_back(&self, now: UnixSecs, policy: &Policy) -> Result<u64, StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let down_secs = last_beat(&tx)?.map_or(0, |last| now.secs_since(last));
        for (key, state) in states(&tx)? {
            let event = Event::ServerWasDown { secs: down_secs };
            let Ok((next, _)) = step(&state, event, now, policy) else { continue };
            if next != state {
                let sql = "UPDATE containers SET state = ?2, holds_units = ?3 WHERE pubkey = ?1";
                tx.execute(sql, params![key, to_json("state", &next)?, next.holds_units()])?;
            }
        }
        beat(&tx, now)?;
        tx.commit()?;
        Ok(down_secs)
    }

    /// True if it is on record that an owner is told of a release.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn knows_release(&self, owner: &PublicKey, release: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM facts WHERE name = ?1)";
        Ok(self.lock().query_row(sql, [format!("{TOLD}{release}:{owner}")], |row| row.get(0))?)
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
        last_beat(&self.lock())
    }
}

fn beat(connection: &Connection, now: UnixSecs) -> Result<(), StoreError> {
    let sql = "INSERT INTO facts (name, value) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.execute(sql, params![HEARTBEAT, secs(now)])?;
    Ok(())
}

fn last_beat(connection: &Connection) -> Result<Option<UnixSecs>, StoreError> {
    let sql = "SELECT value FROM facts WHERE name = ?1";
    let value: Option<i64> = connection.query_row(sql, [HEARTBEAT], |row| row.get(0)).optional()?;
    Ok(value.and_then(|secs| u64::try_from(secs).ok()).map(UnixSecs))
}

/// Every container's key and state.
fn states(connection: &Connection) -> Result<Vec<([u8; 32], State)>, StoreError> {
    let mut statement = connection.prepare("SELECT pubkey, state FROM containers")?;
    let rows = statement
        .query_and_then([], |row| Ok((row.get(0)?, from_json("state", &row.get::<_, String>(1)?)?)))?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use lifecycle::Phase;

    use super::*;
    use crate::store::tests::{Fixture, ROOM, key, launch};

    #[test]
    fn outage_is_given_back_once_to_whoever_had_paid() {
        let fixture = Fixture::new();
        let made = |phase| {
            let pubkey = fixture.store.reserve(launch(key(), 1), &ROOM).unwrap().pubkey();
            let state = State { phase, paid_until: UnixSecs(500), ..State::waiting(UnixSecs(100)) };
            fixture.store.save_state(&pubkey, &state, None).unwrap();
            (pubkey, state)
        };
        let (runs, paid) = made(Phase::Deployed);
        let (starved, unpaid) = made(Phase::Paused { since: UnixSecs(600) });
        let (over, ended) = made(Phase::Terminated);
        let policy = Policy::default();
        assert_eq!(fixture.store.give_back(UnixSecs(700), &policy).unwrap(), 0, "it never ran before");
        let fixture = fixture.reopen();
        assert_eq!(fixture.store.give_back(UnixSecs(22_300), &policy).unwrap(), 21_600);
        // A start that comes to nothing is followed by another one.
        let fixture = fixture.reopen();
        assert_eq!(fixture.store.give_back(UnixSecs(22_310), &policy).unwrap(), 10);
        let state = |pubkey| fixture.store.container(pubkey).unwrap().unwrap().state;
        let given = |state: State| State { paid_until: UnixSecs(22_110), ..state };
        assert_eq!(state(&runs), given(paid));
        assert_eq!(
            state(&starved),
            State { phase: Phase::Paused { since: UnixSecs(22_210) }, ..given(unpaid) }
        );
        assert_eq!(state(&over), ended);
        assert_eq!(fixture.store.last_beat().unwrap(), Some(UnixSecs(22_310)));
        assert_eq!(fixture.store.units_free(ROOM.units).unwrap(), ROOM.units - 1);
    }

    #[test]
    fn owner_is_told_of_a_release_once_and_a_restart_does_not_tell_again() {
        let (fixture, owner, later, now) = (Fixture::new(), key(), key(), UnixSecs(1_800_000_000));
        fixture.store.beat(UnixSecs(1)).unwrap();
        let told =
            |fixture: &Fixture, owner, release, now| fixture.store.tell_release(owner, release, now).unwrap();
        assert!(!fixture.store.knows_release(&owner, "aa").unwrap());
        assert!(told(&fixture, &owner, "aa", now) && told(&fixture, &owner, "bb", now));
        assert!(fixture.store.knows_release(&owner, "aa").unwrap());
        let fixture = fixture.reopen();
        assert!(!told(&fixture, &owner, "aa", now.plus_secs(60)));
        assert!(told(&fixture, &later, "aa", now), "who came later");
        assert!(told(&fixture, &owner, "aa", now.plus_secs(TOLD_SECS + 1)));
        assert_eq!(fixture.store.last_beat().unwrap(), Some(UnixSecs(1)), "other facts stay");
    }
}

//! Whose containers are whose, and one that changes hands.

use nostr::key::PublicKey;
use rusqlite::{OptionalExtension, params};

use super::containers::{COLUMNS, read, to_json};
use super::record::{Container, Spec};
use super::{Store, StoreError};

impl Store {
    /// A key's containers, newest first: so many from the start, or behind one of them. None if that is not
    /// a container of the key's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn owned_by(
        &self,
        owner: &PublicKey,
        after: Option<&PublicKey>,
        limit: u32,
    ) -> Result<Option<Vec<Container>>, StoreError> {
        let connection = self.lock();
        let place: (i64, i64) = match after {
            None => (i64::MAX, i64::MAX),
            Some(after) => {
                let sql = "SELECT created_at, rowid FROM containers WHERE pubkey = ?1 AND owner = ?2";
                let keys = params![after.to_bytes(), owner.to_bytes()];
                let place =
                    connection.query_row(sql, keys, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                let Some(place) = place else { return Ok(None) };
                place
            }
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM containers WHERE owner = ?1 AND (created_at, rowid) < (?2, ?3)
             ORDER BY created_at DESC, rowid DESC LIMIT ?4"
        );
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_and_then(params![owner.to_bytes(), place.0, place.1, limit], read)?;
        rows.collect::<Result<_, _>>().map(Some)
    }

    /// Gives a container of `from` to `to`, with what was agreed as it reads from then on; false if it
    /// is not `from`'s any more.
    ///
    /// # Errors
    /// [`StoreError`]; nothing changed.
    pub fn transfer(
        &self,
        pubkey: &PublicKey,
        from: &PublicKey,
        to: &PublicKey,
        spec: &Spec,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE containers SET owner = ?3, spec = ?4 WHERE pubkey = ?1 AND owner = ?2";
        let values = params![pubkey.to_bytes(), from.to_bytes(), to.to_bytes(), to_json("spec", spec)?];
        Ok(self.lock().execute(sql, values)? > 0)
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::{Phase, State};
    use units::UnixSecs;

    use crate::store::tests::{Fixture, ROOM, key, launch};
    use crate::store::{Container, NewLaunch, Room};

    #[test]
    fn pages_hold_each_container_of_the_key_once_and_no_other() {
        let (fixture, owner, other) = (Fixture::new(), key(), key());
        let room = Room { units: 100, unpaid_max: 100, slots: 100, ..ROOM };
        let mut made = Vec::new();
        for i in 0..7 {
            // Several of one second.
            let created_at = UnixSecs(1 + i / 3);
            let launched = NewLaunch { created_at, ..launch(owner, 1) };
            made.push(launched.keys.public_key());
            fixture.store.reserve(launched, &room).unwrap();
            let state = State { phase: Phase::Deployed, ..State::waiting(UnixSecs(100)) };
            fixture.store.save_state(made.last().unwrap(), &state, None).unwrap();
            fixture.store.reserve(launch(key(), 1), &room).unwrap();
        }
        made.reverse();
        for size in [1, 2, 3, 7, 10] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = fixture.store.owned_by(&owner, after.as_ref(), size).unwrap().unwrap();
                after = page.last().map(Container::pubkey);
                seen.extend(page.iter().map(Container::pubkey));
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, made, "pages of {size}");
        }
        assert!(fixture.store.owned_by(&other, Some(&made[0]), 10).unwrap().is_none(), "another's");
        assert!(fixture.store.owned_by(&owner, Some(&key()), 10).unwrap().is_none(), "nobody's");
    }
}

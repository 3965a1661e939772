//! Whose containers are whose, and one that changes hands.

use nostr::key::PublicKey;
use protocol::rpc::enclaved::Offer;
use rusqlite::{OptionalExtension, TransactionBehavior, params};
use units::UnixSecs;

use super::containers::{COLUMNS, read, secs, to_json};
use super::record::{Container, Spec};
use super::{Store, StoreError, guest_wallets};

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

    /// Offers a container to another key, in place of any offer of before.
    ///
    /// # Errors
    /// [`StoreError`]; nothing changed.
    pub fn offer(&self, pubkey: &PublicKey, offer: &Offer) -> Result<(), StoreError> {
        let sql = "INSERT INTO offers (pubkey, heir, until) VALUES (?1, ?2, ?3)
                   ON CONFLICT (pubkey) DO UPDATE SET heir = excluded.heir, until = excluded.until";
        self.lock().execute(sql, params![pubkey.to_bytes(), offer.to.to_bytes(), secs(offer.until)])?;
        Ok(())
    }

    /// Takes an offer back; false if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn cancel_offer(&self, pubkey: &PublicKey) -> Result<bool, StoreError> {
        Ok(self.lock().execute("DELETE FROM offers WHERE pubkey = ?1", [pubkey.to_bytes()])? > 0)
    }

    /// The offer of a container that can be accepted at `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn offer_of(&self, pubkey: &PublicKey, now: UnixSecs) -> Result<Option<Offer>, StoreError> {
        let sql = "SELECT heir, until FROM offers WHERE pubkey = ?1 AND until >= ?2";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, i64>(1)?));
        let row = self.lock().query_row(sql, params![pubkey.to_bytes(), secs(now)], read).optional()?;
        let Some((heir, until)) = row else { return Ok(None) };
        let to = PublicKey::from_slice(&heir).map_err(|e| StoreError::malformed("offer", e))?;
        Ok(Some(Offer { to, until: UnixSecs(u64::try_from(until).unwrap_or_default()) }))
    }

    /// Gives a container to the key that it is offered to, with what was agreed as it reads from then on; false
    /// if it is not offered to that key at `now`. What its app was given ends with its former owner.
    ///
    /// # Errors
    /// [`StoreError`]; nothing changed.
    pub fn transfer(
        &self,
        pubkey: &PublicKey,
        to: &PublicKey,
        spec: &Spec,
        now: UnixSecs,
    ) -> Result<bool, StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (key, heir) = (pubkey.to_bytes(), to.to_bytes());
        let sql = "DELETE FROM offers WHERE pubkey = ?1 AND heir = ?2 AND until >= ?3";
        if tx.execute(sql, params![key, heir, secs(now)])? == 0 {
            return Ok(false);
        }
        let sql = "UPDATE containers SET owner = ?2, spec = ?3 WHERE pubkey = ?1 AND builtin IS NULL";
        if tx.execute(sql, params![key, heir, to_json("spec", spec)?])? == 0 {
            return Err(StoreError::Missing);
        }
        guest_wallets::end(&tx, pubkey)?;
        tx.commit()?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::{Phase, State};
    use units::Msat;

    use super::*;
    use crate::store::tests::{Fixture, ROOM, key, launch};
    use crate::store::{GuestWallet, NewLaunch, Room, upgrades};

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

    #[test]
    fn container_changes_hands_by_its_offer_alone() {
        let (fixture, owner, heir, other) = (Fixture::new(), key(), key(), key());
        let store = &fixture.store;
        let made = store.reserve(launch(owner, 1), &ROOM).unwrap();
        let pubkey = made.pubkey();
        let owner_now = || store.container(&pubkey).unwrap().unwrap().owner().copied();
        let give = |to, now| store.transfer(&pubkey, to, &made.spec, UnixSecs(now)).unwrap();
        let app = GuestWallet { wallet: key(), client: key(), sealed: "x".into() };
        store.save_guest_wallet(&pubkey, &app).unwrap();
        assert!(!give(&heir, 5), "nobody offered it");
        store.offer(&pubkey, &Offer { to: heir, until: UnixSecs(10) }).unwrap();
        assert!(!give(&other, 5) && !give(&owner, 5), "it is offered to another");
        assert!(!give(&heir, 11) && store.offer_of(&pubkey, UnixSecs(11)).unwrap().is_none(), "too late");
        // Another offer takes its place; one that is taken back is none.
        store.offer(&pubkey, &Offer { to: other, until: UnixSecs(20) }).unwrap();
        assert!(!give(&heir, 5));
        assert!(store.cancel_offer(&pubkey).unwrap() && !store.cancel_offer(&pubkey).unwrap());
        assert!(!give(&other, 5));
        assert_eq!((owner_now(), store.guest_wallet(&pubkey).unwrap()), (Some(owner), Some(app)));
        let last = Offer { to: heir, until: UnixSecs(10) };
        store.offer(&pubkey, &last).unwrap();
        assert_eq!(store.offer_of(&pubkey, UnixSecs(10)).unwrap(), Some(last));
        assert!(give(&heir, 10) && !give(&heir, 10), "once");
        assert_eq!((owner_now(), store.guest_wallet(&pubkey).unwrap()), (Some(heir), None));
        assert_eq!(store.ended_guest_wallets(9).unwrap(), [pubkey]);
    }

    #[test]
    fn offer_ends_with_whatever_its_owner_changes_of_what_is_offered() {
        let (fixture, heir, now) = (Fixture::new(), key(), UnixSecs(5));
        let store = &fixture.store;
        let made = upgrades::tests::container(&fixture);
        let (pubkey, owner) = (made.pubkey(), *made.owner().unwrap());
        let spec = |hash: &str| Spec { manifest_sha256: Some(hash.into()), ..made.spec.clone() };
        store.save_spec(&pubkey, &spec("ab")).unwrap();
        let stands_after = |change: &dyn Fn()| {
            store.offer(&pubkey, &Offer { to: heir, until: UnixSecs(10) }).unwrap();
            change();
            store.offer_of(&pubkey, now).unwrap().is_some()
        };
        let withdraw = |by: &PublicKey| {
            let asked = store.intend_withdrawal("k", (&pubkey, by), "lnbc1", Msat::new(7), now);
            asked.unwrap().is_some()
        };
        // What the next owner takes over as it was.
        assert!(stands_after(&|| store.save_spec(&pubkey, &spec("ab")).unwrap()));
        assert!(stands_after(&|| store.save_state(&pubkey, &made.state, None).unwrap()));
        assert!(stands_after(&|| store.save_balance(&pubkey, Msat::new(1)).unwrap()));
        assert!(stands_after(&|| assert!(!withdraw(&heir), "it is not theirs yet")));
        // What it never agreed to.
        assert!(!stands_after(&|| store.save_spec(&pubkey, &spec("cd")).unwrap()));
        assert!(!stands_after(&|| assert!(withdraw(&owner))));
        let intent = upgrades::tests::intent(&made, "2");
        store.begin_upgrade(&pubkey, None, None, &intent, now).unwrap();
        let open = store.open_upgrade(&pubkey).unwrap().unwrap();
        assert!(!stands_after(&|| drop(store.switch_image(&open, &intent, &intent.to).unwrap())));
    }
}

//! Rows of the connections that apps were given to their containers' accounts: written before the wallet is
//! asked for one, and gone when the wallet has heard of their end.

use std::fmt;

use nostr::key::PublicKey;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError};

/// The connection of a container's app. Its `Debug` does not show the secret, sealed as it is.
#[derive(Clone, Eq, PartialEq)]
pub struct GuestWallet {
    /// The wallet service that it is a connection of.
    pub wallet: PublicKey,
    /// The key that uses it.
    pub client: PublicKey,
    /// The secret of that, sealed by the service key to itself.
    pub sealed: String,
}

impl fmt::Debug for GuestWallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestWallet").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Store {
    /// The connection that a container's app has, whether or not the wallet made it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn guest_wallet(&self, pubkey: &PublicKey) -> Result<Option<GuestWallet>, StoreError> {
        let sql = "SELECT wallet, client, secret FROM guest_wallets WHERE pubkey = ?1 AND ended = 0";
        let read = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, [u8; 32]>(1)?, row.get::<_, String>(2)?))
        };
        let row = self.lock().query_row(sql, [pubkey.to_bytes()], read).optional()?;
        let Some((wallet, client, sealed)) = row else { return Ok(None) };
        let key =
            |bytes: &[u8; 32]| PublicKey::from_slice(bytes).map_err(|e| StoreError::malformed("key", e));
        Ok(Some(GuestWallet { wallet: key(&wallet)?, client: key(&client)?, sealed }))
    }

    /// Puts on record which connection a container's app is about to be given. One of before ends with it.
    ///
    /// # Errors
    /// [`StoreError`]; nothing changed.
    pub fn save_guest_wallet(&self, pubkey: &PublicKey, new: &GuestWallet) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction()?;
        end(&tx, pubkey)?;
        tx.execute(
            "INSERT INTO guest_wallets (pubkey, wallet, client, secret) VALUES (?1, ?2, ?3, ?4)",
            params![pubkey.to_bytes(), new.wallet.to_bytes(), new.client.to_bytes(), new.sealed],
        )?;
        tx.commit()?;
        Ok(())
    }

    /// Ends the connection of a container's app: its secret is forgotten, and the wallet is to be told.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn end_guest_wallet(&self, pubkey: &PublicKey) -> Result<(), StoreError> {
        end(&self.lock(), pubkey)
    }

    /// Containers whose apps had connections of whose end the wallet has not heard, at most `limit`, others each
    /// time: those of which it will not hear must not stand before the rest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn ended_guest_wallets(&self, limit: u32) -> Result<Vec<PublicKey>, StoreError> {
        let connection = self.lock();
        let sql =
            "SELECT pubkey FROM guest_wallets WHERE ended = 1 GROUP BY pubkey ORDER BY random() LIMIT ?1";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([limit], |row| row.get::<_, [u8; 32]>(0))?;
        rows.map(|key| PublicKey::from_slice(&key?).map_err(|e| StoreError::malformed("key", e))).collect()
    }

    /// The keys of the connections of a container that have ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn ended_clients(&self, pubkey: &PublicKey) -> Result<Vec<PublicKey>, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare("SELECT client FROM guest_wallets WHERE pubkey = ?1 AND ended = 1")?;
        let rows = statement.query_map([pubkey.to_bytes()], |row| row.get::<_, [u8; 32]>(0))?;
        rows.map(|key| PublicKey::from_slice(&key?).map_err(|e| StoreError::malformed("key", e))).collect()
    }

    /// Forgets an ended connection: the wallet has no such one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_guest_wallet(&self, client: &PublicKey) -> Result<(), StoreError> {
        let sql = "DELETE FROM guest_wallets WHERE client = ?1 AND ended = 1";
        self.lock().execute(sql, [client.to_bytes()])?;
        Ok(())
    }
}

/// In whatever transaction takes the container, or its process, from whoever had the secret.
pub(super) fn end(connection: &Connection, pubkey: &PublicKey) -> Result<(), StoreError> {
    let sql = "UPDATE guest_wallets SET ended = 1, secret = NULL WHERE pubkey = ?1 AND ended = 0";
    connection.execute(sql, [pubkey.to_bytes()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{Fixture, ROOM, key, launch};

    fn wallet() -> GuestWallet {
        GuestWallet { wallet: key(), client: key(), sealed: "hunter2".into() }
    }

    #[test]
    fn one_connection_is_open_and_an_ended_one_is_remembered_without_its_secret() {
        let fixture = Fixture::new();
        let pubkey = fixture.store.reserve(launch(key(), 1), &ROOM).unwrap().pubkey();
        let (first, second) = (wallet(), wallet());
        assert!(!format!("{first:?}").contains("hunter2"));
        fixture.store.save_guest_wallet(&pubkey, &first).unwrap();
        assert_eq!(fixture.store.guest_wallet(&pubkey).unwrap(), Some(first.clone()));
        assert_eq!(fixture.store.ended_guest_wallets(9).unwrap(), []);
        fixture.store.save_guest_wallet(&pubkey, &second).unwrap();
        let fixture = fixture.reopen();
        let store = &fixture.store;
        assert_eq!(store.guest_wallet(&pubkey).unwrap(), Some(second.clone()));
        assert_eq!(store.ended_clients(&pubkey).unwrap(), [first.client]);
        // What is open is not forgotten by mistake.
        store.forget_guest_wallet(&second.client).unwrap();
        assert!(store.guest_wallet(&pubkey).unwrap().is_some());
        store.end_guest_wallet(&pubkey).unwrap();
        assert_eq!(store.guest_wallet(&pubkey).unwrap(), None);
        assert_eq!(store.ended_guest_wallets(9).unwrap(), [pubkey]);
        let sql = "SELECT count(*) FROM guest_wallets WHERE secret IS NOT NULL";
        let secrets: u32 = store.lock().query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(secrets, 0);
        for client in store.ended_clients(&pubkey).unwrap() {
            store.forget_guest_wallet(&client).unwrap();
        }
        assert_eq!(store.ended_guest_wallets(9).unwrap(), []);
    }
}

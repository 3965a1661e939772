//! A container that changes hands.

use nostr::key::PublicKey;
use rusqlite::params;

use super::containers::to_json;
use super::record::Spec;
use super::{Store, StoreError};

impl Store {
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

//! What changes in a container's row while it lives.

use lifecycle::State;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::{Invoice, StateReason};
use rusqlite::{Transaction, TransactionBehavior, params};
use units::{Msat, UnixSecs};

use super::containers::{secs, to_json};
use super::record::Spec;
use super::{Store, StoreError};

impl Store {
    /// Saves a container's state, and with it whether it holds its units.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_state(
        &self,
        pubkey: &PublicKey,
        state: &State,
        reason: Option<&StateReason>,
    ) -> Result<(), StoreError> {
        let reason = reason.map(|reason| to_json("reason", reason)).transpose()?;
        self.update(
            "state = ?2, holds_units = ?3, reason = ?4",
            params![pubkey.to_bytes(), to_json("state", state)?, state.holds_units(), reason],
        )
    }

    /// Saves the launch invoice, and with it the state that waits for its payment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_invoice(
        &self,
        pubkey: &PublicKey,
        invoice: &Invoice,
        state: &State,
    ) -> Result<(), StoreError> {
        self.update(
            "invoice = ?2, state = ?3, holds_units = ?4",
            params![
                pubkey.to_bytes(),
                to_json("invoice", invoice)?,
                to_json("state", state)?,
                state.holds_units()
            ],
        )
    }

    /// Saves what the wallet said of the balance.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_balance(&self, pubkey: &PublicKey, balance: Msat) -> Result<(), StoreError> {
        self.update("balance_msat = ?2", params![pubkey.to_bytes(), balance.msat()])
    }

    /// Saves the key that the app told.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_app(&self, pubkey: &PublicKey, app: &PublicKey) -> Result<(), StoreError> {
        self.update("app = ?2", params![pubkey.to_bytes(), app.to_bytes()])
    }

    /// Saves when the container first ran; later calls change nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_started(&self, pubkey: &PublicKey, at: UnixSecs) -> Result<(), StoreError> {
        self.update("started_at = coalesce(started_at, ?2)", params![pubkey.to_bytes(), secs(at)])
    }

    /// Saves what it takes to run a container from now on. An offer to another key was one of what the manifest
    /// said; with another manifest there is none.
    ///
    /// # Errors
    /// [`StoreError`]; nothing changed.
    pub fn save_spec(&self, pubkey: &PublicKey, spec: &Spec) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        put_spec(&tx, pubkey, spec)?;
        tx.commit()?;
        Ok(())
    }

    fn update(&self, assignments: &str, values: &[&dyn rusqlite::ToSql]) -> Result<(), StoreError> {
        let sql = format!("UPDATE containers SET {assignments} WHERE pubkey = ?1");
        match self.lock().execute(&sql, values)? {
            0 => Err(StoreError::Missing),
            _ => Ok(()),
        }
    }
}

/// As [`Store::save_spec`], in whatever transaction changes what it takes to run a container.
pub(super) fn put_spec(tx: &Transaction<'_>, pubkey: &PublicKey, spec: &Spec) -> Result<(), StoreError> {
    let key = pubkey.to_bytes();
    let sql = "DELETE FROM offers WHERE pubkey = ?1 AND ?2 IS NOT
                   (SELECT json_extract(spec, '$.manifest_sha256') FROM containers WHERE pubkey = ?1)";
    tx.execute(sql, params![key, spec.manifest_sha256])?;
    let sql = "UPDATE containers SET spec = ?2, units = ?3 WHERE pubkey = ?1";
    match tx.execute(sql, params![key, to_json("spec", spec)?, spec.units.get()])? {
        0 => Err(StoreError::Missing),
        _ => Ok(()),
    }
}

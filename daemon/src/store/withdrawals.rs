//! Rows of withdrawals.

use nostr::key::PublicKey;
use rusqlite::{OptionalExtension, TransactionBehavior, params};
use units::{Msat, UnixSecs};

use super::containers::secs;
use super::{Store, StoreError};

/// A payment that an owner asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WithdrawalRow {
    /// The invoice to pay.
    pub invoice: String,
    /// Its amount.
    pub amount: Msat,
    /// The proof that it is paid, hex, and what it cost besides.
    pub paid: Option<(String, Msat)>,
}

impl Store {
    /// Puts a withdrawal on record under its command's key, or returns the one that is; none if the container is
    /// not `by`'s. Whoever is offered the container does not take it with less in it than it had: the offer ends.
    ///
    /// # Errors
    /// [`StoreError`]; nothing changed.
    pub fn intend_withdrawal(
        &self,
        request_key: &str,
        (pubkey, by): (&PublicKey, &PublicKey),
        invoice: &str,
        amount: Msat,
        now: UnixSecs,
    ) -> Result<Option<WithdrawalRow>, StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "SELECT EXISTS (SELECT 1 FROM containers WHERE pubkey = ?1 AND owner = ?2)";
        if !tx.query_row(sql, [pubkey.to_bytes(), by.to_bytes()], |row| row.get::<_, bool>(0))? {
            return Ok(None);
        }
        let sql = "SELECT invoice, amount_msat, preimage, fees_msat FROM withdrawals WHERE request_key = ?1";
        let known = tx
            .query_row(sql, [request_key], |row| {
                let preimage: Option<String> = row.get(2)?;
                let fees: Option<i64> = row.get(3)?;
                Ok(WithdrawalRow {
                    invoice: row.get(0)?,
                    amount: Msat::new(row.get(1)?),
                    paid: preimage.map(|preimage| (preimage, Msat::new(fees.unwrap_or_default()))),
                })
            })
            .optional()?;
        // One that was paid takes nothing any more, however often it is asked for.
        if known.as_ref().is_none_or(|known| known.paid.is_none()) {
            tx.execute("DELETE FROM offers WHERE pubkey = ?1", [pubkey.to_bytes()])?;
        }
        if known.is_none() {
            tx.execute(
                "INSERT INTO withdrawals (request_key, pubkey, invoice, amount_msat, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![request_key, pubkey.to_bytes(), invoice, amount.msat(), secs(now)],
            )?;
        }
        tx.commit()?;
        Ok(known.or_else(|| Some(WithdrawalRow { invoice: invoice.to_owned(), amount, paid: None })))
    }

    /// Records that a withdrawal is paid.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_withdrawal_paid(
        &self,
        request_key: &str,
        preimage: &str,
        fees: Msat,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE withdrawals SET preimage = ?2, fees_msat = ?3 WHERE request_key = ?1";
        match self.lock().execute(sql, params![request_key, preimage, fees.msat()])? {
            0 => Err(StoreError::Missing),
            _ => Ok(()),
        }
    }

    /// Forgets a withdrawal that was refused, unless it is paid after all: whoever asks for what cannot
    /// be paid must not fill the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_withdrawal(&self, request_key: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM withdrawals WHERE request_key = ?1 AND preimage IS NULL";
        self.lock().execute(sql, [request_key])?;
        Ok(())
    }
}

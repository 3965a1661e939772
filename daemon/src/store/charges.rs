//! Rows of charges.

use nostr::key::PublicKey;
use rusqlite::{OptionalExtension, TransactionBehavior, params};
use units::{Msat, UnixSecs};

use super::containers::secs;
use super::receipts::{self, NewReceipt};
use super::{Store, StoreError};

/// A charge: intended, then with an invoice, then paid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Charge {
    /// What is charged.
    pub amount: Msat,
    /// The invoice that the container is to pay.
    pub invoice: Option<String>,
    /// Its payment hash, hex.
    pub payment_hash: Option<String>,
    /// The proof that it is paid, hex.
    pub preimage: Option<String>,
}

impl Store {
    /// Puts the charge for a period on record, or returns the one that is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn intend_charge(
        &self,
        pubkey: &PublicKey,
        period: u64,
        amount: Msat,
        now: UnixSecs,
    ) -> Result<Charge, StoreError> {
        let connection = self.lock();
        let (key, period) = (pubkey.to_bytes(), i64::try_from(period).unwrap_or(i64::MAX));
        let sql = "SELECT amount_msat, invoice, payment_hash, preimage FROM charges WHERE pubkey = ?1 AND period = ?2";
        let known = connection
            .query_row(sql, params![key, period], |row| {
                Ok(Charge {
                    amount: Msat::new(row.get(0)?),
                    invoice: row.get(1)?,
                    payment_hash: row.get(2)?,
                    preimage: row.get(3)?,
                })
            })
            .optional()?;
        if let Some(charge) = known {
            return Ok(charge);
        }
        connection.execute(
            "INSERT INTO charges (pubkey, period, amount_msat, created_at) VALUES (?1, ?2, ?3, ?4)",
            params![key, period, amount.msat(), secs(now)],
        )?;
        Ok(Charge { amount, invoice: None, payment_hash: None, preimage: None })
    }

    /// Records the invoice of a charge; none takes away one that can no longer be paid.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_charge_invoice(
        &self,
        pubkey: &PublicKey,
        period: u64,
        invoice: Option<(&str, &str)>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE charges SET invoice = ?3, payment_hash = ?4
                   WHERE pubkey = ?1 AND period = ?2 AND preimage IS NULL";
        let period = i64::try_from(period).unwrap_or(i64::MAX);
        let (text, hash) = invoice.unzip();
        self.lock().execute(sql, params![pubkey.to_bytes(), period, text, hash])?;
        Ok(())
    }

    /// Records by which payment a charge was settled whose invoice is not known any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_charge_hash(
        &self,
        pubkey: &PublicKey,
        period: u64,
        payment_hash: &str,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE charges SET payment_hash = ?3
                   WHERE pubkey = ?1 AND period = ?2 AND preimage IS NULL";
        let period = i64::try_from(period).unwrap_or(i64::MAX);
        match self.lock().execute(sql, params![pubkey.to_bytes(), period, payment_hash])? {
            0 => Err(StoreError::Missing),
            _ => Ok(()),
        }
    }

    /// Records that a charge is paid, and its receipt.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_charge_paid(
        &self,
        pubkey: &PublicKey,
        period: u64,
        preimage: &str,
        now: UnixSecs,
        receipt: &NewReceipt,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE charges SET preimage = ?3, paid_at = coalesce(paid_at, ?4)
                   WHERE pubkey = ?1 AND period = ?2";
        let period = i64::try_from(period).unwrap_or(i64::MAX);
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if tx.execute(sql, params![pubkey.to_bytes(), period, preimage, secs(now)])? == 0 {
            return Err(StoreError::Missing);
        }
        receipts::insert(&tx, pubkey, period, receipt)?;
        tx.commit()?;
        Ok(())
    }

    /// How many periods of a container are paid, and what was paid for them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn charged(&self, pubkey: &PublicKey) -> Result<(u64, Msat), StoreError> {
        let sql = "SELECT count(*), coalesce(sum(amount_msat), 0) FROM charges
                   WHERE pubkey = ?1 AND preimage IS NOT NULL";
        let (count, sum): (u32, i64) =
            self.lock().query_row(sql, [pubkey.to_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((u64::from(count), Msat::new(sum)))
    }
}

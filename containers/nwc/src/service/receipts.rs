//! The outbox of zap receipts (NIP-57, appendix E): what is to be published, and what came of it.
//!
//! A receipt enters the outbox in the transaction that pays its invoice, and leaves it when every relay
//! of the request has it or is given up. Its content is decided by what was paid: made again after a
//! crash, it is the same event under the same id.

use nostr::types::url::RelayUrl;
use units::UnixSecs;

use super::answer::ZapReceipt;
use super::{Wallet, zap};
use crate::store::{StoreError, receipt};

/// How long a receipt is put off: nobody looks for it any more.
const POSTPONED_SECS_MAX: u64 = 2 * 86_400;

impl Wallet {
    /// Receipts whose time has come, at most `limit`: one of each payee, then the next one of each.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn due_receipts(&self, now: UnixSecs, limit: u32) -> Result<Vec<ZapReceipt>, StoreError> {
        let due = self.store.read(|view| receipt::due(view, now, limit).map_err(StoreError::from))?;
        let with_relays = |waiting: receipt::Waiting| ZapReceipt {
            relays: zap::relays(&waiting.zap_request)
                .into_iter()
                .filter(|relay| !waiting.settled.contains(relay))
                .collect(),
            invoice_id: waiting.invoice_id,
            payee: waiting.payee,
            request: waiting.zap_request,
            bolt11: waiting.bolt11,
            preimage: waiting.preimage,
            paid_at: waiting.paid_at,
        };
        Ok(due.into_iter().map(with_relays).collect())
    }

    /// When the next receipt is due; none if none waits.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn next_receipt_at(&self) -> Result<Option<UnixSecs>, StoreError> {
        self.store.read(|view| receipt::next_due(view).map_err(StoreError::from))
    }

    /// How many receipts wait.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn receipts_waiting(&self) -> Result<u32, StoreError> {
        self.store.read(|view| receipt::waiting(view).map_err(StoreError::from))
    }

    /// To be called before a receipt's relays are connected to: whatever that does to the program, the next
    /// attempt is later.
    ///
    /// # Errors
    /// [`StoreError`]; then it must not be tried.
    pub fn receipt_begun(&self, receipt: &ZapReceipt, now: UnixSecs) -> Result<(), StoreError> {
        let id = receipt.invoice_id;
        self.store.write(move |tx| receipt::begun(tx, id, now).map_err(StoreError::from))
    }

    /// Puts receipts off that no relay can be offered before `until`. That is no attempt; one that was put off for
    /// days is given up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn receipts_postponed(
        &self,
        receipts: &[ZapReceipt],
        until: UnixSecs,
        now: UnixSecs,
    ) -> Result<(), StoreError> {
        let until = |receipt: &ZapReceipt| {
            let is_old = now > receipt.paid_at.plus_secs(POSTPONED_SECS_MAX);
            (receipt.invoice_id, (!is_old).then_some(until))
        };
        let all: Vec<_> = receipts.iter().map(until).collect();
        self.store.write(move |tx| {
            all.iter()
                .try_for_each(|(id, until)| receipt::postponed(tx, *id, *until))
                .map_err(StoreError::from)
        })
    }

    /// Writes what came of publishing a receipt: `settled` relays have it, or are not to be asked again;
    /// the others are tried later.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn receipt_tried(&self, tried: &ZapReceipt, settled: Vec<RelayUrl>) -> Result<(), StoreError> {
        let more = tried.relays.iter().any(|relay| !settled.contains(relay));
        let id = tried.invoice_id;
        self.store.write(move |tx| receipt::tried(tx, id, &settled, more).map_err(StoreError::from))
    }
}

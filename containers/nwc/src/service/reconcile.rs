//! At the start: what became of payments that were handed over before the last end, or were about to be.

use protocol::nwc::PaymentHash;
use units::UnixSecs;

use super::Wallet;
use super::answer::Notice;
use super::node::or_unbooked;
use crate::lightning::{AttemptId, Bolt11, Fate};
use crate::store::{Payment, StoreError, payment};

/// Which attempt a payment's row is at.
pub(super) const fn attempt_of(payment: &Payment) -> AttemptId {
    AttemptId::new(payment.id, payment.attempt)
}

impl Wallet {
    /// Asks the node for the fate of every payment whose end is open, and books what it says for certain. Those
    /// who wait for the answer get it with the next upkeep. To be called before anything else is paid.
    pub(super) fn reconcile(&self, now: UnixSecs) -> Result<(), StoreError> {
        let mut unknown: u32 = 0;
        for open in self.store.read(|view| payment::in_flight(view).map_err(StoreError::from))? {
            // A payment to a hold invoice of ours never went to the node.
            if self.is_to_us(&open.bolt11) {
                continue;
            }
            let (hash, attempt) = (open.payment_hash, attempt_of(&open));
            let fate = self.backend.fate(hash, attempt);
            let what = format!("{hash}: {fate:?}");
            let booked = match fate {
                Fate::UnderWay => continue,
                Fate::Settled { preimage, fee } => self.on_settled(hash, preimage, fee, now),
                Fate::Failed { reason } => self.on_failed(hash, attempt, reason, now),
                Fate::NeverSent => {
                    let reason = "the wallet restarted before it was sent; try again".to_owned();
                    self.on_failed(hash, attempt, reason, now)
                }
                Fate::Unknown => {
                    unknown = unknown.saturating_add(1);
                    warn_of(hash);
                    continue;
                }
            };
            self.backlog().extend(or_unbooked(&what, booked)?.notices);
        }
        metrics::gauge!("wallet_payments_unknown").set(f64::from(unknown));
        Ok(())
    }

    /// Whether an invoice names our node.
    pub(super) fn is_to_us(&self, bolt11: &str) -> bool {
        Bolt11::parse(bolt11).is_ok_and(|invoice| invoice.payee() == self.backend.node_id())
    }

    /// What the start found out and nobody was told yet.
    pub(super) fn take_backlog(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.backlog())
    }
}

fn warn_of(hash: PaymentHash) {
    tracing::warn!(payment_hash = %hash, "the node cannot tell what became of a payment; its money stays on hold");
}

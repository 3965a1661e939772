//! What the node reports, turned into ledger steps. Reports come at least once and in any order; each is
//! written before it may be acknowledged, and a repeated one changes nothing.

use nostr::key::PublicKey;
use protocol::nwc::{ErrorCode, Method, PaymentHash, Preimage, Response, WalletError};
use sha2::{Digest, Sha256};
use units::{Msat, UnixSecs};

use super::Wallet;
use super::answer::Notice;
use super::pay::{paid, received_notices, sent_notice};
use crate::lightning::{HtlcClaims, NodeEvent};
use crate::store::{Invoice, InvoiceState, Payment, StoreError, invoice, payment};

/// What a report led to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeReport {
    /// What it was.
    pub outcome: NodeOutcome,
    /// The answer that the payer with this hash waits for, if the report decided it.
    pub answer: Option<(PublicKey, PaymentHash, Response)>,
    /// To be sent.
    pub notices: Vec<Notice>,
}

/// What a report was.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NodeOutcome {
    /// It changed something.
    Done,
    /// Known before, overtaken, or not about anything of this wallet.
    #[default]
    Nothing,
    /// A proof that does not prove its payment; nothing was done.
    FalseProof,
    /// Money locked in for us was taken.
    Claimed,
    /// Money locked in for us was sent back.
    Rejected,
}

impl Wallet {
    /// Takes a report of the node. It may be acknowledged if this returns without error.
    ///
    /// # Errors
    /// [`StoreError`]; the report must then come again.
    pub fn on_node_event(
        &self,
        event: NodeEvent,
        claims: &dyn HtlcClaims,
        now: UnixSecs,
    ) -> Result<NodeReport, StoreError> {
        match event {
            NodeEvent::PaymentSettled { payment_hash, preimage, fee } => {
                self.on_settled(payment_hash, preimage, fee, now)
            }
            NodeEvent::PaymentFailed { payment_hash, reason } => self.on_failed(payment_hash, reason, now),
            NodeEvent::Claimable { payment_hash, amount } => {
                self.on_claimable(payment_hash, amount, claims, now)
            }
            NodeEvent::Received { payment_hash, amount } => self.on_received(payment_hash, amount, now),
        }
    }

    fn on_settled(
        &self,
        hash: PaymentHash,
        preimage: Preimage,
        fee: Msat,
        now: UnixSecs,
    ) -> Result<NodeReport, StoreError> {
        if PaymentHash::from_bytes(Sha256::digest(preimage.as_bytes()).into()) != hash {
            tracing::error!(payment_hash = %hash, "the node reports a payment with a false proof");
            return Ok(NodeReport { outcome: NodeOutcome::FalseProof, ..NodeReport::default() });
        }
        let settled: Option<Payment> = self.store.write(move |tx| {
            let Some(sent) = payment::sent_by_hash(tx.view(), hash)? else { return Ok(None) };
            payment::settle_external(tx, sent, preimage, fee, now)
        })?;
        let Some(payment) = settled else { return Ok(NodeReport::default()) };
        let answer = paid(&payment).map(|response| (payment.payer, hash, response));
        Ok(NodeReport { outcome: NodeOutcome::Done, answer, notices: vec![sent_notice(&payment)] })
    }

    fn on_failed(&self, hash: PaymentHash, reason: String, now: UnixSecs) -> Result<NodeReport, StoreError> {
        let text = reason.clone();
        let payer: Option<PublicKey> = self.store.write(move |tx| {
            let Some(sent) = payment::live_by_hash(tx.view(), hash)? else { return Ok(None) };
            let failed = payment::fail(tx, &sent, &text, now)?;
            Ok::<_, StoreError>(failed.then_some(sent.payer))
        })?;
        let Some(payer) = payer else { return Ok(NodeReport::default()) };
        let error = WalletError::new(ErrorCode::PaymentFailed, format!("the payment failed: {reason}"));
        let answer = Some((payer, hash, Response::refused(&Method::PayInvoice, error)));
        Ok(NodeReport { outcome: NodeOutcome::Done, answer, notices: Vec::new() })
    }

    /// The decision who is paid: the row is stepped out of `open` first, and only then is the money
    /// taken. If the program ends in between, the node asks again and gets the same answer.
    fn on_claimable(
        &self,
        hash: PaymentHash,
        amount: Msat,
        claims: &dyn HtlcClaims,
        now: UnixSecs,
    ) -> Result<NodeReport, StoreError> {
        let preimage: Option<Preimage> = self.store.write(move |tx| {
            let Some(found) = invoice::by_hash(tx.view(), hash)? else { return Ok(None) };
            let in_time = now <= found.accept_until && amount >= found.amount;
            let claimed =
                found.state == InvoiceState::Claiming || in_time && invoice::begin_claim(tx, &found)?;
            Ok::<_, StoreError>(found.preimage.filter(|_| claimed))
        })?;
        let outcome = match preimage {
            Some(preimage) => {
                claims.claim(hash, &preimage);
                NodeOutcome::Claimed
            }
            None => {
                claims.reject(hash);
                NodeOutcome::Rejected
            }
        };
        Ok(NodeReport { outcome, ..NodeReport::default() })
    }

    fn on_received(&self, hash: PaymentHash, amount: Msat, now: UnixSecs) -> Result<NodeReport, StoreError> {
        let received: Option<Invoice> = self.store.write(move |tx| {
            let Some(found) = invoice::by_hash(tx.view(), hash)? else { return Ok(None) };
            invoice::receive(tx, found, amount, now)
        })?;
        let Some(invoice) = received else { return Ok(NodeReport::default()) };
        Ok(NodeReport { outcome: NodeOutcome::Done, answer: None, notices: received_notices(&invoice) })
    }
}

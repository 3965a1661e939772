//! Rows as the transaction objects of NIP-47.

use protocol::nwc::{Metadata, Transaction, TransactionState, TransactionType};
use units::{Msat, UnixSecs};

use crate::store::{HoldUntil, Invoice, InvoiceState, Item, Payment, PaymentState};

pub(super) fn item(item: &Item, now: UnixSecs) -> Transaction {
    match item {
        Item::Incoming(invoice) => incoming(invoice, now),
        Item::Outgoing(payment) => outgoing(payment),
    }
}

/// An invoice as its payee sees it.
pub(super) fn incoming(invoice: &Invoice, now: UnixSecs) -> Transaction {
    let settled = invoice.state == InvoiceState::Settled;
    Transaction {
        direction: TransactionType::Incoming,
        state: Some(match invoice.state {
            // May still be honoured for a while, but nobody should be told to pay it.
            InvoiceState::Open if now > invoice.expires_at => TransactionState::Expired,
            InvoiceState::Open => TransactionState::Pending,
            // Taken from the node, but not arrived: to the holder of a hold invoice still locked in.
            InvoiceState::Claiming if invoice.hold_secs.is_none() => TransactionState::Pending,
            InvoiceState::Accepted | InvoiceState::Claiming => TransactionState::Accepted,
            InvoiceState::Settled => TransactionState::Settled,
            InvoiceState::Expired | InvoiceState::Cancelled => TransactionState::Expired,
        }),
        invoice: Some(invoice.bolt11.clone()),
        description: invoice.description.clone(),
        description_hash: invoice.description_hash,
        // Before payment the preimage is the right to the money of whoever routes it.
        preimage: invoice.preimage.clone().filter(|_| settled),
        payment_hash: invoice.payment_hash,
        amount: invoice.received.unwrap_or(invoice.amount),
        fees_paid: Msat::ZERO,
        created_at: invoice.created_at,
        expires_at: Some(invoice.expires_at),
        settled_at: invoice.settled_at,
        settle_deadline: match invoice.settle_by {
            Some(HoldUntil::Height(height)) => Some(height),
            Some(HoldUntil::Time(until)) => Some(nominal_height(until)),
            None => None,
        },
        metadata: metadata(invoice.metadata.as_deref()),
    }
}

/// A payment as its payer sees it.
pub(super) fn outgoing(payment: &Payment) -> Transaction {
    Transaction {
        direction: TransactionType::Outgoing,
        state: Some(match payment.state {
            PaymentState::Held | PaymentState::Dispatched => TransactionState::Pending,
            PaymentState::Settled => TransactionState::Settled,
            PaymentState::Failed => TransactionState::Failed,
        }),
        invoice: Some(payment.bolt11.clone()),
        description: payment.description.clone(),
        description_hash: payment.description_hash,
        preimage: payment.preimage.clone(),
        payment_hash: payment.payment_hash,
        amount: payment.amount,
        fees_paid: payment.fee,
        created_at: payment.created_at,
        expires_at: Some(payment.expires_at),
        settled_at: payment.settled_at,
        settle_deadline: None,
        metadata: metadata(payment.metadata.as_deref()),
    }
}

/// The height at a moment of a chain with a block every ten minutes. Money from another wallet of ours is
/// locked in until a moment; NIP-47 knows only heights, and clients (rust-nostr) do not read an accepted
/// invoice without one.
fn nominal_height(at: UnixSecs) -> u32 {
    /// Of Bitcoin's first block.
    const GENESIS: UnixSecs = UnixSecs(1_231_006_505);
    const BLOCK_SECS: u64 = 600;
    u32::try_from(at.secs_since(GENESIS) / BLOCK_SECS).unwrap_or(u32::MAX)
}

fn metadata(json: Option<&str>) -> Option<Metadata> {
    Metadata::new(serde_json::from_str(json?).ok()?)
}

//! What a wallet tells a client unasked.

use serde::{Deserialize, Serialize};

use super::transaction::Transaction;

/// A notification. Sent with kind 23197 (NIP-44), and with kind 23196 (NIP-04) where that is advertised.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "notification_type", content = "notification", rename_all = "snake_case")]
pub enum Notification {
    /// An invoice of this wallet was paid.
    PaymentReceived(Transaction),
    /// A payment of this wallet settled.
    PaymentSent(Transaction),
    /// Money is locked in for a hold invoice of this wallet.
    HoldInvoiceAccepted(Transaction),
}

/// A notification that is malformed or of a type that we do not know.
#[derive(Debug, thiserror::Error)]
#[error("the wallet's notification is malformed or of an unknown type")]
pub struct MalformedNotification(#[source] serde_json::Error);

impl Notification {
    /// The types that we send, as they are advertised.
    pub const TYPES: [&'static str; 3] = ["payment_received", "payment_sent", "hold_invoice_accepted"];

    /// Its type, one of [`Self::TYPES`].
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::PaymentReceived(_) => "payment_received",
            Self::PaymentSent(_) => "payment_sent",
            Self::HoldInvoiceAccepted(_) => "hold_invoice_accepted",
        }
    }

    /// The text to encrypt and send.
    #[must_use]
    pub fn to_json(&self) -> String {
        super::call::to_json(self)
    }

    /// Reads the decrypted content of a notification.
    ///
    /// # Errors
    /// [`MalformedNotification`]; a client ignores it.
    pub fn from_json(text: &str) -> Result<Self, MalformedNotification> {
        serde_json::from_str(text).map_err(MalformedNotification)
    }

    /// The transaction that it is about.
    #[must_use]
    pub const fn transaction(&self) -> &Transaction {
        match self {
            Self::PaymentReceived(transaction)
            | Self::PaymentSent(transaction)
            | Self::HoldInvoiceAccepted(transaction) => transaction,
        }
    }
}

//! What comes out of a use case.

use nostr::key::PublicKey;
use nostr::types::url::RelayUrl;
use protocol::nwc::{Notification, PaymentHash, Preimage, Response};
use units::UnixSecs;

/// The outcome of a request: an answer for the caller, and what others are to be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handled {
    /// For the caller.
    pub answer: Answer,
    /// To be sent, in this order, after the answer.
    pub notices: Vec<Notice>,
}

/// An answer, or that there is none yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// To be sent now.
    Now(Box<Response>),
    /// The caller's payment with this hash is on its way; the answer comes with a node's report
    /// ([`super::NodeReport::answer`]). Asking again meanwhile gives the same.
    WhenSettled(PaymentHash),
}

/// Something to be sent that nobody asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// A NIP-47 notification.
    Wallet {
        /// Whose wallet it is about.
        to: PublicKey,
        /// The notification.
        notification: Notification,
    },
    /// A NIP-57 zap receipt to be published.
    Zap(ZapReceipt),
}

/// What a zap receipt is made of (NIP-57, kind 9735).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ZapReceipt {
    /// The zap request exactly as it was received; it goes into the tag `description` verbatim.
    pub request: String,
    /// Where the receipt is to be published, at most ten; named by a stranger, so each must pass the
    /// guard for addresses.
    pub relays: Vec<RelayUrl>,
    /// The invoice that was paid.
    pub bolt11: String,
    /// The proof.
    pub preimage: Preimage,
    /// When it was paid; the receipt's `created_at`.
    pub paid_at: UnixSecs,
}

impl Handled {
    pub(super) fn now(response: Response) -> Self {
        Self { answer: Answer::Now(Box::new(response)), notices: Vec::new() }
    }

    pub(super) const fn when_settled(payment_hash: PaymentHash) -> Self {
        Self { answer: Answer::WhenSettled(payment_hash), notices: Vec::new() }
    }
}

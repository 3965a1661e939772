//! What comes out of a use case.

use nostr::key::PublicKey;
use nostr::types::url::RelayUrl;
use protocol::nwc::{Method, Notification, PaymentHash, Preimage, Response, WalletError};
use units::UnixSecs;

use crate::store::LateAnswer;
use crate::store::request::Known;

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
    /// The text of an answer that was given before: the same event came again.
    Again(String),
}

/// Something to be sent that nobody asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// The answer to an earlier request that waited for the outcome of its payment.
    Late(LateAnswer),
    /// A NIP-47 notification.
    Wallet {
        /// Whose wallet it is about.
        to: PublicKey,
        /// The notification.
        notification: Notification,
    },
    /// A zap was paid: its receipt waits in the outbox ([`super::Wallet::due_receipts`]).
    Zap,
}

/// What a zap receipt is made of (NIP-57, kind 9735).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ZapReceipt {
    /// The row of the invoice that was paid.
    pub invoice_id: i64,
    /// Who was paid.
    pub payee: PublicKey,
    /// The zap request exactly as it was received; it goes into the tag `description` verbatim.
    pub request: String,
    /// Where the receipt is still to be published, at most ten; named by a stranger, so each must pass
    /// the guard for addresses.
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

    pub(super) fn known(known: Known) -> Self {
        let answer = match known {
            Known::Answered(text) => Answer::Again(text),
            Known::Waiting(hash) => Answer::WhenSettled(hash),
        };
        Self { answer, notices: Vec::new() }
    }

    /// A request that was not done.
    #[must_use]
    pub fn refused(method: &Method, error: WalletError) -> Self {
        Self::now(Response::refused(method, error))
    }

    /// The error code of the answer; none if it is no error, is not there yet, or was given before.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.answer {
            Answer::Now(response) => response.outcome().err().map(|error| error.code.as_str()),
            Answer::Again(_) | Answer::WhenSettled(_) => None,
        }
    }

    /// The text of the answer, if there is one yet.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match &self.answer {
            Answer::Now(response) => Some(response.to_json()),
            Answer::Again(text) => Some(text.clone()),
            Answer::WhenSettled(_) => None,
        }
    }

    /// The payment that the answer waits for.
    #[must_use]
    pub const fn waits_for(&self) -> Option<PaymentHash> {
        match &self.answer {
            Answer::WhenSettled(hash) => Some(*hash),
            Answer::Now(_) | Answer::Again(_) => None,
        }
    }

    pub(super) const fn when_settled(payment_hash: PaymentHash) -> Self {
        Self { answer: Answer::WhenSettled(payment_hash), notices: Vec::new() }
    }
}

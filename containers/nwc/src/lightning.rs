//! The Lightning side, behind a trait.
//!
//! ```text
//!  wallet ── create_invoice(hash, amount, …) ──► backend      the wallet keeps the preimage, so that
//!         ── check_payable(invoice) ───────────► backend      it alone decides who is paid
//!         ── pay(invoice, amount, max fee) ────► backend
//!                                                  │
//!         ◄── Dispatch: sent / refused / unknown ──┘
//!         ◄── NodeEvent: settled / failed / claimable / received   (later, at least once, any order)
//! ```
//!
//! Two backends are meant: [`InternalBackend`], which signs real invoices and settles only between the
//! wallet's own accounts, and an embedded Lightning node. Everything that a node makes hard is in the
//! shape of the trait: outcomes come later or never, a call may fail after the money left, and fees are
//! known only at the end, so that a maximum is set aside before.

mod bolt11;
mod internal;
mod network;
mod outgoing;

use std::borrow::Cow;
use std::fmt;

use protocol::nwc::{DescriptionHash, PaymentHash, Preimage};
use units::{Msat, UnixSecs};

pub use bolt11::{Bolt11, Bolt11Error};
pub use internal::{InternalBackend, InvalidNodeKey};
pub use network::{Network, UnknownNetwork};
pub use outgoing::{Assets, AttemptId, Fate, NoAttempt, OutgoingPayment};

/// A Lightning node's public key, compressed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct NodeId([u8; 33]);

impl NodeId {
    /// The key of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 33]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What an invoice says about its purpose.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// In words.
    Description(String),
    /// By a hash of something longer.
    Hash(DescriptionHash),
}

/// What goes into an invoice. The preimage stays with the wallet.
#[derive(Clone, Debug)]
pub struct InvoiceTerms {
    /// The hash of the wallet's preimage.
    pub payment_hash: PaymentHash,
    /// What is asked for.
    pub amount: Msat,
    /// What it is for.
    pub purpose: Purpose,
    /// When it is made.
    pub created_at: UnixSecs,
    /// How long payers may try.
    pub expiry_secs: u32,
    /// Blocks that the last hop must leave us; none: as the backend likes.
    pub min_cltv_delta: Option<u32>,
}

/// An invoice could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the Lightning backend made no invoice: {0}")]
pub struct CreateInvoiceError(pub String);

/// A payment that definitely was not sent, with a sentence for the payer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct CannotPay(pub Cow<'static, str>);

/// What became of handing over a payment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Dispatch {
    /// The node took it; the outcome is an event.
    Sent,
    /// The node refused it before anything left. The only answer that frees the payer's money.
    Refused(CannotPay),
    /// It may or may not be on its way (an error after the hand-over, a timeout, a duplicate). The
    /// money stays set aside until an event tells.
    Unknown(String),
}

/// What a node reports, at least once and in any order, however late.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NodeEvent {
    /// A payment arrived at its payee.
    PaymentSettled {
        /// Which.
        payment_hash: PaymentHash,
        /// The proof.
        preimage: Preimage,
        /// What routing took.
        fee: Msat,
    },
    /// An attempt of a payment failed for good.
    PaymentFailed {
        /// Which payment.
        payment_hash: PaymentHash,
        /// Which attempt of it: the failure of another says nothing about the one that is on its way.
        attempt: AttemptId,
        /// Why, for the payer.
        reason: String,
    },
    /// Somebody locked money in for one of our invoices; it is ours once we claim it.
    Claimable {
        /// Which invoice.
        payment_hash: PaymentHash,
        /// How much.
        amount: Msat,
        /// The height of the chain before which it must be taken, if the node knows.
        deadline: Option<u32>,
    },
    /// Money that we claimed has arrived.
    Received {
        /// Which invoice.
        payment_hash: PaymentHash,
        /// How much, after whatever a channel partner took.
        amount: Msat,
    },
}

/// A source of Lightning: makes invoices and pays them. Calls may block; none is made on the path of a
/// read.
pub trait LightningBackend: fmt::Debug + Send + Sync {
    /// The node that signs invoices.
    fn node_id(&self) -> NodeId;

    /// The network that invoices are for.
    fn network(&self) -> Network;

    /// Makes and signs an invoice.
    ///
    /// # Errors
    /// [`CreateInvoiceError`].
    fn create_invoice(&self, terms: &InvoiceTerms) -> Result<String, CreateInvoiceError>;

    /// Says whether there is any point in trying to pay, before money is set aside.
    ///
    /// # Errors
    /// [`CannotPay`] with the reason for the payer.
    fn check_payable(&self, invoice: &Bolt11) -> Result<(), CannotPay>;

    /// What the node has to pay with; none if there is no node. Does not block.
    fn assets(&self) -> Option<Assets> {
        None
    }

    /// What the node knows of an attempt that may have been handed over to it. Asked at the start.
    fn fate(&self, payment_hash: PaymentHash, attempt: AttemptId) -> Fate;

    /// The height of the node's chain; none if there is none. Does not block.
    fn block_height(&self) -> Option<u32> {
        None
    }

    /// How money locked in for us is decided about; none if nothing can be.
    fn claims(&self) -> Option<&dyn HtlcClaims> {
        None
    }

    /// Hands over a payment whose intent is on the disk.
    fn pay(&self, payment: &OutgoingPayment) -> Dispatch;
}

/// The part of a node that decides about money locked in for us. Both calls are idempotent.
pub trait HtlcClaims: fmt::Debug + Send + Sync {
    /// Takes the money.
    fn claim(&self, payment_hash: PaymentHash, preimage: &Preimage);

    /// Sends it back.
    fn reject(&self, payment_hash: PaymentHash);
}

//! Every reason for which a request is not done, with its NIP-47 code and the sentence for the caller.

use std::error::Error;

use ledger::PostError;
use protocol::nwc::{ErrorCode, Method, WalletError};
use units::Msat;

use super::names::NameError;
use super::zap::ZapError;
use crate::entropy::NoEntropy;
use crate::lightning::{Bolt11Error, CannotPay, CreateInvoiceError, Network};
use crate::store::StoreError;

/// Why a request is not done. `Display` is the sentence for the caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}; check that it is complete")]
    Bolt11(Bolt11Error),
    #[error("the invoice is for {theirs}, this wallet works on {ours}")]
    Network { theirs: Network, ours: Network },
    #[error("the invoice asks for {invoice} msat; leave amount out or give the same")]
    AmountDiffers { invoice: i64 },
    #[error("the invoice names no amount; give one")]
    AmountMissing,
    #[error("the amount is more than this wallet's largest invoice, {max} msat")]
    AmountTooLarge { max: i64 },
    #[error("the amount is out of range")]
    AmountOutOfRange,
    #[error("the invoice has expired; ask its maker for a new one")]
    Expired,
    #[error("the invoice can be paid for more than a year; ask its maker for one that expires earlier")]
    ExpiresTooLate,
    #[error("the invoice was withdrawn by its maker")]
    Cancelled,
    #[error("the invoice has been paid, or is being paid, by somebody else")]
    PaidByOther,
    #[error("the invoice was paid before; what is known of it was deleted with the older history")]
    PaidBefore,
    #[error("the invoice has the payment_hash of an invoice of this wallet; ask its maker for another")]
    HashOurs,
    #[error("this is an invoice of your own wallet; paying it would move nothing")]
    OwnInvoice,
    #[error("the invoice names this wallet's node but was not made here; ask its maker for a new one")]
    NotOurs,
    #[error("{0}")]
    CannotPay(CannotPay),
    #[error("the balance does not cover the amount and the fee reserve")]
    Insufficient,
    #[error("there is no such invoice or payment of this wallet")]
    NotFound,
    #[error("{field} must be at most {max}; page with until instead")]
    PageTooFar { field: &'static str, max: u32 },
    #[error("only the administrator may admit keys")]
    NotAdmin,
    #[error("any key may use this wallet; there is nothing to admit")]
    OpenToAll,
    #[error("this connection may not call {method}; ask the wallet's owner")]
    NotPermitted { method: String },
    #[error("there is no such connection, or it has ended; ask the wallet's owner for another")]
    NoConnection,
    #[error("only the wallet's own key may do this, not a connection")]
    OwnerOnly,
    #[error("a wallet must have been paid before it can be shared")]
    NothingToShare,
    #[error("too many connections; revoke one first")]
    TooManyConnections,
    #[error("there is no notification of the type {kind}")]
    NoNotification { kind: String },
    #[error("expires_at is in the past")]
    ExpiresInThePast,
    #[error("the wallet could not do this; try again")]
    BadLuck,
    #[error(
        "the connection's budget does not cover the amount and its fees; {left} msat are left in this period"
    )]
    Budget { left: i64 },
    #[error("an invoice or a payment with this payment_hash exists; use another preimage")]
    HashUsed,
    #[error("nobody has paid this invoice yet; there is nothing to settle")]
    NothingLockedIn,
    #[error("the time to settle is over; the payment goes back")]
    HoldOverdue,
    #[error("the invoice is settled; send the money back with a payment")]
    HoldSettled,
    #[error(
        "too many hold invoices have money locked in, or too many for so small an amount (limit: NWC_MAX_HOLDS_PER_KEY or NWC_MAX_HOLDS); settle or cancel some"
    )]
    TooManyHolds,
    #[error(
        "too many payments are on their way, or too many for so small an amount (limit: NWC_MAX_IN_FLIGHT_PER_KEY or NWC_MAX_IN_FLIGHT); wait until some arrive or fail"
    )]
    TooManyInFlight,
    #[error("this server holds as many wallets as it may; use another one")]
    TooManyWallets,
    #[error("the first payment to a key must be at least {min} msat; pay more")]
    FirstPaymentSmall { min: i64 },
    #[error(
        "so many requests wait for this payment that no more can (limit: NWC_MAX_WAITING_PER_PAYMENT or NWC_MAX_WAITING); look it up instead"
    )]
    TooManyWaiting,
    #[error(
        "this request came late, and what was answered to its likes was forgotten to make room; ask again with a new one"
    )]
    Forgotten,
    #[error("this would leave less than {min} msat in your wallet; pay more and leave nothing, or pay less")]
    LeavesDust { min: i64 },
    #[error("the payee's wallet may not hold so much; it holds at most {max} msat")]
    PayeeFull { max: i64 },
    #[error("payments to the outside are stopped; the operator has been told")]
    PayoutsStopped,
    #[error("this wallet serves only admitted keys; ask its operator")]
    NotAdmitted,
    #[error(
        "too many unpaid invoices (limit: NWC_MAX_OPEN_INVOICES, …_PER_KEY or …_UNFUNDED); wait until some are paid or expire"
    )]
    TooManyInvoices,
    #[error("too many requests in a short time (limit: NWC_MAX_ANSWERS_PER_KEY); wait some minutes")]
    TooManyRequests,
    #[error("the wallet has no room for this now (limit: NWC_BOOKS_BYTES_MAX); try again later")]
    Full,
    #[error("the zap request is not valid: {0}")]
    Zap(ZapError),
    #[error("{0}")]
    Name(NameError),
    #[error("the wallet could not do this; try again later")]
    NoEntropy(#[source] NoEntropy),
    #[error("the wallet could not do this; try again later")]
    CreateInvoice(#[source] CreateInvoiceError),
    #[error("the wallet could not do this; try again later")]
    Store(#[source] StoreError),
}

impl Refusal {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Bolt11(_)
            | Self::AmountDiffers { .. }
            | Self::AmountMissing
            | Self::AmountTooLarge { .. }
            | Self::AmountOutOfRange
            | Self::NoNotification { .. }
            | Self::ExpiresInThePast
            | Self::HashUsed
            | Self::NothingLockedIn
            | Self::HoldOverdue
            | Self::HoldSettled
            | Self::PayoutsStopped
            | Self::PageTooFar { .. }
            | Self::Zap(_)
            | Self::Name(NameError::Shape | NameError::Reserved) => ErrorCode::Other,
            Self::Name(NameError::NotServed) => ErrorCode::NotImplemented,
            Self::Network { .. }
            | Self::Expired
            | Self::ExpiresTooLate
            | Self::Cancelled
            | Self::PaidByOther
            | Self::OwnInvoice
            | Self::PaidBefore
            | Self::LeavesDust { .. }
            | Self::HashOurs
            | Self::NotOurs
            | Self::CannotPay(_) => ErrorCode::PaymentFailed,
            Self::TooManyWallets | Self::FirstPaymentSmall { .. } | Self::PayeeFull { .. } => {
                ErrorCode::PaymentFailed
            }
            Self::Budget { .. } => ErrorCode::QuotaExceeded,
            Self::NoConnection => ErrorCode::Unauthorized,
            Self::TooManyHolds | Self::TooManyInFlight => ErrorCode::RateLimited,
            Self::NotPermitted { .. } | Self::OwnerOnly | Self::NothingToShare | Self::TooManyConnections => {
                ErrorCode::Restricted
            }
            Self::Insufficient => ErrorCode::InsufficientBalance,
            Self::NotFound => ErrorCode::NotFound,
            Self::NotAdmin
            | Self::OpenToAll
            | Self::NotAdmitted
            | Self::Name(NameError::Taken | NameError::TooMany | NameError::Full | NameError::NeverPaid) => {
                ErrorCode::Restricted
            }
            Self::TooManyInvoices
            | Self::TooManyRequests
            | Self::TooManyWaiting
            | Self::Forgotten
            | Self::Full => ErrorCode::RateLimited,
            Self::NoEntropy(_) | Self::BadLuck | Self::CreateInvoice(_) | Self::Store(_) => {
                ErrorCode::Internal
            }
        }
    }

    /// What the caller is told. A fault of the wallet's own is logged here, with its causes; the caller
    /// learns nothing of them.
    pub(crate) fn into_error(self, method: &Method) -> WalletError {
        let code = self.code();
        if code == ErrorCode::Internal {
            let mut causes = Vec::new();
            let mut cause = self.source();
            while let Some(error) = cause {
                causes.push(error.to_string());
                cause = error.source();
            }
            tracing::error!(%method, causes = causes.join(": "), "a request failed");
        }
        WalletError::new(code, self.to_string())
    }

    /// True for what leaves no trace, because the fault is the wallet's own or there is no room for one: the
    /// request may be repeated and obeyed later.
    pub(crate) fn is_fault(&self) -> bool {
        self.code() == ErrorCode::Internal
            || matches!(self, Self::Full | Self::TooManyRequests | Self::TooManyWaiting | Self::Forgotten)
    }

    /// True for an event that may have been acted on, whose answer was forgotten.
    pub(crate) const fn is_forgotten(&self) -> bool {
        matches!(self, Self::Forgotten)
    }

    /// The store's fault, if it is one.
    pub(crate) fn into_fault(self) -> Option<StoreError> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "one variant of many is looked for")]
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }

    pub(crate) const fn amount_differs(invoice: Msat) -> Self {
        Self::AmountDiffers { invoice: invoice.msat() }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let is_full = match &error {
            StoreError::Full => true,
            StoreError::Sqlite(cause) | StoreError::Post(PostError::Sqlite(cause)) => {
                cause.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            StoreError::Post(_)
            | StoreError::InDoubt
            | StoreError::Locked
            | StoreError::Stopped
            | StoreError::Inconsistent(_) => false,
        };
        if is_full { Self::Full } else { Self::Store(error) }
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<PostError> for Refusal {
    fn from(error: PostError) -> Self {
        StoreError::from(error).into()
    }
}

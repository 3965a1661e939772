//! Every reason for which a request is not done, with its NIP-47 code and the sentence for the caller.

use std::error::Error;

use ledger::PostError;
use protocol::nwc::{ErrorCode, Method, WalletError};
use units::Msat;

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
    #[error("the invoice was withdrawn by its maker")]
    Cancelled,
    #[error("the invoice has been paid, or is being paid, by somebody else")]
    PaidByOther,
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
    #[error("this wallet serves only admitted keys; ask its operator")]
    NotAdmitted,
    #[error("too many unpaid invoices; wait until some are paid or expire")]
    TooManyInvoices,
    #[error("the zap request is not valid: {0}")]
    Zap(ZapError),
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
            | Self::PageTooFar { .. }
            | Self::Zap(_) => ErrorCode::Other,
            Self::Network { .. }
            | Self::Expired
            | Self::Cancelled
            | Self::PaidByOther
            | Self::OwnInvoice
            | Self::NotOurs
            | Self::CannotPay(_) => ErrorCode::PaymentFailed,
            Self::Insufficient => ErrorCode::InsufficientBalance,
            Self::NotFound => ErrorCode::NotFound,
            Self::NotAdmin | Self::OpenToAll | Self::NotAdmitted => ErrorCode::Restricted,
            Self::TooManyInvoices => ErrorCode::RateLimited,
            Self::NoEntropy(_) | Self::CreateInvoice(_) | Self::Store(_) => ErrorCode::Internal,
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

    pub(crate) const fn amount_differs(invoice: Msat) -> Self {
        Self::AmountDiffers { invoice: invoice.msat() }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<PostError> for Refusal {
    fn from(error: PostError) -> Self {
        Self::Store(error.into())
    }
}

//! Hold invoices (NIP-47): the client keeps the preimage, money stays locked in until it gives it.

use serde::{Deserialize, Serialize};

use super::bytes::{PaymentHash, Preimage};
use super::error::WalletError;
use super::fields::{Object, required};
use super::params::MakeInvoice;

/// The longest time to settle that can be asked for, in blocks: two weeks, what the network locks
/// money for at most.
pub const CLTV_DELTA_MAX: u32 = 2_016;

/// `make_hold_invoice`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct MakeHoldInvoice {
    /// The hash of the preimage that the client keeps.
    pub payment_hash: PaymentHash,
    /// The invoice.
    #[serde(flatten)]
    pub invoice: MakeInvoice,
    /// For how many blocks the money may be locked in at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_cltv_expiry_delta: Option<u32>,
}

/// `settle_hold_invoice`: takes what is locked in.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct SettleHoldInvoice {
    /// What hashes to the invoice's payment hash.
    pub preimage: Preimage,
}

/// `cancel_hold_invoice`: sends back what is locked in, or withdraws the invoice.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct CancelHoldInvoice {
    /// Which invoice.
    pub payment_hash: PaymentHash,
}

/// The result of a method that has nothing to say: `{}`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Done {}

impl MakeHoldInvoice {
    pub(super) fn parse(params: &Object) -> Result<Self, WalletError> {
        let min_cltv_expiry_delta = params.number("min_cltv_expiry_delta", 1)?;
        if min_cltv_expiry_delta.is_some_and(|blocks| blocks > CLTV_DELTA_MAX) {
            return Err(WalletError::invalid(format!(
                "min_cltv_expiry_delta must be at most {CLTV_DELTA_MAX} blocks"
            )));
        }
        Ok(Self {
            payment_hash: required("payment_hash", params.hex32("payment_hash")?)?,
            invoice: MakeInvoice::parse(params)?,
            min_cltv_expiry_delta,
        })
    }
}

impl SettleHoldInvoice {
    pub(super) fn parse(params: &Object) -> Result<Self, WalletError> {
        Ok(Self { preimage: required("preimage", params.hex32("preimage")?)? })
    }
}

impl CancelHoldInvoice {
    pub(super) fn parse(params: &Object) -> Result<Self, WalletError> {
        Ok(Self { payment_hash: required("payment_hash", params.hex32("payment_hash")?)? })
    }
}

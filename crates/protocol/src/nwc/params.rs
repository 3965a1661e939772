//! The parameters of each method, as a client sends them.

use nostr::key::PublicKey;
use serde::Serialize;
use units::{Msat, UnixSecs};

use super::bytes::{DescriptionHash, PaymentHash};
use super::error::WalletError;
use super::fields::{Object, required};
use super::transaction::{Metadata, TransactionType};
use super::{DESCRIPTION_BYTES_MAX, INVOICE_CHARS_MAX, NAME_BYTES_MAX, ZAP_REQUEST_BYTES_MAX};

/// `get_info`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct GetInfo {}

/// `get_balance`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct GetBalance {}

/// `make_invoice`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct MakeInvoice {
    /// What the invoice asks for, at least one millisatoshi.
    pub amount: Msat,
    /// What the payment is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The hash to commit to instead of the description, which is then only kept by the wallet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description_hash: Option<DescriptionHash>,
    /// How long the invoice can be paid, in seconds; the wallet may shorten it.
    #[serde(rename = "expiry", skip_serializing_if = "Option::is_none")]
    pub expiry_secs: Option<u32>,
    /// Anything that the client wants to find again with the transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// `make_invoice_for` (the reference's own): any key may ask for an invoice that pays another key.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct MakeInvoiceFor {
    /// Who is paid.
    pub pubkey: PublicKey,
    /// The invoice.
    #[serde(flatten)]
    pub invoice: MakeInvoice,
    /// A NIP-57 zap request, exactly as it was received; the invoice commits to its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zap_request: Option<String>,
}

/// `pay_invoice`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PayInvoice {
    /// The BOLT11 invoice.
    pub invoice: String,
    /// The amount for an invoice that has none; otherwise absent or the same as the invoice's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Msat>,
    /// Anything that the client wants to find again with the transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// `lookup_invoice`: by hash, by invoice, or by both, which must then agree.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct LookupInvoice {
    /// The payment hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_hash: Option<PaymentHash>,
    /// The BOLT11 invoice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice: Option<String>,
}

/// `list_transactions`, newest first.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ListTransactions {
    /// Created at this moment or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<UnixSecs>,
    /// Created at this moment or earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixSecs>,
    /// At most so many; the wallet returns no more than [`super::LIST_LIMIT_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Leave out so many of the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// Also what is not (yet, or ever) paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpaid: Option<bool>,
    /// Only one direction.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub direction: Option<TransactionType>,
}

/// `add_pubkey` (the reference's own): admits a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct AddPubkey {
    /// The key.
    pub pubkey: PublicKey,
}

/// `choose_name` (ours): the Lightning address `name@host` is to pay the caller.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ChooseName {
    /// The name, as it stands before the `@`.
    pub name: String,
}

impl MakeInvoice {
    /// An invoice over `amount`, everything else as the wallet likes.
    #[must_use]
    pub const fn of(amount: Msat) -> Self {
        Self { amount, description: None, description_hash: None, expiry_secs: None, metadata: None }
    }

    pub(super) fn parse(params: &Object) -> Result<Self, WalletError> {
        Ok(Self {
            amount: required("amount", params.msat("amount")?)?,
            description: params.text("description", DESCRIPTION_BYTES_MAX)?,
            description_hash: params.hex32("description_hash")?,
            expiry_secs: params.number("expiry", 1)?,
            metadata: params.metadata()?,
        })
    }
}

impl MakeInvoiceFor {
    pub(super) fn parse(params: &Object) -> Result<Self, WalletError> {
        Ok(Self {
            pubkey: required("pubkey", params.pubkey("pubkey")?)?,
            invoice: MakeInvoice::parse(params)?,
            zap_request: params.text("zap_request", ZAP_REQUEST_BYTES_MAX)?,
        })
    }
}

impl PayInvoice {
    /// Pays `invoice`, which has an amount.
    #[must_use]
    pub fn of(invoice: impl Into<String>) -> Self {
        Self { invoice: invoice.into(), amount: None, metadata: None }
    }

    pub(super) fn parse(params: &Object) -> Result<Self, WalletError> {
        Ok(Self {
            invoice: required("invoice", params.text("invoice", INVOICE_CHARS_MAX)?)?,
            amount: params.msat("amount")?,
            metadata: params.metadata()?,
        })
    }
}

impl LookupInvoice {
    /// Looks up by hash.
    #[must_use]
    pub const fn by_hash(payment_hash: PaymentHash) -> Self {
        Self { payment_hash: Some(payment_hash), invoice: None }
    }

    pub(super) fn parse(params: &Object) -> Result<Self, WalletError> {
        let lookup = Self {
            payment_hash: params.hex32("payment_hash")?,
            invoice: params.text("invoice", INVOICE_CHARS_MAX)?,
        };
        if lookup == Self::default() {
            return Err(WalletError::invalid("payment_hash or invoice is needed"));
        }
        Ok(lookup)
    }
}

impl ListTransactions {
    pub(super) fn parse(params: &Object) -> Result<Self, WalletError> {
        Ok(Self {
            from: params.unix_secs("from")?,
            until: params.unix_secs("until")?,
            limit: params.number("limit", 1)?,
            offset: params.number("offset", 0)?,
            unpaid: params.flag("unpaid")?,
            direction: params.word(
                "type",
                &[("incoming", TransactionType::Incoming), ("outgoing", TransactionType::Outgoing)],
            )?,
        })
    }
}

impl AddPubkey {
    pub(super) fn parse(params: &Object) -> Result<Self, WalletError> {
        Ok(Self { pubkey: required("pubkey", params.pubkey("pubkey")?)? })
    }
}

impl ChooseName {
    pub(super) fn parse(params: &Object) -> Result<Self, WalletError> {
        Ok(Self { name: required("name", params.text("name", NAME_BYTES_MAX)?)? })
    }
}

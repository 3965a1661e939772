//! Method names.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A method of a request, and the `result_type` of its reply.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Method {
    /// `get_info`: what the wallet can do.
    GetInfo,
    /// `get_balance`.
    GetBalance,
    /// `make_invoice`: an invoice that pays the caller.
    MakeInvoice,
    /// `lookup_invoice`: one transaction of the caller.
    LookupInvoice,
    /// `list_transactions`: the caller's history.
    ListTransactions,
    /// `pay_invoice`.
    PayInvoice,
    /// `make_hold_invoice`: an invoice whose preimage the caller keeps.
    MakeHoldInvoice,
    /// `settle_hold_invoice`.
    SettleHoldInvoice,
    /// `cancel_hold_invoice`.
    CancelHoldInvoice,
    /// `get_budget` of Alby's SDK: what a connection may still spend.
    GetBudget,
    /// `create_connection` of Alby's SDK: another key for the caller's wallet.
    CreateConnection,
    /// `list_connections` (ours).
    ListConnections,
    /// `revoke_connection` (ours).
    RevokeConnection,
    /// `make_invoice_for` of the reference: an invoice that pays somebody else.
    MakeInvoiceFor,
    /// `add_pubkey` of the reference: admits a key to a wallet that is not open to all.
    AddPubkey,
    /// `choose_name` (ours): a name for the caller's Lightning address.
    ChooseName,
    /// Any other name.
    Unknown(String),
}

impl Method {
    /// The methods that NIP-47 defines and we know. Only these belong into `get_info`: older clients
    /// refuse the whole reply over one name that they do not know.
    pub const NIP: [Self; 9] = [
        Self::GetInfo,
        Self::GetBalance,
        Self::MakeInvoice,
        Self::LookupInvoice,
        Self::ListTransactions,
        Self::PayInvoice,
        Self::MakeHoldInvoice,
        Self::SettleHoldInvoice,
        Self::CancelHoldInvoice,
    ];

    /// The reference's own methods, and ours. With [`Self::NIP`] they make up the content of the info event.
    pub const EXTENSIONS: [Self; 7] = [
        Self::MakeInvoiceFor,
        Self::AddPubkey,
        Self::ChooseName,
        Self::GetBudget,
        Self::CreateConnection,
        Self::ListConnections,
        Self::RevokeConnection,
    ];

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::GetInfo => "get_info",
            Self::GetBalance => "get_balance",
            Self::MakeInvoice => "make_invoice",
            Self::LookupInvoice => "lookup_invoice",
            Self::ListTransactions => "list_transactions",
            Self::PayInvoice => "pay_invoice",
            Self::MakeHoldInvoice => "make_hold_invoice",
            Self::SettleHoldInvoice => "settle_hold_invoice",
            Self::CancelHoldInvoice => "cancel_hold_invoice",
            Self::GetBudget => "get_budget",
            Self::CreateConnection => "create_connection",
            Self::ListConnections => "list_connections",
            Self::RevokeConnection => "revoke_connection",
            Self::MakeInvoiceFor => "make_invoice_for",
            Self::AddPubkey => "add_pubkey",
            Self::ChooseName => "choose_name",
            Self::Unknown(name) => name,
        }
    }

    /// The method of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::NIP
            .into_iter()
            .chain(Self::EXTENSIONS)
            .find(|method| method.as_str() == name)
            .unwrap_or_else(|| Self::Unknown(name.to_owned()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_name(&String::deserialize(deserializer)?))
    }
}

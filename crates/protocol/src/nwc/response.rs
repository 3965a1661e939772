//! A reply as the wallet service writes it, and the results that both sides share.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use units::{Msat, UnixSecs};

use super::bytes::Preimage;
use super::connection::{Budget, Connected, Connections};
use super::error::{ErrorCode, WalletError};
use super::hold::Done;
use super::method::Method;
use super::request::RefusedRequest;
use super::transaction::{Transaction, empty_is_none, not_negative, not_negative_or_null};

/// The result of `get_info`. What a wallet does not know is absent.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Info {
    /// A name.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub alias: Option<String>,
    /// A colour, six hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub color: Option<String>,
    /// The Lightning node's public key, hex.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub pubkey: Option<String>,
    /// `mainnet`, `testnet`, `signet` or `regtest`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub network: Option<String>,
    /// The height of the node's chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_height: Option<u32>,
    /// The tip of the node's chain, hex.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub block_hash: Option<String>,
    /// What this connection may call; only names of the NIP (see [`Method::NIP`]).
    pub methods: Vec<Method>,
    /// The notifications that are sent.
    #[serde(default)]
    pub notifications: Vec<String>,
    /// The caller's Lightning address (LUD-16), as Alby's SDK reads it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub lud16: Option<String>,
}

/// The result of `get_balance`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Balance {
    /// What can be spent.
    #[serde(deserialize_with = "not_negative")]
    pub balance: Msat,
}

/// The result of `pay_invoice`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Paid {
    /// The proof of payment.
    pub preimage: Preimage,
    /// The fees, on top of the amount.
    #[serde(default, deserialize_with = "not_negative_or_null")]
    pub fees_paid: Msat,
}

/// The result of `list_transactions`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Transactions {
    /// Newest first.
    pub transactions: Vec<Transaction>,
    /// Ours, beside NIP-47: what was made at this moment or before may be gone, because the wallet keeps a bounded
    /// history; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten_until: Option<UnixSecs>,
}

/// The result of `add_pubkey`: nothing to say.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Registered {}

/// The result of `choose_name`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Named {
    /// The caller's Lightning address from now on.
    pub lud16: String,
}

/// The result of a request that was done.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ResultBody {
    /// Of `get_info`.
    GetInfo(Info),
    /// Of `get_balance`.
    GetBalance(Balance),
    /// Of `make_invoice`.
    MakeInvoice(Transaction),
    /// Of `lookup_invoice`.
    LookupInvoice(Transaction),
    /// Of `list_transactions`.
    ListTransactions(Transactions),
    /// Of `pay_invoice`.
    PayInvoice(Paid),
    /// Of `make_invoice_for`.
    MakeInvoiceFor(Transaction),
    /// Of `add_pubkey`.
    AddPubkey(Registered),
    /// Of `choose_name`.
    ChooseName(Named),
    /// Of `make_hold_invoice`.
    MakeHoldInvoice(Transaction),
    /// Of `settle_hold_invoice`.
    SettleHoldInvoice(Done),
    /// Of `cancel_hold_invoice`.
    CancelHoldInvoice(Done),
    /// Of `get_budget`.
    GetBudget(Budget),
    /// Of `create_connection`.
    CreateConnection(Connected),
    /// Of `list_connections`.
    ListConnections(Connections),
    /// Of `revoke_connection`.
    RevokeConnection(Done),
}

impl ResultBody {
    /// The method that this is the result of.
    #[must_use]
    pub const fn method(&self) -> Method {
        match self {
            Self::GetInfo(_) => Method::GetInfo,
            Self::GetBalance(_) => Method::GetBalance,
            Self::MakeInvoice(_) => Method::MakeInvoice,
            Self::LookupInvoice(_) => Method::LookupInvoice,
            Self::ListTransactions(_) => Method::ListTransactions,
            Self::PayInvoice(_) => Method::PayInvoice,
            Self::MakeInvoiceFor(_) => Method::MakeInvoiceFor,
            Self::AddPubkey(_) => Method::AddPubkey,
            Self::ChooseName(_) => Method::ChooseName,
            Self::MakeHoldInvoice(_) => Method::MakeHoldInvoice,
            Self::SettleHoldInvoice(_) => Method::SettleHoldInvoice,
            Self::CancelHoldInvoice(_) => Method::CancelHoldInvoice,
            Self::GetBudget(_) => Method::GetBudget,
            Self::CreateConnection(_) => Method::CreateConnection,
            Self::ListConnections(_) => Method::ListConnections,
            Self::RevokeConnection(_) => Method::RevokeConnection,
        }
    }
}

/// A reply: either a result or an error, never both, with the method echoed in either case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    result_type: String,
    outcome: Result<ResultBody, WalletError>,
}

impl Response {
    /// A reply to a request that was done.
    #[must_use]
    pub fn done(body: ResultBody) -> Self {
        Self { result_type: body.method().as_str().to_owned(), outcome: Ok(body) }
    }

    /// A reply to a request for `method` that was not done.
    #[must_use]
    pub fn refused(method: &Method, error: WalletError) -> Self {
        Self { result_type: method.as_str().to_owned(), outcome: Err(error) }
    }

    /// The reply to a method that we do not know.
    #[must_use]
    pub fn not_implemented(method: &Method) -> Self {
        Self::refused(method, WalletError::new(ErrorCode::NotImplemented, "there is no method of that name"))
    }

    /// The reply to a request in an encryption that we do not read, to be sent with NIP-44. The request's
    /// method is not known.
    #[must_use]
    pub fn unsupported_encryption() -> Self {
        let error =
            WalletError::new(ErrorCode::UnsupportedEncryption, "encrypt requests with nip44_v2 or nip04");
        Self { result_type: String::new(), outcome: Err(error) }
    }

    /// What was answered.
    ///
    /// # Errors
    /// The error of a reply that is one.
    pub const fn outcome(&self) -> Result<&ResultBody, &WalletError> {
        self.outcome.as_ref()
    }

    /// The text to encrypt and send.
    #[must_use]
    pub fn to_json(&self) -> String {
        super::call::to_json(self)
    }
}

impl From<RefusedRequest> for Response {
    fn from(refused: RefusedRequest) -> Self {
        Self { result_type: refused.result_type, outcome: Err(refused.error) }
    }
}

impl Serialize for Response {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // All three members always: clients test `result` first, and `error` must be null on success.
        let mut object = serializer.serialize_struct("Response", 3)?;
        object.serialize_field("result_type", &self.result_type)?;
        object.serialize_field("error", &self.outcome.as_ref().err())?;
        object.serialize_field("result", &self.outcome.as_ref().ok())?;
        object.end()
    }
}

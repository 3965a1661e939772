//! A request as the wallet service reads it.

use serde::Deserialize;
use serde_json::Value;

use super::REQUEST_BYTES_MAX;
use super::connection::{CreateConnection, GetBudget, ListConnections, RevokeConnection};
use super::error::{ErrorCode, WalletError};
use super::fields::Object;
use super::hold::{CancelHoldInvoice, MakeHoldInvoice, SettleHoldInvoice};
use super::method::Method;
use super::params::{
    AddPubkey, ChooseName, GetBalance, GetInfo, ListTransactions, LookupInvoice, MakeInvoice, MakeInvoiceFor,
    PayInvoice,
};

/// The longest method name that is echoed back.
const METHOD_CHARS_MAX: usize = 64;

/// A well-formed request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    /// `get_info`.
    GetInfo(GetInfo),
    /// `get_balance`.
    GetBalance(GetBalance),
    /// `make_invoice`.
    MakeInvoice(MakeInvoice),
    /// `lookup_invoice`.
    LookupInvoice(LookupInvoice),
    /// `list_transactions`.
    ListTransactions(ListTransactions),
    /// `pay_invoice`.
    PayInvoice(PayInvoice),
    /// `make_invoice_for`.
    MakeInvoiceFor(MakeInvoiceFor),
    /// `add_pubkey`.
    AddPubkey(AddPubkey),
    /// `choose_name`.
    ChooseName(ChooseName),
    /// `make_hold_invoice`.
    MakeHoldInvoice(MakeHoldInvoice),
    /// `settle_hold_invoice`.
    SettleHoldInvoice(SettleHoldInvoice),
    /// `cancel_hold_invoice`.
    CancelHoldInvoice(CancelHoldInvoice),
    /// `get_budget`.
    GetBudget(GetBudget),
    /// `create_connection`.
    CreateConnection(CreateConnection),
    /// `list_connections`.
    ListConnections(ListConnections),
    /// `revoke_connection`.
    RevokeConnection(RevokeConnection),
    /// A method that we do not know, to be answered with [`ErrorCode::NotImplemented`].
    Unknown(String),
}

/// A request that could not be read, with what to answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a {result_type:?} request is not valid: {error}")]
pub struct RefusedRequest {
    /// The request's method as far as it could be read, to be echoed; empty if not.
    pub result_type: String,
    /// What to answer.
    pub error: WalletError,
}

#[derive(Deserialize)]
struct Envelope {
    method: String,
    #[serde(default)]
    params: Option<Object>,
}

impl Request {
    /// Reads the decrypted content of a request.
    ///
    /// # Errors
    /// [`RefusedRequest`], ready to be answered.
    pub fn from_json(text: &str) -> Result<Self, RefusedRequest> {
        if text.len() > REQUEST_BYTES_MAX {
            let error = WalletError::invalid(format!("the request is longer than {REQUEST_BYTES_MAX} bytes"));
            return Err(RefusedRequest { result_type: String::new(), error });
        }
        let envelope: Envelope = serde_json::from_str(text).map_err(|_| malformed(text))?;
        let method = Method::from_name(&envelope.method);
        Self::parse(method, &envelope.params.unwrap_or_default())
            .map_err(|error| RefusedRequest { result_type: echo(envelope.method), error })
    }

    fn parse(method: Method, params: &Object) -> Result<Self, WalletError> {
        Ok(match method {
            Method::GetInfo => Self::GetInfo(GetInfo {}),
            Method::GetBalance => Self::GetBalance(GetBalance {}),
            Method::MakeInvoice => Self::MakeInvoice(MakeInvoice::parse(params)?),
            Method::LookupInvoice => Self::LookupInvoice(LookupInvoice::parse(params)?),
            Method::ListTransactions => Self::ListTransactions(ListTransactions::parse(params)?),
            Method::PayInvoice => Self::PayInvoice(PayInvoice::parse(params)?),
            Method::MakeInvoiceFor => Self::MakeInvoiceFor(MakeInvoiceFor::parse(params)?),
            Method::AddPubkey => Self::AddPubkey(AddPubkey::parse(params)?),
            Method::ChooseName => Self::ChooseName(ChooseName::parse(params)?),
            Method::MakeHoldInvoice => Self::MakeHoldInvoice(MakeHoldInvoice::parse(params)?),
            Method::SettleHoldInvoice => Self::SettleHoldInvoice(SettleHoldInvoice::parse(params)?),
            Method::CancelHoldInvoice => Self::CancelHoldInvoice(CancelHoldInvoice::parse(params)?),
            Method::GetBudget => Self::GetBudget(GetBudget {}),
            Method::CreateConnection => Self::CreateConnection(CreateConnection::parse(params)?),
            Method::ListConnections => Self::ListConnections(ListConnections {}),
            Method::RevokeConnection => Self::RevokeConnection(RevokeConnection::parse(params)?),
            Method::Unknown(name) if name.chars().count() <= METHOD_CHARS_MAX => Self::Unknown(name),
            Method::Unknown(_) => {
                return Err(WalletError::new(ErrorCode::NotImplemented, "there is no method of that name"));
            }
        })
    }

    /// The request's method.
    #[must_use]
    pub fn method(&self) -> Method {
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
            Self::Unknown(name) => Method::Unknown(name.clone()),
        }
    }
}

/// A name that is short enough to be sent back, or nothing.
fn echo(method: String) -> String {
    if method.chars().count() <= METHOD_CHARS_MAX { method } else { String::new() }
}

/// The answer to a text that is not `{"method": …, "params": {…}}`, with the method if it can be seen.
fn malformed(text: &str) -> RefusedRequest {
    let method = serde_json::from_str::<Value>(text)
        .ok()
        .and_then(|value| value.get("method")?.as_str().map(str::to_owned))
        .unwrap_or_default();
    let error = WalletError::invalid(
        "the request must be an object with a method and an object of params, each name once",
    );
    RefusedRequest { result_type: echo(method), error }
}

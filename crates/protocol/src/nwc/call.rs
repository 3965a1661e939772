//! The client's side: a method's parameters with the type of its result.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::connection::{
    Budget, Connected, Connections, CreateConnection, GetBudget, ListConnections, RevokeConnection,
};
use super::error::WalletError;
use super::hold::{CancelHoldInvoice, Done, MakeHoldInvoice, SettleHoldInvoice};
use super::method::Method;
use super::params::{
    AddPubkey, ChooseName, GetBalance, GetInfo, ListTransactions, LookupInvoice, MakeInvoice, MakeInvoiceFor,
    PayInvoice,
};
use super::response::{Balance, Info, Named, Paid, Registered, Transactions};
use super::transaction::Transaction;

/// A method that a client can call: `PayInvoice::of(invoice).request_json()`, then, when the reply is
/// there, `PayInvoice::parse_reply(&text)`.
pub trait Call: Serialize {
    /// The method.
    const METHOD: Method;
    /// Its result.
    type Reply: DeserializeOwned;

    /// The text to encrypt and send.
    #[must_use]
    fn request_json(&self) -> String {
        to_json(&RequestText { method: Self::METHOD, params: self })
    }

    /// Reads the decrypted content of the reply.
    ///
    /// # Errors
    /// [`CallError::Wallet`] if the wallet refused, the others if the reply makes no sense.
    fn parse_reply(text: &str) -> Result<Self::Reply, CallError> {
        let reply: ReplyText = serde_json::from_str(text).map_err(CallError::Json)?;
        match (reply.error, reply.result) {
            (Some(error), None) => Err(CallError::Wallet(error)),
            (None, Some(result)) if reply.result_type == Self::METHOD.as_str() => {
                serde_json::from_value(result).map_err(CallError::Result)
            }
            (None, Some(_)) => {
                Err(CallError::OtherMethod { asked: Self::METHOD, answered: reply.result_type })
            }
            (Some(_), Some(_)) | (None, None) => Err(CallError::Ambiguous),
        }
    }
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The wallet refused.
    #[error("the wallet refused")]
    Wallet(#[source] WalletError),
    /// The reply is not the JSON of a reply.
    #[error("the wallet's reply is malformed")]
    Json(#[source] serde_json::Error),
    /// The result is not of the kind that was asked for.
    #[error("the wallet's result is malformed")]
    Result(#[source] serde_json::Error),
    /// The reply answers another method.
    #[error("asked for {asked}, the wallet answered {answered:?}")]
    OtherMethod {
        /// What was called.
        asked: Method,
        /// What was answered.
        answered: String,
    },
    /// The reply has both a result and an error, or neither.
    #[error("the wallet's reply has both a result and an error, or neither")]
    Ambiguous,
}

#[derive(Serialize)]
struct RequestText<'a, P: ?Sized> {
    method: Method,
    params: &'a P,
}

#[derive(Deserialize)]
struct ReplyText {
    #[serde(default)]
    result_type: String,
    #[serde(default)]
    error: Option<WalletError>,
    #[serde(default)]
    result: Option<Value>,
}

/// JSON of our own types, whose map keys are all texts; serialising them cannot fail.
pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Ties parameters to method and result.
macro_rules! calls {
    ($($params:ident => $reply:ident),* $(,)?) => {
        $(impl Call for $params {
            const METHOD: Method = Method::$params;
            type Reply = $reply;
        })*
    };
}

calls! {
    GetInfo => Info,
    GetBalance => Balance,
    MakeInvoice => Transaction,
    LookupInvoice => Transaction,
    ListTransactions => Transactions,
    PayInvoice => Paid,
    MakeInvoiceFor => Transaction,
    AddPubkey => Registered,
    MakeHoldInvoice => Transaction,
    SettleHoldInvoice => Done,
    CancelHoldInvoice => Done,
    GetBudget => Budget,
    CreateConnection => Connected,
    ListConnections => Connections,
    RevokeConnection => Done,
    ChooseName => Named,
}

//! NIP-47 (Nostr Wallet Connect): requests, replies, notifications and the connection string.
//!
//! ```text
//!  client                                             wallet service
//!  Call::request_json()  ── kind 23194, encrypted ──►  Request::from_json()
//!  Call::parse_reply()   ◄── kind 23195, encrypted ──  Response::to_json()
//!  Notification          ◄── kind 23197 / 23196 ─────  Notification::to_json()
//! ```
//!
//! The types are our own, because the ones of the `nostr` crate are closed: they know neither the
//! reference's `make_invoice_for` and `add_pubkey` nor `metadata`, and an unknown method is a parse error
//! that cannot be answered. Requests come from strangers and are parsed strictly: amounts are integers
//! of millisatoshi (no fractions, strings, signs or duplicates), and every refusal names the field and
//! what it must be. Replies come from whatever wallet a user chose and are parsed leniently where real
//! wallets differ (absent or empty optional fields), never in amounts or hashes.
//!
//! Transport (events, encryption, tags) is not here.

mod bytes;
mod call;
mod connection;
mod error;
mod fields;
mod hold;
mod method;
mod notification;
mod params;
mod request;
mod response;
mod transaction;
mod uri;

pub use bytes::{DescriptionHash, NotHex32, PaymentHash, Preimage};
pub use call::{Call, CallError};
pub use connection::{
    Budget, BudgetRenewal, Connected, ConnectionItem, Connections, CreateConnection, GetBudget,
    ListConnections, RevokeConnection,
};
pub use error::{ErrorCode, WalletError};
pub use hold::{CLTV_DELTA_MAX, CancelHoldInvoice, Done, MakeHoldInvoice, SettleHoldInvoice};
pub use method::Method;
pub use notification::{MalformedNotification, Notification};
pub use params::{
    AddPubkey, ChooseName, GetBalance, GetInfo, ListTransactions, LookupInvoice, MakeInvoice, MakeInvoiceFor,
    PayInvoice,
};
pub use request::{RefusedRequest, Request};
pub use response::{Balance, Info, Named, Paid, Registered, Response, ResultBody, Transactions};
pub use transaction::{METADATA_BYTES_MAX, Metadata, Transaction, TransactionState, TransactionType};
pub use uri::{ConnectionUri, ConnectionUriError};

/// The longest request that is parsed, in bytes: what NIP-44 can carry.
pub const REQUEST_BYTES_MAX: usize = 65_535;
/// The longest BOLT11 invoice, in characters: what Lightning implementations agree to read.
pub const INVOICE_CHARS_MAX: usize = 7_089;
/// The longest description of an invoice, in bytes: what fits into a field of BOLT11.
pub const DESCRIPTION_BYTES_MAX: usize = 639;
/// The longest zap request, in bytes: ten times a usual one.
pub const ZAP_REQUEST_BYTES_MAX: usize = 8_192;
/// The longest name of a Lightning address that is read, in bytes; wallets may allow less.
pub const NAME_BYTES_MAX: usize = 64;
/// The most transactions in one reply (NIP-47: larger pages may not fit into an event).
pub const LIST_LIMIT_MAX: u32 = 20;

#[cfg(test)]
mod tests;

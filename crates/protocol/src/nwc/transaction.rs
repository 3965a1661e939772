//! The transaction object of replies and notifications.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use units::{Msat, UnixSecs};

use super::bytes::{DescriptionHash, PaymentHash, Preimage};

/// The longest metadata, in bytes of JSON; what is longer is dropped. NIP-47 allows 4096 characters, which may
/// be four times as many bytes; a small disk is counted in bytes.
pub const METADATA_BYTES_MAX: usize = 4_096;

/// Whether money comes in or goes out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransactionType {
    /// An invoice of this wallet.
    Incoming,
    /// A payment of this wallet.
    Outgoing,
}

/// How far a transaction is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransactionState {
    /// An invoice that can be paid, or a payment in flight.
    Pending,
    /// Paid.
    Settled,
    /// A hold invoice with money locked in.
    Accepted,
    /// An invoice that can no longer be paid.
    Expired,
    /// A payment that failed.
    Failed,
}

/// Whatever a client wants to find again with a transaction: a JSON object of at most
/// [`METADATA_BYTES_MAX`] bytes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// Metadata of this content; none if it is too long.
    #[must_use]
    pub fn new(map: Map<String, Value>) -> Option<Self> {
        let metadata = Self(map);
        (metadata.to_json().len() <= METADATA_BYTES_MAX).then_some(metadata)
    }

    /// The content.
    #[must_use]
    pub const fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The content as compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

/// An invoice or a payment (the result of `make_invoice`, `lookup_invoice`, an item of
/// `list_transactions`, the content of a notification).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Transaction {
    /// The direction.
    #[serde(rename = "type")]
    pub direction: TransactionType,
    /// How far it is. Absent from older wallets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TransactionState>,
    /// The BOLT11 invoice. Always sent by us: Alby's SDK needs it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub invoice: Option<String>,
    /// What the payment is for.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub description: Option<String>,
    /// The hash that the invoice carries instead of a description.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_hex_is_none")]
    pub description_hash: Option<DescriptionHash>,
    /// The proof of payment; only when paid.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_hex_is_none")]
    pub preimage: Option<Preimage>,
    /// The payment hash.
    pub payment_hash: PaymentHash,
    /// The amount without fees.
    #[serde(deserialize_with = "not_negative")]
    pub amount: Msat,
    /// The fees that were paid.
    #[serde(default, deserialize_with = "not_negative_or_null")]
    pub fees_paid: Msat,
    /// When the invoice or payment was made.
    pub created_at: UnixSecs,
    /// Until when the invoice can be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixSecs>,
    /// When it was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<UnixSecs>,
    /// The height of the chain by which a hold invoice must be settled, while money from outside is
    /// locked in for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle_deadline: Option<u32>,
    /// The client's own data.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object_or_none")]
    pub metadata: Option<Metadata>,
}

/// An amount of a reply: an integer, not negative.
pub(super) fn not_negative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Msat, D::Error> {
    let msat = Msat::deserialize(deserializer)?;
    if msat.is_negative() { Err(serde::de::Error::custom("an amount is negative")) } else { Ok(msat) }
}

/// The same for a field that some wallets leave out or send as null.
pub(super) fn not_negative_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Msat, D::Error> {
    let msat = Option::<Msat>::deserialize(deserializer)?.unwrap_or_default();
    if msat.is_negative() { Err(serde::de::Error::custom("an amount is negative")) } else { Ok(msat) }
}

/// Some wallets write an absent text as an empty one.
pub(super) fn empty_is_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

fn empty_hex_is_none<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = empty_is_none(deserializer)?;
    text.map(|text| text.parse()).transpose().map_err(serde::de::Error::custom)
}

/// Metadata that is too long or no object is dropped, not an error: it is only a note.
fn object_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Metadata>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(if let Value::Object(map) = value { Metadata::new(map) } else { None })
}

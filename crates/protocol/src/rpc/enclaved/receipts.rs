//! Asking for receipts.

use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::event::CheckedEvent;
use crate::statement::StatementProof;

/// Parameters of `receipts`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptParams {
    /// The container's key.
    pub pubkey: PublicKey,
    /// Number of the first receipt that is wanted.
    #[serde(default)]
    pub from: u64,
}

/// Answer to `receipts`; also what a file of receipts holds.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptPage {
    /// Receipts, kind 23799, in their order.
    #[schema(value_type = Vec<Object>)]
    pub receipts: Vec<CheckedEvent>,
    /// Number of the first that did not fit; none if this is the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// The statement of how many there are and which is the last; with the end only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub evidence: Option<StatementProof>,
}

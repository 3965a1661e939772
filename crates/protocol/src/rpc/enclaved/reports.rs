//! What the methods answer.

use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};
use units::{ComputeUnits, Msat, UnixSecs};
use utoipa::ToSchema;

use super::observe::Offer;
use crate::manifest::{LaunchManifest, Salt};

/// A Lightning invoice, in the reference's shape.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Invoice {
    /// Always `incoming`.
    #[serde(rename = "type")]
    pub direction: String,
    /// BOLT11.
    pub invoice: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Hex.
    pub payment_hash: String,
    /// In millisatoshi.
    #[schema(value_type = i64)]
    pub amount: Msat,
    /// When it was made.
    #[schema(value_type = u64)]
    pub created_at: UnixSecs,
    /// When it expires.
    #[schema(value_type = u64)]
    pub expires_at: UnixSecs,
}

/// Answer to `quote`. Nothing is reserved.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Quote {
    /// `registry/repository@sha256:…`: launch this to get what was quoted.
    pub image: String,
    /// Compressed size of the image's layers.
    pub image_bytes: u64,
    /// Units asked for.
    #[schema(value_type = u32)]
    pub units: ComputeUnits,
    /// Units free now.
    pub units_free: u32,
    /// Price of the container for an hour.
    #[schema(value_type = i64)]
    pub price_msat_per_hour: Msat,
    /// What is paid in advance, each time.
    #[schema(value_type = i64)]
    pub price_msat_per_period: Msat,
    /// Length of a period, in seconds.
    pub period_secs: u32,
}

/// Answer to `launch`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct LaunchReply {
    /// The container's key.
    #[schema(value_type = String)]
    pub pubkey: PublicKey,
    /// Pays for the first period, and with it the launch.
    pub invoice: Invoice,
    /// `registry/repository@sha256:…`.
    pub image: String,
    /// What was agreed.
    pub manifest: LaunchManifest,
    /// The hash of the manifest's canonical form, hex.
    pub manifest_sha256: String,
    /// Key of the environment's HMACs.
    #[schema(value_type = String)]
    pub salt: Salt,
    /// Price of the container for an hour.
    #[schema(value_type = i64)]
    pub price_msat_per_hour: Msat,
    /// Always `waiting`.
    pub state: String,
}

/// Where a published port is reached.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Endpoint {
    /// Port inside the container.
    pub container_port: u16,
    /// Address of the server.
    pub host: String,
    /// Port at that address.
    pub port: u16,
}

/// Answer to `info`: what anybody may know.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ContainerInfo {
    /// The container's key.
    #[schema(value_type = String)]
    pub pubkey: PublicKey,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `waiting`, `launching`, `deployed`, `paused`, `expired`, `failed` or `terminated`.
    pub state: String,
    /// `registry/repository@sha256:…`.
    pub image: String,
    /// The hash of the launch manifest, hex.
    pub manifest_sha256: String,
    /// Compute units.
    #[schema(value_type = u32)]
    pub units: ComputeUnits,
    /// Price of the container for an hour.
    #[schema(value_type = i64)]
    pub price_msat_per_hour: Msat,
    /// Where its ports are reached.
    pub endpoints: Vec<Endpoint>,
    /// The key that the app certified, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub app_pubkey: Option<PublicKey>,
    /// When it was launched.
    #[schema(value_type = u64)]
    pub created_at: UnixSecs,
}

/// Answer to `status`, `pause`, `resume` and `terminate`: what the owner may know besides.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ContainerStatus {
    /// The public facts.
    #[serde(flatten)]
    pub info: ContainerInfo,
    /// What it has to pay with, if the wallet said so lately.
    #[schema(value_type = i64)]
    pub balance_msat: Msat,
    /// Up to when it has paid; absent before the first charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub paid_until: Option<UnixSecs>,
    /// The owner asked for the pause.
    pub owner_paused: bool,
    /// When an unpaid container's data is wiped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub data_kept_until: Option<UnixSecs>,
    /// How often its process ended by itself since it last ran well.
    pub exits: u32,
    /// Why it is in this state, if something went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<StateReason>,
    /// What was agreed.
    pub manifest: LaunchManifest,
    /// Key of the environment's HMACs in the manifest.
    #[schema(value_type = String)]
    pub salt: Salt,
    /// It is offered to another key, which has not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    /// The launch invoice, while it waits for payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<Invoice>,
    /// The limits that this server's kernel does not enforce, by name.
    pub limits_not_enforced: Vec<String>,
}

/// Why a container is in its state.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct StateReason {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

/// Parameters of `list`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// Only those behind this container of the caller's: what the answer before had as `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<PublicKey>,
}

/// Answer to `list`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct ContainerList {
    /// The caller's containers, newest first.
    pub containers: Vec<ContainerSummary>,
    /// There are more: ask for what comes `after` this one. Absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next: Option<PublicKey>,
}

/// A row of `list`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ContainerSummary {
    /// The public facts.
    #[serde(flatten)]
    pub info: ContainerInfo,
    /// What it has to pay with.
    #[schema(value_type = i64)]
    pub balance_msat: Msat,
    /// Up to when it has paid; absent before the first charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub paid_until: Option<UnixSecs>,
}

/// Answer to `topup`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct TopupReply {
    /// Pays into the container's balance.
    pub invoice: Invoice,
}

/// Answer to `withdraw`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Withdrawal {
    /// Proof of payment, hex.
    pub preimage: String,
    /// What was paid.
    #[schema(value_type = i64)]
    pub amount_msat: Msat,
    /// What the payment cost besides.
    #[schema(value_type = i64)]
    pub fees_msat: Msat,
    /// What is left.
    #[schema(value_type = i64)]
    pub balance_msat: Msat,
}

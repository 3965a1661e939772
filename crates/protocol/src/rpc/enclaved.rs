//! Methods of the enclaved RPC, kind 29425: the parameters and the results.
//!
//! | method | who may | what |
//! |---|---|---|
//! | `ping` | anybody | `"pong"` |
//! | `quote` | anybody | resolves the image and says what a launch would cost |
//! | `launch` | anybody, who becomes the owner | reserves units and returns an invoice |
//! | `info` | anybody | the public facts of a container |
//! | `topup` | anybody | an invoice that pays into a container's balance |
//! | `status`, `list` | owner | everything about its containers |
//! | `pause`, `resume`, `terminate` | owner | |
//! | `withdraw` | owner | pays an invoice from a container's balance |
//! | `logs`, `stats`, `events` | owner | what its process wrote, what it uses, what happened to it |
//! | `exec` | owner, if the launch says so | runs a command in it |
//! | `transfer`, `cancel_transfer` | owner | offers it to another key, takes the offer back |
//! | `accept_transfer` | the key that it is offered to | becomes the owner |
//! | `upgrade` | owner, if the policy is `owner` | changes the image |
//! | `pin`, `unpin` | owner | holds the image, lets it go |
//! | `upgrades` | owner | what was done about upgrades, and why |
//! | `price` | anybody | what a unit is, costs, and how many are free |

mod env;
mod launch;
mod observe;
mod receipts;
mod reports;
mod upgrade;

pub use env::SetEnvParams;
pub(crate) use launch::check_env_name;
pub use launch::{LaunchParams, ParamError, parse_params};
pub use observe::{
    EXEC_BYTES_MAX, EXEC_SECS_MAX, EXEC_WORDS_MAX, ExecParams, ExecReply, HISTORY_MAX, History, HistoryEvent,
    HistoryParams, LOG_LINES_MAX, LogLine, LogStream, Logs, LogsParams, Offer, Stats, Terms, TransferParams,
};
pub use receipts::{ReceiptPage, ReceiptParams};
pub use reports::{
    ContainerInfo, ContainerList, ContainerStatus, ContainerSummary, Endpoint, Invoice, LaunchReply,
    ListParams, Quote, StateReason, TopupReply, Withdrawal,
};

pub use upgrade::{UPGRADES_MAX, UpgradeOutcome, UpgradeParams, UpgradeRecord, Upgrades};

use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};
use units::Msat;
use utoipa::ToSchema;

/// Parameters that name one container.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerParams {
    /// The container's key.
    pub pubkey: PublicKey,
}

/// Parameters of `topup`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopupParams {
    /// The container's key.
    #[schema(value_type = String)]
    pub pubkey: PublicKey,
    /// How much to put on its balance.
    #[schema(value_type = i64)]
    pub amount_msat: Msat,
}

/// Parameters of `withdraw`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawParams {
    /// The container's key.
    #[schema(value_type = String)]
    pub pubkey: PublicKey,
    /// The BOLT11 invoice to pay; its amount must be given in it.
    pub invoice: String,
}

/// Parameters of `list` and `ping`: none.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

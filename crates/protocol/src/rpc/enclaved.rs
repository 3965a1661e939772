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

mod launch;
mod reports;

pub use launch::{LaunchParams, ParamError, parse_params};
pub use reports::{
    ContainerInfo, ContainerList, ContainerStatus, ContainerSummary, Endpoint, Invoice, LaunchReply, Quote,
    StateReason, TopupReply, Withdrawal,
};

use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};
use units::Msat;

/// Parameters that name one container.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerParams {
    /// The container's key.
    pub pubkey: PublicKey,
}

/// Parameters of `topup`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TopupParams {
    /// The container's key.
    pub pubkey: PublicKey,
    /// How much to put on its balance.
    pub amount_msat: Msat,
}

/// Parameters of `withdraw`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawParams {
    /// The container's key.
    pub pubkey: PublicKey,
    /// The BOLT11 invoice to pay; its amount must be given in it.
    pub invoice: String,
}

/// Parameters of `list` and `ping`: none.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

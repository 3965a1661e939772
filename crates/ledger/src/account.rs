//! Accounts: who or what a posting belongs to.

use std::fmt;
use std::str::FromStr;

/// An account of the books. Its text form ([`fmt::Display`], [`FromStr`]) is stable: it is the account's
/// name in the database and in every export.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Account {
    /// What the house owes to the holder of a Nostr key (32 bytes, x-only).
    User([u8; 32]),
    /// Money of users that is set aside for payments in flight.
    Hold,
    /// What a development set-up gave away; the only account that money comes from without a payment.
    Faucet,
    /// What users paid for the service.
    ServiceFee,
    /// What the Lightning node's channels hold for the house (negative: the node owes it).
    NodeLightning,
    /// What the Lightning node's on-chain wallet holds for the house (negative: the node owes it).
    NodeOnchain,
    /// Routing fees that the house bore itself.
    RoutingFee,
    /// What the house paid for channels and inbound capacity.
    LiquidityCost,
    /// Differences that an operator has to clear up.
    Suspense,
}

/// What kind of account it is. Only a liability has a floor.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Class {
    /// Owed to somebody: never below zero.
    Liability,
    /// Held for the house by the node, or due to it.
    Asset,
    /// Earned.
    Income,
    /// Spent.
    Expense,
    /// Put in from outside.
    Equity,
}

/// A text that names no account.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no such account: {0:?}")]
pub struct AccountKeyError(String);

impl Account {
    /// The account's class.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::User(_) | Self::Hold => Class::Liability,
            Self::NodeLightning | Self::NodeOnchain | Self::Suspense => Class::Asset,
            Self::ServiceFee => Class::Income,
            Self::RoutingFee | Self::LiquidityCost => Class::Expense,
            Self::Faucet => Class::Equity,
        }
    }
}

impl Class {
    /// The class as it stands in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Liability => "liability",
            Self::Asset => "asset",
            Self::Income => "income",
            Self::Expense => "expense",
            Self::Equity => "equity",
        }
    }
}

const USER_PREFIX: &str = "user:";

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(pubkey) => {
                let mut text = [0; 64];
                hex::encode_to_slice(pubkey, &mut text).map_err(|_| fmt::Error)?;
                f.write_str(USER_PREFIX)?;
                f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
            Self::Hold => f.write_str("hold"),
            Self::Faucet => f.write_str("faucet"),
            Self::ServiceFee => f.write_str("service-fee"),
            Self::NodeLightning => f.write_str("node-lightning"),
            Self::NodeOnchain => f.write_str("node-onchain"),
            Self::RoutingFee => f.write_str("routing-fee"),
            Self::LiquidityCost => f.write_str("liquidity-cost"),
            Self::Suspense => f.write_str("suspense"),
        }
    }
}

impl FromStr for Account {
    type Err = AccountKeyError;

    fn from_str(key: &str) -> Result<Self, Self::Err> {
        let unknown = || AccountKeyError(key.to_owned());
        if let Some(pubkey) = key.strip_prefix(USER_PREFIX) {
            let mut bytes = [0; 32];
            hex::decode_to_slice(pubkey, &mut bytes).map_err(|_| unknown())?;
            let account = Self::User(bytes);
            // One account has one name: hex in capitals is another text, so it is none.
            return if account.to_string() == key { Ok(account) } else { Err(unknown()) };
        }
        [
            Self::Hold,
            Self::Faucet,
            Self::ServiceFee,
            Self::NodeLightning,
            Self::NodeOnchain,
            Self::RoutingFee,
            Self::LiquidityCost,
            Self::Suspense,
        ]
        .into_iter()
        .find(|account| account.to_string() == key)
        .ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests;

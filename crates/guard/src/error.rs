//! Why a host was refused.

use std::net::IpAddr;

/// An address that is not public.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the address {address} is not public ({range})")]
pub struct AddressRefused {
    /// The address as it was given.
    pub address: IpAddr,
    /// What the address belongs to, in words.
    pub range: &'static str,
}

/// A host that may not, or cannot, be connected to.
///
/// The sentences are safe to show to whoever named the host: they repeat its name and say what kind
/// of address it has, never which one, because that could be an answer from a private name server.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The host has an address that is not public.
    #[error("`{host}` is at an address that is not public ({}): name a host on the public internet", .source.range)]
    Refused {
        /// The host as it was named.
        host: String,
        /// Which address, and why.
        source: AddressRefused,
    },
    /// The host is a number in a spelling that programs read in different ways (`127.1`, `0x7f.1`,
    /// `2130706433`).
    #[error("`{host}` looks like an address: write it as four decimal numbers or as plain IPv6")]
    OddAddress {
        /// The host as it was named.
        host: String,
    },
    /// The host is neither an address nor a DNS name.
    #[error("`{host}` is not a host name: use letters, digits, hyphens and dots")]
    NotAName {
        /// The host as it was named, cut to a safe length.
        host: String,
    },
    /// The name has no address, or no name server answered.
    #[error("the name `{host}` could not be resolved: check its spelling, or try again later")]
    NotResolved {
        /// The host as it was named.
        host: String,
        /// What the resolver said.
        source: std::io::Error,
    },
    /// The resolver took too long.
    #[error("the name `{host}` was not resolved in time: try again later")]
    TimedOut {
        /// The host as it was named.
        host: String,
    },
}

impl GuardError {
    /// The stable code for replies: `address_refused` or `name_not_resolved`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } | Self::OddAddress { .. } => "address_refused",
            Self::NotAName { .. } | Self::NotResolved { .. } | Self::TimedOut { .. } => "name_not_resolved",
        }
    }
}

//! Bitcoin networks.

use std::fmt;
use std::str::FromStr;

use lightning_invoice::Currency;

/// The network that a wallet works on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Network {
    /// Real money (`lnbc…`).
    Mainnet,
    /// The public test network (`lntb…`).
    Testnet,
    /// The signed test network (`lntbs…`).
    Signet,
    /// A private test network (`lnbcrt…`).
    Regtest,
}

/// A name that is no network.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be one of mainnet, testnet, signet, regtest")]
pub struct UnknownNetwork;

impl Network {
    const ALL: [Self; 4] = [Self::Mainnet, Self::Testnet, Self::Signet, Self::Regtest];

    /// The name as NIP-47 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Testnet => "testnet",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        }
    }

    pub(crate) const fn currency(self) -> Currency {
        match self {
            Self::Mainnet => Currency::Bitcoin,
            Self::Testnet => Currency::BitcoinTestnet,
            Self::Signet => Currency::Signet,
            Self::Regtest => Currency::Regtest,
        }
    }

    /// The network of an invoice's prefix; none for one that nobody uses any more.
    pub(crate) fn of(currency: &Currency) -> Option<Self> {
        Self::ALL.into_iter().find(|network| network.currency() == *currency)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Network {
    type Err = UnknownNetwork;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|network| network.as_str() == name).ok_or(UnknownNetwork)
    }
}

//! Settings of Lightning addresses and zap receipts.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::env::Variables;
use super::{ConfigError, Network};
use crate::site::Site;

/// Most exceptions of the address guard.
const ADDRESSES_MAX: usize = 16;

/// Where Lightning addresses are served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LnurlConfig {
    /// `NWC_LNURL_LISTEN`: where the HTTP server listens.
    pub listen: SocketAddr,
    /// `NWC_LNURL_URL`: how the outside reaches it.
    pub site: Site,
}

/// Why production refuses these settings.
const DEVELOPMENT_ONLY: &str = "is for development and needs NWC_NETWORK=regtest: \
     Lightning addresses wait for TLS that ends inside the enclave";
const EXCEPTIONS_DEVELOPMENT_ONLY: &str = "is for development and needs NWC_NETWORK=regtest: \
     strangers name these relays, and may name none of a private network";

pub(super) fn parse(variables: &mut Variables, network: Network) -> Result<Option<LnurlConfig>, ConfigError> {
    let listen = variables.optional("NWC_LNURL_LISTEN", |text| {
        text.parse::<SocketAddr>().map_err(|_| "must be an address with a port, such as 0.0.0.0:8080")
    })?;
    let site = variables.optional("NWC_LNURL_URL", str::parse::<Site>)?;
    let config = match (listen, site) {
        (Some(listen), Some(site)) => LnurlConfig { listen, site },
        (None, None) => return Ok(None),
        (Some(_), None) => {
            return Err(ConfigError::new("NWC_LNURL_URL", "is missing beside NWC_LNURL_LISTEN"));
        }
        (None, Some(_)) => {
            return Err(ConfigError::new("NWC_LNURL_LISTEN", "is missing beside NWC_LNURL_URL"));
        }
    };
    if network == Network::Regtest {
        Ok(Some(config))
    } else {
        Err(ConfigError::new("NWC_LNURL_LISTEN", DEVELOPMENT_ONLY))
    }
}

/// `NWC_RELAY_ADDRESSES`: networks that relays of zap requests may be in besides the public internet.
pub(super) fn parse_exceptions(
    variables: &mut Variables,
    network: Network,
) -> Result<Vec<IpNet>, ConfigError> {
    let nets = variables.optional("NWC_RELAY_ADDRESSES", |text| {
        let nets: Option<Vec<IpNet>> = text.split(',').map(|net| net.trim().parse().ok()).collect();
        nets.filter(|nets| nets.len() <= ADDRESSES_MAX).ok_or_else(|| {
            format!("must be 1 to {ADDRESSES_MAX} networks such as 127.0.0.0/8, separated by commas")
        })
    })?;
    if nets.is_some() && network != Network::Regtest {
        return Err(ConfigError::new("NWC_RELAY_ADDRESSES", EXCEPTIONS_DEVELOPMENT_ONLY));
    }
    Ok(nets.unwrap_or_default())
}

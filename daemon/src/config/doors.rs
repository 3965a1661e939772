//! How people come in besides by RPC: direct messages and HTTP.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use service::ConfigError;

/// The HTTP API. Without it there is none.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What clients' addresses begin with, as they sign them (NIP-98): `https://host[:port]`. Without it
    /// `http://`, this server's address and the port of `listen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Addresses that speak for many clients, as what ends TLS before us does: limits for each address do
    /// not hold for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<IpAddr>,
}

impl Http {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Some(url) = &self.url else { return Ok(()) };
        let parsed = url::Url::parse(url).ok();
        let plain = parsed.is_some_and(|parsed| {
            matches!(parsed.scheme(), "http" | "https")
                && parsed.has_host()
                && parsed.query().is_none()
                && parsed.fragment().is_none()
                && parsed.username().is_empty()
        });
        if !plain || url.ends_with('/') {
            return Err(ConfigError::field(
                "http.url",
                "must be http:// or https://, a host, and no / at its end",
            ));
        }
        Ok(())
    }

    /// What is asked and answered here is in clear: environments, output, logs, the salt. Where that matters,
    /// something in the enclave must end TLS before it, and nothing else may reach it.
    pub(super) fn check_private(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() {
            let problem = "must be a loopback address when trust_root is aws: whoever forwards the connection \
                           would read environments and output; let TLS end in front of it, in the enclave";
            return Err(ConfigError::field("http.listen", problem));
        }
        if !self.url.as_ref().is_some_and(|url| url.starts_with("https://")) {
            let problem = "must be given, and begin with https://, when trust_root is aws";
            return Err(ConfigError::field("http.url", problem));
        }
        Ok(())
    }
}

/// Direct messages and public mentions.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Messages {
    /// Answer them at all.
    pub enabled: bool,
    /// Quotes and launches that a key gets in a day, whichever way it asks, without having paid and without
    /// proof of work.
    pub free_quotes_per_key: u32,
    /// The same for all such keys together, in an hour: keys cost nothing.
    pub free_quotes_per_hour: u32,
    /// Leading zero bits (NIP-13) of a message or request with which it is asked about no quota.
    pub work_bits: u8,
}

impl Default for Messages {
    fn default() -> Self {
        Self { enabled: true, free_quotes_per_key: 10, free_quotes_per_hour: 300, work_bits: 20 }
    }
}

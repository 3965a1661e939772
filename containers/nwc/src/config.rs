//! Configuration: the environment, read and checked whole before anything else happens.

mod env;
mod limits;
mod lnurl;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use nostr::key::PublicKey;
use nostr::types::url::RelayUrl;
use protocol::guest::{ENDPOINT_VARIABLE, INTERNAL_RELAY_VARIABLE, TOKEN_VARIABLE};
use tracing_subscriber::EnvFilter;
use units::Msat;
use zeroize::Zeroizing;

use crate::lightning::Network;
use crate::service::Fees;
use env::Variables;

pub use limits::Limits;
pub use lnurl::LnurlConfig;

/// What is logged if nothing is configured. The migration library reports every start.
const LOG_FILTER: &str = "info,rusqlite_migration=warn";
/// Most relays that the wallet listens on.
const RELAYS_MAX: usize = 16;
/// The largest invoice, whatever is configured: a million bitcoin, below what BOLT11 can say.
const INVOICE_MSAT_LIMIT: i64 = 100_000_000_000_000_000;

/// Everything that can be configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// `NWC_RELAYS`: where requests are read, comma separated.
    pub relays: Vec<RelayUrl>,
    /// `NWC_NETWORK`.
    pub network: Network,
    /// `NWC_BACKEND`.
    pub backend: Backend,
    /// `NWC_DATA_DIR`, `/data` if absent: keys and books.
    pub data_dir: PathBuf,
    /// `NWC_ADMIN_PUBKEY`: if set, only keys that this one admits (`add_pubkey`) can be paid.
    pub admin: Option<PublicKey>,
    /// `NWC_FAUCET_PUBKEY` and `NWC_FAUCET_MSAT`.
    pub faucet: Option<Faucet>,
    /// What the wallet allows.
    pub limits: Limits,
    /// `NWC_FEE_…`: what it costs.
    pub fees: Fees,
    /// `ENCLAVED_ENDPOINT`, `ENCLAVED_TOKEN`, `ENCLAVED_INTERNAL_RELAY`: the server that runs this
    /// wallet as a built-in, which sets them.
    pub host: Option<HostVariables>,
    /// `NWC_LNURL_LISTEN` and `NWC_LNURL_URL`: development only.
    pub lnurl: Option<LnurlConfig>,
    /// `NWC_RELAY_ADDRESSES`: networks that relays of zap requests may be in besides the public internet;
    /// development only.
    pub relay_exceptions: Vec<IpNet>,
    /// `NWC_METRICS`: loopback address for health and metrics.
    pub metrics: Option<SocketAddr>,
    /// `LOG_FORMAT`: `text` (if absent) or `json`.
    pub log_json: bool,
    /// `RUST_LOG`: what is logged; `info` if absent.
    pub log_filter: String,
}

/// How the server around us is reached. The token does not print.
#[derive(Clone, Eq, PartialEq)]
pub struct HostVariables {
    /// Address of its guest API.
    pub endpoint: String,
    /// What admits us there.
    pub token: Zeroizing<String>,
    /// Address of its internal relay.
    pub internal_relay: RelayUrl,
}

impl fmt::Debug for HostVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostVariables").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The Lightning backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Backend {
    /// Settles only between the wallet's own accounts.
    Internal,
}

/// An account of a development set-up that starts with money from nowhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Faucet {
    /// Whose wallet it is.
    pub pubkey: PublicKey,
    /// What is put into it, once.
    pub amount: Msat,
}

/// What is wrong with the configuration. Names the variable.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct ConfigError {
    /// The variable.
    pub variable: String,
    /// What is wrong with it and what it must be.
    pub problem: String,
}

impl Config {
    /// Reads and checks the environment of this process.
    ///
    /// # Errors
    /// [`ConfigError`], for the first variable that is wrong.
    pub fn from_process() -> Result<Self, ConfigError> {
        Self::from_variables(std::env::vars_os())
    }

    /// Reads and checks the given variables.
    ///
    /// # Errors
    /// [`ConfigError`], for the first variable that is wrong.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut variables = Variables::collect(variables)?;
        let relays = parse_relays(&mut variables)?;
        let backend = variables.required("NWC_BACKEND", |text| {
            (text == "internal").then_some(Backend::Internal).ok_or("must be internal")
        })?;
        let network = variables.required("NWC_NETWORK", |text| text.parse::<Network>())?;
        let lnurl = lnurl::parse(&mut variables, network)?;
        let relay_exceptions = lnurl::parse_exceptions(&mut variables, network)?;
        if backend == Backend::Internal && network != Network::Regtest {
            // Invoices that look payable on a real network but are not would lose other people's money.
            return Err(ConfigError::new("NWC_NETWORK", "must be regtest with NWC_BACKEND=internal"));
        }
        let data_dir = variables.optional("NWC_DATA_DIR", parse_dir)?;
        let admin = variables.optional("NWC_ADMIN_PUBKEY", parse_pubkey)?;
        let faucet = parse_faucet(&mut variables)?;
        let limits = limits::parse(&mut variables)?;
        let fees = limits::parse_fees(&mut variables)?;
        let host = parse_host(&mut variables)?;
        let metrics = variables.optional("NWC_METRICS", |text| match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(address),
            Ok(_) | Err(_) => Err("must be a loopback address with a port, such as 127.0.0.1:9101"),
        })?;
        let log_json = variables.optional("LOG_FORMAT", |text| match text {
            "json" => Ok(true),
            "text" => Ok(false),
            _ => Err("must be text or json"),
        })?;
        let log_filter = variables.optional("RUST_LOG", |text| match EnvFilter::try_new(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err("must be a tracing filter such as info or nwc=debug"),
        })?;
        variables.finish()?;
        Ok(Self {
            relays,
            network,
            backend,
            data_dir: data_dir.unwrap_or_else(|| PathBuf::from("/data")),
            admin,
            faucet,
            limits,
            fees,
            host,
            lnurl,
            relay_exceptions,
            metrics,
            log_json: log_json.unwrap_or(false),
            log_filter: log_filter.unwrap_or_else(|| LOG_FILTER.to_owned()),
        })
    }
}

/// The effective configuration, one variable a line. It holds no secrets: those are in the data
/// directory.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relays: Vec<&str> = self.relays.iter().map(RelayUrl::as_str).collect();
        writeln!(f, "NWC_RELAYS={}", relays.join(","))?;
        writeln!(f, "NWC_NETWORK={}", self.network)?;
        let Backend::Internal = self.backend;
        writeln!(f, "NWC_BACKEND=internal")?;
        writeln!(f, "NWC_DATA_DIR={}", self.data_dir.display())?;
        if let Some(admin) = &self.admin {
            writeln!(f, "NWC_ADMIN_PUBKEY={admin}")?;
        }
        if let Some(faucet) = &self.faucet {
            writeln!(f, "NWC_FAUCET_PUBKEY={}", faucet.pubkey)?;
            writeln!(f, "NWC_FAUCET_MSAT={}", faucet.amount.msat())?;
        }
        limits::write(f, &self.limits, &self.fees)?;
        if let Some(host) = &self.host {
            writeln!(f, "{ENDPOINT_VARIABLE}={}", host.endpoint)?;
            writeln!(f, "{TOKEN_VARIABLE}=***")?;
            writeln!(f, "{INTERNAL_RELAY_VARIABLE}={}", host.internal_relay)?;
        }
        if let Some(lnurl) = &self.lnurl {
            writeln!(f, "NWC_LNURL_LISTEN={}", lnurl.listen)?;
            writeln!(f, "NWC_LNURL_URL={}", lnurl.site)?;
        }
        if !self.relay_exceptions.is_empty() {
            let nets: Vec<String> = self.relay_exceptions.iter().map(IpNet::to_string).collect();
            writeln!(f, "NWC_RELAY_ADDRESSES={}", nets.join(","))?;
        }
        if let Some(metrics) = &self.metrics {
            writeln!(f, "NWC_METRICS={metrics}")?;
        }
        writeln!(f, "LOG_FORMAT={}", if self.log_json { "json" } else { "text" })?;
        writeln!(f, "RUST_LOG={}", self.log_filter)
    }
}

fn parse_relays(variables: &mut Variables) -> Result<Vec<RelayUrl>, ConfigError> {
    variables.required("NWC_RELAYS", |text| {
        let relays: Option<Vec<RelayUrl>> =
            text.split(',').map(|url| RelayUrl::parse(url.trim()).ok()).collect();
        relays
            .filter(|relays| relays.len() <= RELAYS_MAX)
            .ok_or_else(|| format!("must be 1 to {RELAYS_MAX} ws:// or wss:// URLs, separated by commas"))
    })
}

fn parse_dir(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err("must be an absolute path") }
}

fn parse_pubkey(text: &str) -> Result<PublicKey, &'static str> {
    let key = PublicKey::from_hex(text).ok().filter(|key| key.xonly().is_ok());
    key.ok_or("must be a Nostr public key, 64 hex digits")
}

fn parse_msat(text: &str) -> Result<Msat, String> {
    let msat = text.parse().ok().filter(|msat| (1..=INVOICE_MSAT_LIMIT).contains(msat));
    msat.map(Msat::new)
        .ok_or_else(|| format!("must be a whole number of millisatoshi from 1 to {INVOICE_MSAT_LIMIT}"))
}

fn parse_faucet(variables: &mut Variables) -> Result<Option<Faucet>, ConfigError> {
    let pubkey = variables.optional("NWC_FAUCET_PUBKEY", parse_pubkey)?;
    let amount = variables.optional("NWC_FAUCET_MSAT", parse_msat)?;
    match (pubkey, amount) {
        (Some(pubkey), Some(amount)) => Ok(Some(Faucet { pubkey, amount })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::new("NWC_FAUCET_MSAT", "is missing beside NWC_FAUCET_PUBKEY")),
        (None, Some(_)) => Err(ConfigError::new("NWC_FAUCET_PUBKEY", "is missing beside NWC_FAUCET_MSAT")),
    }
}

fn parse_host(variables: &mut Variables) -> Result<Option<HostVariables>, ConfigError> {
    let text = |text: &str| Ok::<_, &str>(text.to_owned());
    let endpoint = variables.optional(ENDPOINT_VARIABLE, text)?;
    let token =
        variables.optional(TOKEN_VARIABLE, |token| Ok::<_, &str>(Zeroizing::new(token.to_owned())))?;
    let internal_relay = variables.optional(INTERNAL_RELAY_VARIABLE, |text| {
        RelayUrl::parse(text).map_err(|_| "must be a ws:// or wss:// URL")
    })?;
    match (endpoint, token, internal_relay) {
        (Some(endpoint), Some(token), Some(internal_relay)) => {
            Ok(Some(HostVariables { endpoint, token, internal_relay }))
        }
        (None, None, None) => Ok(None),
        (endpoint, token, _) => {
            let missing = if endpoint.is_none() {
                ENDPOINT_VARIABLE
            } else if token.is_none() {
                TOKEN_VARIABLE
            } else {
                INTERNAL_RELAY_VARIABLE
            };
            Err(ConfigError::new(missing, "is missing beside the server's other variables"))
        }
    }
}

#[cfg(test)]
mod tests;

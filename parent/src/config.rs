//! The parent's configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use service::{ConfigError, Configuration};
use transport::StreamAddress;

use crate::backup::config::BackupConfig;

/// The parent's configuration, as its file has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where the enclave connects, `vsock:CID:PORT` or `unix:PATH`.
    pub(crate) listen: StreamAddress,
    /// The folder with `build.json`, `instance.json`, `genesis.json` and `release/*.json`.
    pub(crate) instance_dir: PathBuf,
    /// The address at which this host is reached from outside.
    pub(crate) ip: IpAddr,
    /// Relays to announce on.
    #[serde(default)]
    pub(crate) relays: Vec<String>,
    /// Call this a production instance.
    #[serde(default)]
    pub(crate) prod: bool,
    /// Seconds that the enclave gets to end in order.
    #[serde(default = "default_shutdown_secs")]
    pub(crate) shutdown_secs: u64,
    /// Loopback address for health and metrics.
    #[serde(default)]
    pub(crate) metrics: Option<SocketAddr>,
    /// Where backups go; without it, the state of the enclave ends with it.
    #[serde(default)]
    pub(crate) backup: Option<BackupConfig>,
}

const fn default_shutdown_secs() -> u64 {
    60
}

impl Configuration for Config {
    fn check(&self) -> Result<(), ConfigError> {
        if !self.instance_dir.is_dir() {
            let problem = format!("{} is not a folder; create it", self.instance_dir.display());
            return Err(ConfigError::field("instance_dir", problem));
        }
        self.backup.as_ref().map_or(Ok(()), BackupConfig::check)
    }
}

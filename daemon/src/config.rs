//! `enclaved.json`: the measured configuration. Read and checked whole before anything is opened.

mod builtin;
mod development;
mod doors;
mod guest;
mod sealing;
mod upgrade;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use lifecycle::Policy;
use relay::rpc::RateLimit;
use serde::{Deserialize, Serialize};
use service::{ConfigError, Configuration, check_relays};
use transport::StreamAddress;
use units::{Price, UnitSize};

pub use builtin::Builtin;
pub use development::Development;
pub use doors::{Http, Messages};
pub use guest::Guest;
pub use sealing::{Backup, Founders, Keycrux, Release};
pub use upgrade::UpgradeRules;

/// The configuration of a server. What is left out has the default that its field names.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The repository of this server's code, as its announcement and releases name it.
    pub repo: String,
    /// The server's name.
    #[serde(default = "defaults::name")]
    pub name: String,
    /// Relays on which it takes requests, and announces itself unless the parent names others.
    pub relays: Vec<String>,
    /// Where its state lies.
    pub state_dir: PathBuf,
    /// The NSM: the device, or a simulator's socket.
    #[serde(default = "defaults::nsm")]
    pub nsm: PathBuf,
    /// Whose signature ends every attestation: `aws`, or a DER file for development.
    #[serde(default = "defaults::trust_root")]
    pub trust_root: String,
    /// Where the parent listens.
    pub parent: StreamAddress,
    /// The Docker engine's socket.
    #[serde(default = "defaults::docker_socket")]
    pub docker_socket: PathBuf,
    /// Loopback address for health and metrics.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// What the server has to give.
    #[serde(default)]
    pub capacity: Capacity,
    /// What it asks for it.
    #[serde(default)]
    pub price: Price,
    /// How containers live.
    #[serde(default)]
    pub life: Life,
    /// What a launch may do.
    #[serde(default)]
    pub launch: LaunchRules,
    /// How containers are connected.
    #[serde(default)]
    pub network: Network,
    /// What containers may ask.
    #[serde(default)]
    pub guest: Guest,
    /// How images are upgraded.
    #[serde(default)]
    pub upgrade: UpgradeRules,
    /// How often one key may ask.
    #[serde(default)]
    pub rate: RateLimit,
    /// Direct messages and public mentions.
    #[serde(default)]
    pub messages: Messages,
    /// The HTTP API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// Containers that belong to the server.
    #[serde(default)]
    pub builtin: Vec<Builtin>,
    /// Name of the built-in that is the wallet.
    #[serde(default = "defaults::wallet")]
    pub wallet: String,
    /// Which key stores keep the secret that seals the state. Together with `backup`, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keycrux: Option<Keycrux>,
    /// Which builds may have the state after this one; not said, none but this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// Where the sealed state goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// What only a development machine may do. Refused under AWS's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub development: Option<Development>,
}

/// What the server has to give.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capacity {
    /// Units that the machine has, built-ins included.
    pub units: u32,
    /// Units that are sold for each hundred of them. Above 100 some are sold twice: containers that all
    /// work at once then share the CPU, and memory may run short.
    pub overcommit_percent: u32,
    /// What a unit is worth.
    pub unit_size: UnitSize,
}

/// The most that a machine may promise: four times what it has.
const OVERCOMMIT_PERCENT: std::ops::RangeInclusive<u32> = 100..=400;

impl Capacity {
    /// Units that are sold in all.
    #[must_use]
    pub const fn sold_units(&self) -> u32 {
        self.units.saturating_mul(self.overcommit_percent) / 100
    }
}

impl Default for Capacity {
    fn default() -> Self {
        Self { units: 100, overcommit_percent: 100, unit_size: UnitSize::default() }
    }
}

/// How containers live; see [`Policy`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Life {
    /// How long a container may run while the wallet does not answer.
    pub grace_secs: u64,
    /// How long the data of an unpaid container is kept.
    pub retention_secs: u64,
    /// How long to wait before asking again.
    pub retry_secs: u64,
    /// How often an unpaid container's balance is tried without having heard of a payment.
    pub poll_secs: u64,
    /// Longest wait before a container that exits by itself is started again.
    pub restart_secs_max: u64,
}

impl Default for Life {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            grace_secs: policy.grace_secs,
            retention_secs: policy.retention_secs,
            retry_secs: policy.retry_secs,
            poll_secs: policy.poll_secs,
            restart_secs_max: policy.restart_secs_max,
        }
    }
}

/// What a launch may do.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LaunchRules {
    /// Take new containers at all.
    pub open: bool,
    /// How long an invoice reserves its units.
    pub invoice_secs: u32,
    /// Unpaid launches in all. One owner has at most one.
    pub unpaid_max: u32,
    /// How long before an end that the parent announces no new containers are taken, and owners are told;
    /// at most a third of what the parent gives.
    pub drain_secs: u64,
}

impl Default for LaunchRules {
    fn default() -> Self {
        Self { open: true, invoice_secs: 600, unpaid_max: 32, drain_secs: 60 }
    }
}

/// How containers are connected.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Private range that the containers' networks are cut from, eight addresses each.
    pub containers: ipnet::Ipv4Net,
    /// Port of the guest API on each container's gateway.
    pub guest_port: u16,
    /// First and last port at which containers' ports are published.
    pub published_ports: (u16, u16),
    /// Resolvers that containers are given.
    pub dns: Vec<IpAddr>,
}

impl Default for Network {
    fn default() -> Self {
        let containers = ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 231, 0, 0), 16);
        Self {
            containers,
            guest_port: 2_080,
            published_ports: (5_000, 61_439),
            dns: vec![[1, 1, 1, 1].into()],
        }
    }
}

/// The value of `trust_root` that names AWS's own.
pub(crate) const AWS: &str = "aws";

mod defaults {
    use std::path::PathBuf;

    pub(super) fn name() -> String {
        "enclaved".into()
    }

    pub(super) fn nsm() -> PathBuf {
        "/dev/nsm".into()
    }

    pub(super) fn trust_root() -> String {
        super::AWS.into()
    }

    pub(super) fn docker_socket() -> PathBuf {
        "/run/docker.sock".into()
    }

    pub(super) fn wallet() -> String {
        "nwc".into()
    }
}

impl Configuration for Config {
    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |field, problem: &str| Err(ConfigError::field(field, problem));
        if self.relays.is_empty() {
            return refuse("relays", "name at least one relay");
        }
        check_relays("relays", &self.relays)?;
        let wallets = self.builtin.iter().filter(|builtin| builtin.name == self.wallet).count();
        if wallets != 1 {
            return refuse("wallet", "exactly one built-in must have this name");
        }
        // A launch begins with its payment, and no wallet makes an invoice over nothing; and who never paid is
        // a stranger wherever customers go first.
        if self.price.period_secs == 0 || !self.price.unit_hour_msat.is_positive() {
            let wanted = "the period must be at least 1 s, and a unit cost at least 1 msat an hour";
            return refuse("price", wanted);
        }
        if self.life.retry_secs == 0 || self.life.poll_secs == 0 || self.life.restart_secs_max == 0 {
            return refuse("life", "retry_secs, poll_secs and restart_secs_max must be at least 1");
        }
        if self.launch.invoice_secs == 0 {
            return refuse("launch.invoice_secs", "must be at least 1");
        }
        if self.network.containers.prefix_len() > 26 {
            return refuse("network.containers", "give at least 64 addresses: a /26 or larger");
        }
        let (from, to) = self.network.published_ports;
        if from == 0 || from > to || (from..=to).contains(&self.network.guest_port) {
            return refuse("network.published_ports", "must be a range of ports without guest_port");
        }
        if !OVERCOMMIT_PERCENT.contains(&self.capacity.overcommit_percent) {
            return refuse("capacity.overcommit_percent", "must be from 100 to 400");
        }
        if let Some(http) = &self.http {
            http.check()?;
        }
        self.guest.check()?;
        self.upgrade.check()?;
        self.check_builtins()?;
        self.check_sealing()?;
        // The file that a root is read from is looked at when the server starts.
        self.check_root(self.trust_root == AWS)
    }

    /// Values of the built-ins' environment are masked.
    fn masked(&self) -> Self {
        let mut masked = self.clone();
        for builtin in &mut masked.builtin {
            builtin.env.values_mut().for_each(|value| "***".clone_into(value));
        }
        masked
    }
}

impl Config {
    /// Sealed state needs both: who keeps the secret, and where the sealed bytes go.
    fn check_sealing(&self) -> Result<(), ConfigError> {
        match (&self.keycrux, &self.backup) {
            (Some(keycrux), Some(backup)) => {
                keycrux.check(self.trust_root == AWS)?;
                backup.check()?;
                backup.check_room(&self.capacity, &self.builtin)?;
            }
            (Some(_), None) => {
                let problem =
                    "is missing: a key without a backup opens nothing; name the parent's backup port";
                return Err(ConfigError::field("backup", problem));
            }
            (None, Some(_)) => {
                let problem = "is missing: a backup without key stores cannot be opened again";
                return Err(ConfigError::field("keycrux", problem));
            }
            (None, None) if self.release.is_some() => {
                let problem = "means nothing without keycrux and backup: state in clear is anybody's";
                return Err(ConfigError::field("release", problem));
            }
            (None, None) => {}
        }
        self.release.as_ref().map_or(Ok(()), |release| release.check(&self.repo))
    }

    fn check_builtins(&self) -> Result<(), ConfigError> {
        let mut units = 0;
        for (i, builtin) in self.builtin.iter().enumerate() {
            builtin.check()?;
            if self.builtin[..i].iter().any(|other| other.name == builtin.name) {
                return Err(ConfigError::field("builtin.name", format!("{} is there twice", builtin.name)));
            }
            units += builtin.units.get();
        }
        if units > self.capacity.units {
            let problem = format!("the built-ins alone take {units} units");
            return Err(ConfigError::field("capacity.units", problem));
        }
        Ok(())
    }

    /// Under AWS's root people's money is at stake: no state in clear, no exceptions, no money from
    /// nowhere. The field to name is the first of them.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn check_root(&self, is_aws: bool) -> Result<(), ConfigError> {
        let refuse = |field, problem: &str| Err(ConfigError::field(field, problem));
        if !is_aws {
            return Ok(());
        }
        if let Some(keycrux) = &self.keycrux {
            keycrux.check(is_aws)?;
        }
        if let Some(http) = &self.http {
            http.check_private()?;
        }
        if self.development.is_some() {
            return refuse("development", "is refused when trust_root is aws");
        }
        if self.keycrux.is_none() {
            return refuse(
                "trust_root",
                "aws is refused while state lies in clear: name keycrux and backup, or a development root",
            );
        }
        let is_play_money = |(name, value): (&String, &String)| {
            name.starts_with("NWC_FAUCET_") || (name == "NWC_BACKEND" && value == "internal")
        };
        if self.builtin.iter().any(|builtin| builtin.env.iter().any(is_play_money)) {
            return refuse(
                "builtin.env",
                "NWC_FAUCET_* and NWC_BACKEND=internal make money from nowhere: refused when trust_root is aws",
            );
        }
        Ok(())
    }

    /// Where the database and the volumes lie. Sealed state has a folder of its own, which is replaced
    /// as a whole.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        if self.keycrux.is_some() { self.state_dir.join("data") } else { self.state_dir.clone() }
    }

    /// The rules of the containers' lives.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            period_secs: u64::from(self.price.period_secs),
            grace_secs: self.life.grace_secs,
            retention_secs: self.life.retention_secs,
            retry_secs: self.life.retry_secs,
            poll_secs: self.life.poll_secs,
            restart_secs_max: self.life.restart_secs_max,
        }
    }
}

#[cfg(test)]
mod tests;

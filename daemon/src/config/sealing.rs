//! How state survives: which key stores keep the secret that seals it, which builds may have it after
//! us, and where the sealed bytes go.

use std::collections::BTreeSet;
use std::time::Duration;

use nostr::key::PublicKey;
use protocol::nec::{Env, Version};
use protocol::parent::backup::{InstanceId, StoreError};
use protocol::rpc::keycrux::{Policy, Revoked};
use quorum::Size;
use serde::{Deserialize, Serialize};
use service::{ConfigError, check_relays};
use transport::{BackupClient, StreamAddress};

use super::Capacity;

/// Most key stores of a group, as they have it.
const LAUNCHERS_MAX: usize = 15;
/// A lease is renewed at a third of it; below this the way over a relay is too long for that.
const LEASE_SECS_MIN: u64 = 3;
/// Nobody wants to wait longer than this for a successor.
const LEASE_SECS_MAX: u64 = 3_600;

/// The key stores that keep this server's secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Keycrux {
    /// The repository of their code.
    pub repo: String,
    /// What they must be for; not said, anything but debugging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Env>,
    /// Who signs their releases.
    pub maintainers: BTreeSet<PublicKey>,
    /// How many of them must have signed.
    #[serde(default = "defaults::threshold")]
    pub threshold: usize,
    /// The oldest release of theirs that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<String>,
    /// The launchers that have a vote each.
    pub launchers: BTreeSet<PublicKey>,
    /// How many must acknowledge a write: more than half.
    pub writes: usize,
    /// Where they are met; the server's own relays if none are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<String>,
    /// How long an acknowledged renewal lets this server act.
    #[serde(default = "defaults::lease_secs")]
    pub lease_secs: u64,
    /// What a successor waits on top of it: clocks do not run equally fast.
    #[serde(default = "defaults::margin_secs")]
    pub margin_secs: u64,
    /// How long to wait for the key stores at start, and for the launcher's permission.
    #[serde(default = "defaults::wait_secs")]
    pub wait_secs: u64,
    /// How many shares make the secret whole. Not said, every key store has all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<u8>,
}

/// Which builds may have this server's state after it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Who signs releases of this server.
    pub maintainers: BTreeSet<PublicKey>,
    /// How many of them must have signed; not said, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
    /// For how long a release must have been known to the key stores.
    #[serde(default)]
    pub min_delay_secs: u64,
    /// The oldest release that may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<String>,
    /// Releases that may not, by version or by PCR0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<Revoked>,
    /// Who signed when the record was founded, if that has changed since: the record keeps its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub founders: Option<Founders>,
}

/// Who signed releases when a record was founded.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Founders {
    /// The maintainers of then.
    pub maintainers: BTreeSet<PublicKey>,
    /// How many of them had to sign; not said, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
}

/// Where the sealed bytes go.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// The parent's backup port.
    pub address: StreamAddress,
    /// How often a snapshot is made: at most so much is lost.
    #[serde(default = "defaults::interval_secs")]
    pub interval_secs: u64,
    /// The most that a snapshot may have and that is restored, holes included.
    #[serde(default = "defaults::bytes_max")]
    pub bytes_max: u64,
    /// How long the parent may take for one request, whatever of its bytes has come.
    #[serde(default = "defaults::stall_secs")]
    pub stall_secs: u64,
}

mod defaults {
    pub(super) const fn threshold() -> usize {
        1
    }

    pub(super) const fn lease_secs() -> u64 {
        60
    }

    pub(super) const fn margin_secs() -> u64 {
        6
    }

    pub(super) const fn wait_secs() -> u64 {
        600
    }

    pub(super) const fn interval_secs() -> u64 {
        300
    }

    pub(super) const fn bytes_max() -> u64 {
        64 * 1024 * 1024 * 1024
    }

    // A chunk of a MiB at a seventh of a Mbit/s.
    pub(super) const fn stall_secs() -> u64 {
        60
    }
}

fn refuse<T>(field: &'static str, problem: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::field(field, problem))
}

fn version(field: &'static str, text: Option<&str>) -> Result<Option<Version>, ConfigError> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|e: protocol::nec::VersionFormatError| ConfigError::field(field, e.to_string()))
}

impl Keycrux {
    pub(super) fn check(&self, under_aws: bool) -> Result<(), ConfigError> {
        if self.repo.is_empty() {
            return refuse("keycrux.repo", "name the repository of the key stores' code");
        }
        if self.env == Some(Env::Debug) {
            return refuse("keycrux.env", "must be prod or dev: in debug mode the host reads along");
        }
        if self.maintainers.is_empty() {
            return refuse("keycrux.maintainers", "name who signs the key stores' releases");
        }
        if self.threshold == 0 || self.threshold > self.maintainers.len() {
            return refuse("keycrux.threshold", "must be between 1 and the number of maintainers");
        }
        self.version()?;
        if self.launchers.len() > LAUNCHERS_MAX {
            return refuse("keycrux.launchers", "a group has at most 15 launchers");
        }
        let size = self.size()?;
        if size.members() == 1 && under_aws {
            return refuse(
                "keycrux.launchers",
                "one key store alone loses every key when it restarts: name three launchers or more; a group \
                 of one is for development, and refused when trust_root is aws",
            );
        }
        check_relays("keycrux.relays", &self.relays)?;
        if !(LEASE_SECS_MIN..=LEASE_SECS_MAX).contains(&self.lease_secs) {
            let problem = format!("must be from {LEASE_SECS_MIN} to {LEASE_SECS_MAX}");
            return refuse("keycrux.lease_secs", problem);
        }
        if self.margin_secs == 0 || self.margin_secs > self.lease_secs {
            return refuse("keycrux.margin_secs", "must be between 1 and lease_secs");
        }
        if self.wait_secs <= self.lease_secs.saturating_add(self.margin_secs) {
            return refuse("keycrux.wait_secs", "must be more than lease_secs and margin_secs together");
        }
        match self.split {
            Some(shares) if shares < 2 || usize::from(shares) > size.writes() => {
                refuse("keycrux.split", "must be between 2 and keycrux.writes")
            }
            Some(_) | None => Ok(()),
        }
    }

    /// How many key stores there are, and how many must agree.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn size(&self) -> Result<Size, ConfigError> {
        Size::new(self.launchers.len(), self.writes)
            .map_err(|e| ConfigError::field("keycrux.writes", e.to_string()))
    }

    /// The oldest release of theirs that counts.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn version(&self) -> Result<Option<Version>, ConfigError> {
        version("keycrux.min_version", self.min_version.as_deref())
    }

    /// How long an acknowledged renewal lets this server act.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_secs)
    }
}

impl Release {
    pub(super) fn check(&self, repo: &str) -> Result<(), ConfigError> {
        if self.maintainers.is_empty() {
            return refuse("release.maintainers", "name who signs releases, or leave `release` out");
        }
        let check = |field, policy: &Policy| {
            policy.check().map_err(|fault| ConfigError::field(field, fault.to_string()))
        };
        check("release", &self.policy(repo, Env::Prod)?)?;
        match &self.founders {
            Some(founders) if founders.maintainers.is_empty() => {
                refuse("release.founders", "name who signed when the record was founded, or leave it out")
            }
            Some(_) => check("release.founders", &self.founding(repo, Env::Prod)?),
            None => Ok(()),
        }
    }

    /// The policy of the record: who may have our state after us.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn policy(&self, repo: &str, env: Env) -> Result<Policy, ConfigError> {
        Ok(Policy {
            repo: Some(repo.to_owned()),
            release_pubkeys: self.maintainers.clone(),
            env: Some(env),
            threshold: self.threshold,
            min_delay_secs: self.min_delay_secs,
            min_version: version("release.min_version", self.min_version.as_deref())?,
            revoked: self.revoked.clone(),
        })
    }

    /// The policy that is part of the record's name.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn founding(&self, repo: &str, env: Env) -> Result<Policy, ConfigError> {
        let policy = self.policy(repo, env)?;
        Ok(match &self.founders {
            Some(founders) => Policy {
                release_pubkeys: founders.maintainers.clone(),
                threshold: founders.threshold,
                ..policy
            },
            None => policy,
        })
    }
}

impl Backup {
    /// Connects to the parent's store.
    pub(crate) async fn connect(&self, instance: InstanceId) -> Result<BackupClient, StoreError> {
        BackupClient::connect_with(&self.address, instance, Duration::from_secs(self.stall_secs)).await
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.interval_secs == 0 {
            return refuse("backup.interval_secs", "must be at least 1");
        }
        if self.bytes_max == 0 {
            return refuse("backup.bytes_max", "must be at least 1");
        }
        if self.stall_secs == 0 {
            return refuse("backup.stall_secs", "must be at least 1");
        }
        Ok(())
    }

    /// Whether the volumes of all units could be in one snapshot. The databases, and volumes of containers
    /// that are paused, come on top of them.
    pub(super) fn check_room(&self, capacity: &Capacity) -> Result<(), ConfigError> {
        let bytes = capacity.unit_size.volume_bytes.saturating_mul(capacity.units.into());
        if bytes > self.bytes_max {
            let problem = format!("the volumes of {} units alone may have {bytes} bytes", capacity.units);
            return Err(ConfigError::field("backup.bytes_max", problem));
        }
        Ok(())
    }
}

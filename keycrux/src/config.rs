//! `keycrux.json`: the measured configuration. Read and checked whole before anything is opened.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use nostr::key::PublicKey;
use protocol::nec::Version;
use quorum::Size;
use relay::rpc::RateLimit;
use serde::{Deserialize, Serialize};
use service::{ConfigError, Configuration, check_relays};
use transport::StreamAddress;

use crate::store::Limits;

/// Most members of a group: each is asked at each step, and each has a say.
const MEMBERS_MAX: usize = 15;

/// The configuration of a key store. What is left out has the default that its field names.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The repository of this program's code, as its announcement and releases name it.
    pub repo: String,
    /// Its name.
    #[serde(default = "defaults::name")]
    pub name: String,
    /// Relays on which it takes requests, meets the others of its group, and announces itself; the
    /// parent may name more to announce on.
    pub relays: Vec<String>,
    /// The NSM: the device, or a simulator's socket.
    #[serde(default = "defaults::nsm")]
    pub nsm: PathBuf,
    /// Whose signature ends every attestation: `aws`, or a DER file for development.
    #[serde(default = "defaults::trust_root")]
    pub trust_root: String,
    /// Where the parent listens.
    pub parent: StreamAddress,
    /// Loopback address for health and metrics.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// Whose signed releases the others of the group may run.
    pub maintainers: BTreeSet<PublicKey>,
    /// How many of them must have signed.
    #[serde(default = "defaults::threshold")]
    pub threshold: usize,
    /// The oldest release that the others may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<String>,
    /// Who has a vote.
    pub group: Group,
    /// Bounds.
    #[serde(default)]
    pub records: Limits,
    /// How often one key may ask.
    #[serde(default)]
    pub rate: RateLimit,
}

/// Who has a vote, and how many must agree.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The launchers, by the keys of their NEC-04 events; this one's own among them.
    pub members: BTreeSet<PublicKey>,
    /// How many must acknowledge a write: more than half.
    pub writes: usize,
}

/// The value of `trust_root` that names AWS's own.
pub(crate) const AWS: &str = "aws";

mod defaults {
    use std::path::PathBuf;

    pub(super) fn name() -> String {
        "keycrux".into()
    }

    pub(super) fn nsm() -> PathBuf {
        "/dev/nsm".into()
    }

    pub(super) fn trust_root() -> String {
        super::AWS.into()
    }

    pub(super) const fn threshold() -> usize {
        1
    }
}

impl Configuration for Config {
    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |field, problem: &str| Err(ConfigError::field(field, problem));
        if self.repo.is_empty() {
            return refuse("repo", "name the repository");
        }
        if self.relays.is_empty() {
            return refuse("relays", "name at least one relay");
        }
        check_relays("relays", &self.relays)?;
        if self.maintainers.is_empty() {
            return refuse("maintainers", "name who signs the releases; without them any code would pass");
        }
        if self.threshold == 0 || self.threshold > self.maintainers.len() {
            return refuse("threshold", "must be between 1 and the number of maintainers");
        }
        self.version()?;
        if self.group.members.len() > MEMBERS_MAX {
            return refuse("group.members", "a group has at most 15 members");
        }
        // The file that a root is read from is looked at when the key store starts.
        self.check_root(self.trust_root == AWS)?;
        let Limits { max, per_instance_max, data_bytes_max, ttl_secs } = self.records;
        if max == 0 || per_instance_max == 0 || data_bytes_max == 0 || ttl_secs == 0 {
            return refuse("records", "every bound must be at least 1");
        }
        if data_bytes_max > 8_192 {
            return refuse("records.data_bytes_max", "at most 8192: a record travels in one event");
        }
        Ok(())
    }
}

impl Config {
    /// Under AWS's root people's keys are at stake.
    ///
    /// # Errors
    /// [`ConfigError`] for a group of one.
    pub(crate) fn check_root(&self, is_aws: bool) -> Result<(), ConfigError> {
        if self.size()?.members() == 1 && is_aws {
            return Err(ConfigError::field(
                "group.members",
                "one key store alone loses every key when it restarts: name three launchers or more; \
                 a group of one is for development, and refused when trust_root is aws",
            ));
        }
        Ok(())
    }

    /// How many members the group has, and how many must agree.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn size(&self) -> Result<Size, ConfigError> {
        Size::new(self.group.members.len(), self.group.writes)
            .map_err(|e| ConfigError::field("group", e.to_string()))
    }

    /// The oldest release that the others may run.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn version(&self) -> Result<Option<Version>, ConfigError> {
        let parsed = self.min_version.as_deref().map(str::parse).transpose();
        parsed
            .map_err(|e: protocol::nec::VersionFormatError| ConfigError::field("min_version", e.to_string()))
    }
}

#[cfg(test)]
mod tests;

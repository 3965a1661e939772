//! Containers that belong to the server.

use std::collections::BTreeMap;

use protocol::manifest::Egress;
use serde::{Deserialize, Serialize};
use service::ConfigError;
use units::ComputeUnits;

/// A built-in container: measured with the configuration, never charged, never upgraded by itself.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Builtin {
    /// Its name, unique on the server.
    pub name: String,
    /// Its image, by digest.
    pub docker: String,
    /// Its units, taken from the server's total.
    pub units: ComputeUnits,
    /// How large its volume is, in megabytes; absent: what its units have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_mb: Option<u32>,
    /// Its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Paths at which its volume is mounted.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// What it may reach outside.
    #[serde(default)]
    pub egress: Egress,
}

impl std::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builtin")
            .field("name", &self.name)
            .field("docker", &self.docker)
            .finish_non_exhaustive()
    }
}

/// The largest volume of a built-in: ten times what the units of any container have.
const VOLUME_MB_MAX: u32 = 5_000;

impl Builtin {
    /// How large its volume is, where that is not what its units have.
    #[must_use]
    pub fn volume_bytes(&self) -> Option<u64> {
        self.volume_mb.map(|mb| u64::from(mb) * 1_000_000)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let plain = self.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if self.name.is_empty() || self.name.len() > 32 || !plain {
            return Err(ConfigError::field("builtin.name", "must be 1 to 32 of a-z, 0-9 and -"));
        }
        if self.volume_mb.is_some_and(|mb| !(1..=VOLUME_MB_MAX).contains(&mb)) {
            let problem = format!("must be 1 to {VOLUME_MB_MAX}");
            return Err(ConfigError::field("builtin.volume_mb", problem));
        }
        if !self.docker.contains("@sha256:") {
            let problem =
                format!("{} must be named by digest (…@sha256:…), so that it is measured", self.docker);
            return Err(ConfigError::field("builtin.docker", problem));
        }
        Ok(())
    }
}

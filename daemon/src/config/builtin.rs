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

impl Builtin {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let plain = self.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if self.name.is_empty() || self.name.len() > 32 || !plain {
            return Err(ConfigError::field("builtin.name", "must be 1 to 32 of a-z, 0-9 and -"));
        }
        if !self.docker.contains("@sha256:") {
            let problem =
                format!("{} must be named by digest (…@sha256:…), so that it is measured", self.docker);
            return Err(ConfigError::field("builtin.docker", problem));
        }
        Ok(())
    }
}

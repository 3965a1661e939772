//! The guest API's limits.

use std::path::PathBuf;

use relay::rpc::RateLimit;
use serde::{Deserialize, Serialize};
use service::ConfigError;

/// What containers may ask of the daemon. Each limit is one container's.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guest {
    /// Where containers' sockets and secrets are; in memory.
    pub dir: PathBuf,
    /// Calls of any method.
    pub calls: RateLimit,
    /// Statements, fetches included: each costs a share of an attestation document.
    pub statements: RateLimit,
    /// Fetches.
    pub fetches: RateLimit,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            dir: "/run/enclaved".into(),
            calls: RateLimit { per_sec: 10, burst: 50 },
            statements: RateLimit { per_sec: 2, burst: 20 },
            fetches: RateLimit { per_sec: 1, burst: 10 },
        }
    }
}

/// Longest path of the folder: with a container's name and the socket's it must fit into the 108 bytes
/// that the kernel has for a socket's path.
const DIR_BYTES_MAX: usize = 60;

impl Guest {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
        let text = self.dir.to_string_lossy();
        if !self.dir.is_absolute() || text.len() > DIR_BYTES_MAX || !text.chars().all(plain) {
            let problem = format!(
                "must be an absolute path of letters, digits, . _ - and at most {DIR_BYTES_MAX} bytes"
            );
            return Err(ConfigError::field("guest.dir", problem));
        }
        let limits = [("calls", self.calls), ("statements", self.statements), ("fetches", self.fetches)];
        match limits.iter().find(|(_, limit)| limit.per_sec == 0 || limit.burst == 0) {
            Some((name, _)) => {
                Err(ConfigError::field("guest", format!("{name}: per_sec and burst must be at least 1")))
            }
            None => Ok(()),
        }
    }
}

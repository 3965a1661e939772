//! How images are upgraded.

use serde::{Deserialize, Serialize};
use service::ConfigError;

/// How images are upgraded.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpgradeRules {
    /// How often releases are looked for.
    pub poll_secs: u64,
    /// How long a new image's process must have stayed to count as healthy.
    pub settle_secs: u64,
    /// How long it may take to show that it is; then it goes back to the image of before.
    pub health_secs: u64,
}

impl Default for UpgradeRules {
    /// The reference looks every ten minutes.
    fn default() -> Self {
        Self { poll_secs: 600, settle_secs: 10, health_secs: 60 }
    }
}

impl UpgradeRules {
    pub(super) fn check(self) -> Result<(), ConfigError> {
        if self.poll_secs == 0 || self.settle_secs == 0 {
            return Err(ConfigError::field("upgrade", "poll_secs and settle_secs must be at least 1"));
        }
        if self.health_secs < self.settle_secs {
            return Err(ConfigError::field("upgrade.health_secs", "must not be less than settle_secs"));
        }
        Ok(())
    }
}

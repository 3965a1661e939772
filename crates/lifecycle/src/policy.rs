//! The numbers that rule a container's life.

use serde::{Deserialize, Serialize};

/// Durations of a container's life, all in seconds. Measured configuration.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What one charge pays for. Equal to the price's period.
    pub period_secs: u64,
    /// How long a container may run while the wallet does not answer.
    pub grace_secs: u64,
    /// How long the data of an unpaid container is kept.
    pub retention_secs: u64,
    /// How long to wait before asking again when the wallet was silent or a charge's outcome is unknown.
    pub retry_secs: u64,
    /// How often an unpaid container's balance is tried without having heard of a payment.
    pub poll_secs: u64,
    /// Longest wait before a container that exits by itself is started again.
    pub restart_secs_max: u64,
}

impl Default for Policy {
    /// Hourly charges, 10 minutes of grace, 7 days of retention.
    fn default() -> Self {
        Self {
            period_secs: 3_600,
            grace_secs: 600,
            retention_secs: 7 * 24 * 3_600,
            retry_secs: 5,
            poll_secs: 60,
            restart_secs_max: 60,
        }
    }
}

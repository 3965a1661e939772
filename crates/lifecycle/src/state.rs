//! What is known of a container, and persisted after every step.

use serde::{Deserialize, Serialize};
use units::UnixSecs;

use crate::Policy;

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// Quoted; its invoice is open.
    Waiting {
        /// When the invoice expires and the reservation ends.
        until: UnixSecs,
    },
    /// Never paid in time. What is paid late is the owner's credit.
    Expired,
    /// Paid; its image is being fetched and its first start prepared.
    Launching,
    /// Paid, but it could not be started. Nothing was charged.
    Failed,
    /// Entitled to run.
    Deployed,
    /// Stopped because it could not pay.
    Paused {
        /// Since when.
        since: UnixSecs,
    },
    /// Ended by its owner, or unpaid for too long. Its data is gone.
    Terminated,
}

/// The state of one container.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct State {
    /// Where it is in its life.
    #[serde(flatten)]
    pub phase: Phase,
    /// The owner wants it stopped. It pays for its units all the same.
    pub owner_paused: bool,
    /// Up to when it has paid.
    pub paid_until: UnixSecs,
    /// Number of the next period to charge for; the periods before it are paid.
    pub next_period: u64,
    /// Since when the wallet has not answered, if it does not.
    pub wallet_silent_since: Option<UnixSecs>,
    /// Not to ask the wallet before.
    pub ask_at: UnixSecs,
    /// How often its process ended by itself since it last ran well.
    pub exits: u32,
    /// When to start its process again, after it ended by itself.
    pub restart_at: Option<UnixSecs>,
    /// Since when its process runs.
    pub running_since: Option<UnixSecs>,
    /// Its process belongs to an upgrade, which stops, replaces and starts it.
    #[serde(default)]
    pub upgrading: bool,
}

impl State {
    /// A new launch whose invoice expires at `until`.
    #[must_use]
    pub const fn waiting(until: UnixSecs) -> Self {
        Self {
            phase: Phase::Waiting { until },
            owner_paused: false,
            paid_until: UnixSecs(0),
            next_period: 0,
            wallet_silent_since: None,
            ask_at: UnixSecs(0),
            exits: 0,
            restart_at: None,
            running_since: None,
            upgrading: false,
        }
    }

    /// A built-in container: part of the measured configuration, it runs without paying.
    #[must_use]
    pub const fn builtin() -> Self {
        Self { phase: Phase::Deployed, paid_until: UnixSecs(u64::MAX), ..Self::waiting(UnixSecs(0)) }
    }

    /// The state's public name, as announced and as the API reports it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.phase {
            Phase::Waiting { .. } => "waiting",
            Phase::Expired => "expired",
            Phase::Launching => "launching",
            Phase::Failed => "failed",
            Phase::Deployed if self.upgrading => "upgrading",
            Phase::Deployed if self.owner_paused => "paused",
            Phase::Deployed => "deployed",
            Phase::Paused { .. } => "paused",
            Phase::Terminated => "terminated",
        }
    }

    /// True if it takes units from the server's total.
    #[must_use]
    pub const fn holds_units(&self) -> bool {
        match self.phase {
            Phase::Waiting { .. } | Phase::Launching | Phase::Deployed => true,
            Phase::Expired | Phase::Failed | Phase::Paused { .. } | Phase::Terminated => false,
        }
    }

    /// True if its process should be running.
    #[must_use]
    pub const fn should_run(&self) -> bool {
        matches!(self.phase, Phase::Deployed) && !self.owner_paused
    }

    /// True once nothing will ever run under it again. Its balance can still be withdrawn.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        match self.phase {
            Phase::Expired | Phase::Failed | Phase::Terminated => true,
            Phase::Waiting { .. } | Phase::Launching | Phase::Deployed | Phase::Paused { .. } => false,
        }
    }

    /// True if it stands aside for want of units with paid time left, had or not. It gets that time before
    /// anything is charged, however long it takes until units are free.
    #[must_use]
    pub fn is_owed_time(&self) -> bool {
        matches!(self.phase, Phase::Paused { since } if self.paid_until > since)
    }

    /// Up to when an unpaid container's data is kept at least, if it is unpaid. It is wiped then as soon as the
    /// wallet says that it is.
    #[must_use]
    pub fn data_kept_until(&self, policy: &Policy) -> Option<UnixSecs> {
        match self.phase {
            Phase::Paused { .. } if self.is_owed_time() => None,
            Phase::Paused { since } => Some(since.plus_secs(policy.retention_secs)),
            Phase::Waiting { .. }
            | Phase::Expired
            | Phase::Launching
            | Phase::Failed
            | Phase::Deployed
            | Phase::Terminated => None,
        }
    }
}

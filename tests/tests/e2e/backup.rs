//! State that survives: sealed backups, key stores, and what a host may try against them.

mod charges;
mod fence;
mod frozen;
mod kills;
mod mid_upgrade;
mod parent;
mod recovery;
mod stores;
mod streams;
mod upgrade;
mod watch;

use std::time::Duration;

use anyhow::Result;
use devnet::world::{SealingOptions, WorldOptions};

use crate::in_world::calm;

/// Longest wait for a daemon that may not start to say so and end.
const REFUSED_WAIT: Duration = Duration::from_secs(60);

/// A world whose state is sealed, in which a snapshot is made so often.
fn sealed(interval_secs: u64) -> Result<WorldOptions> {
    Ok(calm()?.sealed(SealingOptions { interval_secs, ..SealingOptions::default() }))
}

//! A world whose daemon is started again with another configuration.

use anyhow::Result;
use devnet::world::World;
use serde_json::Value;

/// Ends the daemon in order, changes its configuration, and starts it again.
pub(crate) async fn reconfigure(world: &mut World, change: impl FnOnce(&mut Value)) -> Result<()> {
    world.stop_daemon().await?;
    let mut config: Value = serde_json::from_slice(&std::fs::read(world.daemon_config())?)?;
    change(&mut config);
    std::fs::write(world.daemon_config(), config.to_string())?;
    world.start_daemon().await?;
    world.wait_for_wallet().await
}

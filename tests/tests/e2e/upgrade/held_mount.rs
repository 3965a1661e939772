//! A volume that is mounted elsewhere still when its container is stopped for an upgrade, as an engine's own
//! namespaces can have it: unmounting it writes nothing then.

use std::time::Duration;

use anyhow::{Result, ensure};
use devnet::process::{ProcessSpec, Ready};
use protocol::rpc::enclaved::UpgradeOutcome;

use super::app::{App, NOTE_BYTES, check_runs, running, upgrade, verdict};
use crate::in_world::{calm, in_world};
use crate::stranger::{SOON, Stranger, put};

/// How long the one that holds the mount may take to end.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_last_is_in_the_copy_whoever_has_the_volume_mounted() -> Result<()> {
    in_world(calm()?, async |world| {
        let owner = Stranger::with(world, 100).await?;
        let first = App::good(world, "1")?.push(world).await?;
        let bad = App::crashing("2").push(world).await?;
        let (pubkey, _) = running(world, &owner, &first, "owner").await?;

        let hold = ["--mount", "--propagation", "private", "sh", "-c", "echo holding; sleep 600"];
        let spec = ProcessSpec::new("unshare").args(hold);
        let mut holder = world.enclave().spawn(&spec, &world.dir().join("holder.log"))?;
        holder.wait_ready(&Ready::LogLine("holding".to_owned()), SOON).await?;
        let note = "fedcba9876543210".repeat(NOTE_BYTES / 16);
        ensure!(put(&format!("{}/note", owner.url(&pubkey).await?), &note).await? == 200);

        let record = upgrade(&owner, &pubkey, &bad).await?;
        assert_eq!(verdict(&record), (UpgradeOutcome::RolledBack, Some("process_exits")), "{record:?}");
        check_runs(&owner, &pubkey, &first, &note).await?;
        ensure!(holder.is_running(), "nobody had it mounted: this proves nothing");
        holder.stop(GRACE).await?;
        Ok(())
    })
    .await
}

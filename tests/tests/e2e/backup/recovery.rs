//! A machine is lost, and its server comes back on another disk.

use anyhow::{Context, Result, ensure};
use devnet::world::World;
use protocol::event::{tag_value, tags_named};
use protocol::kinds::ANNOUNCEMENT;
use serde_json::Value;

use super::{REFUSED_WAIT, sealed};
use crate::in_world::in_world;
use crate::stranger::{SOON, Stranger, get, put};

/// The generations that the daemon's log says were acknowledged.
pub(super) fn acknowledged(world: &World) -> Result<Vec<u64>> {
    let log = world.daemon_log()?;
    let lines = log.lines().filter(|line| line.contains("snapshot acknowledged"));
    let generation = |line: &str| {
        let text = line.split_once("generation=")?.1;
        text.split(' ').next()?.parse().ok()
    };
    lines.map(|line| generation(line).context("a line without a generation")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_machine_comes_back_with_identity_volumes_and_balances() -> Result<()> {
    in_world(sealed(2)?, async |world| {
        let (owner, pubkey, url) = Stranger::keeper(world, 100).await?;
        owner.wait_settled(&pubkey).await?;
        assert_eq!(put(&format!("{url}/note"), "before").await?, 200);
        let (service, balance) = (world.service()?, balance(&owner).await?);
        // A snapshot that was begun after this.
        let seen = acknowledged(world)?.last().copied().unwrap_or_default();
        world.wait_for_line(&format!("generation={}", seen + 2), SOON).await?;

        world.lose_enclave().await?;
        world.start_daemon().await?;
        world.wait_for_wallet().await?;

        assert_eq!(world.service()?, service);
        owner.wait_for(&pubkey, "deployed").await?;
        assert_eq!(get(&format!("{url}/note")).await?, (200, "before".to_owned()));
        assert_eq!(self::balance(&owner).await?, balance);
        let log = world.daemon_log()?;
        let said =
            log.lines().find(|line| line.contains("restored; what happened since")).context("not said")?;
        ensure!(said.contains("WARN") && said.contains("lost_secs="), "{said}");
        ensure!(!world.state_dir().join("service.key").exists(), "the service key lies on the disk");

        // What was asked of the life before is not done twice.
        let announced = world.newest(nostr::filter::Filter::new().kind(ANNOUNCEMENT).author(service)).await?;
        let genesis = tag_value(&announced, "genesis").context("no genesis")?;
        let permitted: Value =
            serde_json::from_str(&std::fs::read_to_string(world.operator().dir().join("genesis.json"))?)?;
        assert_eq!(permitted["id"], genesis);
        let lineage: Vec<_> = tags_named(&announced, "lineage").collect();
        let build = world.operator().build();
        assert_eq!(lineage.len(), 1, "{lineage:?}");
        assert_eq!(
            lineage[0][1..5].join(" "),
            format!("{} {} {} {}", build.pcrs[0], build.pcrs[1], build.pcrs[2], build.version)
        );
        world.instance().await?;
        Ok(())
    })
    .await
}

async fn balance(owner: &Stranger) -> Result<units::Msat> {
    Ok(owner.wallet.call(&owner.keys, &protocol::nwc::GetBalance {}, SOON).await?.balance)
}

/// A parent is restarted like any service, while the enclave goes on. Its word is heard afterwards, too.
#[tokio::test(flavor = "multi_thread")]
async fn parent_that_was_killed_can_still_tell_the_enclave_to_end() -> Result<()> {
    in_world(sealed(300)?, async |world| {
        let (owner, pubkey, url) = Stranger::keeper(world, 100).await?;
        owner.wait_settled(&pubkey).await?;
        world.kill_parent().await?;
        world.wait_for_line("the connection to the parent is gone", SOON).await?;
        let backups = world.backups().to_owned();
        world.start_parent(backups.clone()).await?;
        world.wait_for_line("the parent is back", SOON).await?;
        // No snapshot has this but the last.
        assert_eq!(put(&format!("{url}/note"), "at the end").await?, 200);
        world.end_by_parent().await?;
        let log = world.daemon_log()?;
        ensure!(log.contains("ending: the parent gives us"), "it was not told");
        world.wipe_disk().await?;
        world.start_parent(backups).await?;
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        owner.wait_for(&pubkey, "deployed").await?;
        assert_eq!(get(&format!("{url}/note")).await?, (200, "at the end".to_owned()));
        Ok(())
    })
    .await
}

/// Nobody begins anew because a file is missing, or because an old one is there.
#[tokio::test(flavor = "multi_thread")]
async fn fresh_start_needs_the_launchers_word_for_this_very_run() -> Result<()> {
    in_world(sealed(300)?, async |world| {
        let first = world.service()?;
        let genesis = world.operator().dir().join("genesis.json");
        let founded = std::fs::read(&genesis)?;
        world.lose_enclave().await?;
        // The event of another run, that founded nothing.
        world.operator().permit_genesis(&nostr::key::Keys::generate().public_key())?;
        world.spawn_daemon()?;
        let status = world.wait_for_end(REFUSED_WAIT).await?;
        ensure!(!status.success(), "{status}");
        ensure!(world.daemon_log()?.contains("record_unknown"), "{}", world.daemon_log()?);
        ensure!(!world.state_dir().join("data").exists());
        // A new permission founds a new record, and a new service key; the old record is as it was.
        std::fs::remove_file(&genesis)?;
        world.start_daemon().await?;
        let second = world.service()?;
        ensure!(second != first, "a fresh start has the old service key");
        world.lose_enclave().await?;
        std::fs::write(&genesis, founded)?;
        world.start_daemon().await?;
        assert_eq!(world.service()?, first);
        Ok(())
    })
    .await
}

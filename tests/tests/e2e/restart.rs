//! A server that is told to end comes back as it was.

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::facts::Facts;
use crate::in_world::{calm, in_world};
use crate::netns::engine_name;
use crate::stranger::{SOON, Stranger, get, put, silent};

/// Far longer than a test takes.
const OUTAGE_SECS: u64 = 6 * 3_600;

#[tokio::test(flavor = "multi_thread")]
async fn paid_container_comes_back_with_its_volume() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push_echo().await?;
        let owner = Stranger::with(world, 100).await?;
        let volumes = json!({"ports": [8080], "volumes": ["/data"]});
        let running = owner.run(&image, volumes.clone()).await?;
        let paused = owner.run(&image, volumes).await?;
        for pubkey in [&running, &paused] {
            owner.wait_settled(pubkey).await?;
            let note = format!("{}/note", owner.url(pubkey).await?);
            get(&note).await?;
            assert_eq!(put(&note, &pubkey.to_hex()).await?, 200);
        }
        let of_paused = json!({"pubkey": paused});
        owner.call::<serde_json::Value>("pause", of_paused.clone()).await?;
        let (before, url) = (Facts::of(world).await?, owner.url(&running).await?);
        let service = world.service()?;

        world.stop_daemon().await?;
        // In order: every process has ended, and no volume is mounted.
        silent(&url).await?;
        let docker = world.engine().client();
        let left = docker.list_containers(None::<bollard::query_parameters::ListContainersOptions>).await?;
        assert!(left.is_empty(), "still running: {left:?}");
        let mounts = std::fs::read_to_string(format!("/proc/{}/mounts", world.enclave().init_pid()))?;
        let volumes = world.state_dir().join("volumes");
        assert!(!mounts.contains(volumes.to_str().unwrap()), "{mounts}");
        world.start_daemon().await?;
        world.wait_for_wallet().await?;

        assert_eq!(world.service()?, service);
        assert_eq!(owner.wait_for(&running, "deployed").await?.reason, None);
        assert_eq!(get(&format!("{url}/note")).await?, (200, running.to_hex()));
        let still = owner.status(&paused).await?;
        assert!(still.info.state == "paused" && still.owner_paused, "{still:?}");
        silent(&owner.url(&paused).await?).await?;
        assert_eq!(Facts::of(world).await?, before, "nothing was charged, lost or made anew");
        owner.call::<serde_json::Value>("resume", of_paused).await?;
        assert_eq!(get(&format!("{}/note", owner.url(&paused).await?)).await?, (200, paused.to_hex()));

        // Each wrote into a volume of its own, which goes with its container.
        let folder = volumes.join(paused.to_hex());
        assert!(folder.exists() || std::fs::read_dir(&volumes)?.count() > 2);
        owner.call::<serde_json::Value>("terminate", json!({"pubkey": paused})).await?;
        let after = Facts::of(world).await?;
        assert!(!after.volumes.iter().any(|name| name.contains(&paused.to_hex())), "{:?}", after.volumes);
        assert!(!after.engine.iter().any(|name| name.contains(&engine_name(&paused))), "{:?}", after.engine);
        Ok(())
    })
    .await
}

/// What was paid for is had, however often the server tries to start before it does.
#[tokio::test(flavor = "multi_thread")]
async fn outage_is_given_back_after_a_start_that_failed() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push_echo().await?;
        let owner = Stranger::with(world, 100).await?;
        let pubkey = owner.settled(&image).await?;
        let paid_until = owner.status(&pubkey).await?.paid_until.context("paid")?;
        world.stop_daemon().await?;
        let state = Connection::open(world.state_dir().join("state.db"))?;
        let sql = "UPDATE facts SET value = value - ?1 WHERE name = 'heartbeat_at'";
        ensure!(state.execute(sql, [i64::try_from(OUTAGE_SECS)?])? == 1);
        drop(state);

        // Its own wallet's image is not where the configuration says.
        let config = std::fs::read_to_string(world.daemon_config())?;
        let mut broken: Value = serde_json::from_str(&config)?;
        let (name, _) =
            broken["builtin"][0]["docker"].as_str().and_then(|it| it.split_once('@')).context("it")?;
        let gone = format!("{name}@sha256:{}", "0".repeat(64));
        broken["builtin"][0]["docker"] = json!(gone);
        std::fs::write(world.daemon_config(), broken.to_string())?;
        world.spawn_daemon()?;
        let status = world.wait_for_end(SOON).await?;
        ensure!(!status.success() && world.daemon_log()?.contains(&gone), "{status}");

        std::fs::write(world.daemon_config(), config)?;
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        let now = owner.wait_for(&pubkey, "deployed").await?.paid_until.context("paid")?;
        let given = now.secs_since(paid_until);
        ensure!((OUTAGE_SECS..OUTAGE_SECS + 600).contains(&given), "{given} s were given back");
        Ok(())
    })
    .await
}

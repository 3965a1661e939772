//! Upgrades that something else comes before: a pause, the end, an empty balance.

use anyhow::{Context, Result};
use bollard::models::ContainerConfig;
use bollard::query_parameters::CommitContainerOptionsBuilder;
use devnet::world::World;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::{TopupReply, UpgradeOutcome};
use serde_json::{Value, json};

use super::app::{App, check_runs, ended, running, verdict};
use super::by_owner::check_images;
use super::volume::{Volumes, check_no_copies};
use crate::facts::Facts;
use crate::in_world::{calm, in_world};
use crate::stranger::{LOOK_EVERY, SOON, Stranger, silent};

#[tokio::test(flavor = "multi_thread")]
async fn container_that_is_stopped_meanwhile_is_whole() -> Result<()> {
    let mut options = calm()?;
    options.watch_steps = true;
    in_world(options, async |world| {
        let volumes = Volumes::watch(world)?;
        let owner = Stranger::with(world, 100).await?;
        let first = App::good(world, "1")?.push(world).await?;
        let deaf = App::deaf("2").push(world).await?;
        let (pubkey, note) = running(world, &owner, &first, "owner").await?;

        on_trial(world, &owner, &pubkey, &deaf).await?;
        let paused = owner.call::<Value>("pause", json!({"pubkey": pubkey})).await?;
        assert_eq!(paused["state"], "paused");
        let record = ended(&owner, &pubkey, &deaf).await?;
        assert_eq!(verdict(&record), (UpgradeOutcome::Cancelled, Some("cancelled")), "{record:?}");
        volumes.check_restored(&pubkey, true)?;
        check_images(world, 2).await?;
        silent(&owner.url(&pubkey).await?).await?;
        owner.call::<Value>("resume", json!({"pubkey": pubkey})).await?;
        check_runs(&owner, &pubkey, &first, &note).await?;

        // One that ends in order takes it up again.
        on_trial(world, &owner, &pubkey, &deaf).await?;
        world.stop_daemon().await?;
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        let record = ended(&owner, &pubkey, &deaf).await?;
        assert_eq!(verdict(&record), (UpgradeOutcome::RolledBack, Some("unhealthy")), "{record:?}");
        check_runs(&owner, &pubkey, &first, &note).await?;

        let before = Facts::of(world).await?;
        on_trial(world, &owner, &pubkey, &deaf).await?;
        owner.call::<Value>("terminate", json!({"pubkey": pubkey})).await?;
        assert_eq!(ended(&owner, &pubkey, &deaf).await?.outcome, UpgradeOutcome::Cancelled);
        let gone = |facts: &Facts| !facts.volumes.iter().any(|name| name.contains(&pubkey.to_hex()));
        let after = Facts::once(world, gone).await?;
        assert!(gone(&after), "{:?}", after.volumes);
        assert_eq!(after.engine.len() + 2, before.engine.len(), "its container and its network are gone");
        check_no_copies(world)?;
        // With whoever needed them last, and not when the server is started anew.
        check_images(world, 1).await?;
        leave_image(world).await?;
        check_images(world, 2).await?;
        // What is left of an older life goes when the server starts.
        world.stop_daemon().await?;
        world.start_daemon().await?;
        check_images(world, 1).await
    })
    .await
}

/// Its balance ends while a new image is on trial.
#[tokio::test(flavor = "multi_thread")]
async fn container_that_cannot_pay_meanwhile_keeps_its_data() -> Result<()> {
    let mut options = devnet::world::WorldOptions::hasty(devnet::helper::HelperBinary::find()?, 8);
    options.watch_steps = true;
    in_world(options, async |world| {
        let volumes = Volumes::watch(world)?;
        let owner = Stranger::with(world, 100).await?;
        let first = App::good(world, "1")?.push(world).await?;
        // Its trial outlasts the period.
        let slow = App::deaf("2").push(world).await?;
        crate::reconfigure::reconfigure(world, |config| {
            config["upgrade"] = json!({"poll_secs": 1, "settle_secs": 1, "health_secs": 60});
        })
        .await?;
        let (pubkey, note) = running(world, &owner, &first, "owner").await?;
        on_trial(world, &owner, &pubkey, &slow).await?;
        owner.wait_for(&pubkey, "paused").await?;
        let record = ended(&owner, &pubkey, &slow).await?;
        assert_eq!(verdict(&record), (UpgradeOutcome::Cancelled, Some("cancelled")), "{record:?}");
        volumes.check_restored(&pubkey, true)?;
        let topup: TopupReply = owner.call("topup", json!({"pubkey": pubkey, "amount_msat": 50_000})).await?;
        owner.pay(&topup.invoice.invoice).await?;
        check_runs(&owner, &pubkey, &first, &note).await
    })
    .await
}

/// An image of an older life that nobody needs.
async fn leave_image(world: &World) -> Result<()> {
    let repo = format!("enclaved/{}", "ab".repeat(32));
    let wallet = crate::netns::engine_name(&crate::facts::wallet_container(world)?);
    let options =
        CommitContainerOptionsBuilder::default().container(&wallet).repo(&repo).tag("loaded").build();
    world.engine().client().commit_container(options, ContainerConfig::default()).await?;
    Ok(())
}

/// What becomes of an image on trial while its engine is away says nothing of the image.
#[tokio::test(flavor = "multi_thread")]
async fn engine_that_dies_during_a_trial_is_to_blame() -> Result<()> {
    in_world(calm()?, async |world| {
        let owner = Stranger::with(world, 100).await?;
        let first = App::good(world, "1")?.push(world).await?;
        let deaf = App::deaf("2").push(world).await?;
        let (pubkey, note) = running(world, &owner, &first, "owner").await?;
        on_trial(world, &owner, &pubkey, &deaf).await?;
        world.engine_mut().kill_hard().await?;
        // An engine that is back before anybody looks has failed nobody.
        let took = units::Stopwatch::start();
        while !world.daemon_log()?.contains("enclaved::upgrade::health: look: ") {
            anyhow::ensure!(took.elapsed() < SOON, "nobody looks");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        world.engine_mut().restart().await?;
        let record = ended(&owner, &pubkey, &deaf).await?;
        assert_eq!(verdict(&record), (UpgradeOutcome::RolledBack, Some("engine_failed")), "{record:?}");
        check_runs(&owner, &pubkey, &first, &note).await
    })
    .await
}

/// Asks for an image, and waits until it runs on trial and has spoilt the data.
async fn on_trial(world: &World, owner: &Stranger, pubkey: &PublicKey, image: &str) -> Result<()> {
    let status = owner.call::<Value>("upgrade", json!({"pubkey": pubkey, "docker": image})).await?;
    assert!(matches!(status["state"].as_str(), Some("deployed" | "upgrading")), "{status}");
    let status = owner.wait_for(pubkey, "upgrading").await?;
    assert_eq!(status.exits, 0);
    let data = world.state_dir().join("volumes").join(pubkey.to_hex()).join("0");
    let note = crate::facts::seen_in_box(world, &data)?.join("note");
    let took = units::Stopwatch::start();
    while std::fs::read_to_string(&note).ok().as_deref() != Some("spoilt\n") {
        anyhow::ensure!(took.elapsed() < SOON, "the new image did nothing");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // On the record, the image is the one that runs.
    let image_now = owner.status(pubkey).await.context("status")?.info.image;
    assert_eq!(image_now, image);
    Ok(())
}

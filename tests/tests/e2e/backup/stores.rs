//! Key stores that restart, that are cut off, and that come back with what they knew long ago.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bollard::models::ContainerState;
use bollard::query_parameters::{KillContainerOptionsBuilder, ListContainersOptionsBuilder};
use devnet::world::{SealingOptions, World};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use units::Stopwatch;

use super::recovery::acknowledged;
use super::{REFUSED_WAIT, sealed};
use crate::doors::refused_while_put_aside;
use crate::in_world::{calm, in_world};
use crate::netns::engine_name;
use crate::stranger::{LOOK_EVERY, SOON, Stranger, get, put, silent};

/// Longer than a process that ended waits for its first restart, which is `restart_secs_max` of the world.
const RESTARTED_WITHIN: Duration = Duration::from_secs(4);

/// Waits until a snapshot that was begun from now on counts.
pub(super) async fn snapshots_pass(world: &mut World) -> Result<()> {
    let seen = acknowledged(world)?.last().copied().unwrap_or_default();
    world.wait_for_line(&format!("snapshot acknowledged generation={}", seen + 2), SOON).await
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_lose_nothing_and_an_old_key_store_alone_is_not_believed() -> Result<()> {
    in_world(sealed(2)?, async |world| {
        let (owner, pubkey, url) = Stranger::keeper(world, 100).await?;
        assert_eq!(put(&format!("{url}/note"), "old").await?, 200);
        snapshots_pass(world).await?;
        // One is put aside with what it knows now; its launcher starts another in its place.
        let mut old = world.key_stores_mut()?.put_aside(0)?;
        world.key_stores_mut()?.start_again(0)?;
        world.key_stores_mut()?.wait_serving(0).await?;
        assert_eq!(put(&format!("{url}/note"), "new").await?, 200);
        snapshots_pass(world).await?;
        // The others restart, one after the other.
        for i in [1, 2] {
            let stores = world.key_stores_mut()?;
            stores.kill(i).await?;
            stores.start_again(i)?;
            stores.wait_serving(i).await?;
        }
        snapshots_pass(world).await?;
        let newest = acknowledged(world)?.last().copied();
        world.lose_enclave().await?;
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        ensure!(restored(world)? >= newest, "restored {:?}, {newest:?} was acknowledged", restored(world)?);
        owner.wait_for(&pubkey, "deployed").await?;
        assert_eq!(get(&format!("{url}/note")).await?, (200, "new".to_owned()));

        // All that knew better are gone, and the old one is offered as the only one.
        world.lose_enclave().await?;
        for i in 0..3 {
            world.key_stores_mut()?.kill(i).await?;
        }
        old.kill(Signal::SIGCONT)?;
        world.spawn_daemon()?;
        let status = world.wait_for_end(REFUSED_WAIT * 2).await?;
        let log = world.daemon_log()?;
        let last = log.lines().rfind(|line| line.contains("ERROR")).unwrap_or_default();
        ensure!(!status.success() && last.contains("keycrux_unreachable"), "{status}: {last}");
        ensure!(!world.state_dir().join("data").exists() && restored(world)?.is_none(), "{log}");
        old.kill(Signal::SIGKILL)?;
        old.wait_exit(SOON).await?;
        for i in 0..3 {
            world.key_stores_mut()?.start_again(i)?;
        }
        Ok(())
    })
    .await
}

/// The generation that the daemon says it restored since its last start.
fn restored(world: &World) -> Result<Option<u64>> {
    let log = world.daemon_log()?;
    let line = log.lines().find(|line| line.contains("restoring the newest snapshot"));
    let number = line.and_then(|line| line.split_once("generation=")?.1.split(' ').next()?.parse().ok());
    Ok(number)
}

/// While the key stores do not answer nothing is done, and once they do everything goes on.
#[tokio::test(flavor = "multi_thread")]
async fn server_that_is_cut_off_does_nothing_until_it_is_heard_again() -> Result<()> {
    let sealing = SealingOptions { cables: true, interval_secs: 2, ..SealingOptions::default() };
    in_world(calm()?.sealed(sealing), async |world| {
        let image = world.push_echo().await?;
        let owner = Stranger::with(world, 100).await?;
        let extra = json!({"ports": [8080], "volumes": ["/data"], "exec": true, "upgrade": "owner"});
        let pubkey = owner.run(&image, extra).await?;
        owner.wait_settled(&pubkey).await?;
        let url = owner.url(&pubkey).await?;
        let invoice = owner.invoice(1_000).await?;
        for i in 0..3 {
            world.key_stores_mut()?.isolate(i).await?;
        }
        world.wait_for_line("the wallet is held still", SOON).await?;
        // A moment before the lease ends.
        let (took, quote) = (Stopwatch::start(), json!({"docker": image, "units": 1}));
        while owner.call::<Value>("quote", quote.clone()).await.is_ok() {
            ensure!(took.elapsed() < SOON, "a quote is not refused");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let params = json!({"pubkey": pubkey, "amount_msat": 5_000});
        for (method, params) in [
            ("quote", quote.clone()),
            ("launch", quote),
            ("topup", params),
            ("withdraw", json!({"pubkey": pubkey, "invoice": invoice})),
            ("pause", json!({"pubkey": pubkey})),
            ("terminate", json!({"pubkey": pubkey})),
        ] {
            assert_eq!(owner.refused(method, params).await, "not_holding", "{method}");
        }
        refused_while_put_aside(world, &owner, &pubkey, &image).await?;
        // What is asked is answered, and what runs goes on; the wallet pays nobody.
        assert_eq!(owner.status(&pubkey).await?.info.state, "deployed");
        assert_eq!(get(&url).await?.0, 200);
        let wallet = wallet_container(world).await?;
        ensure!(is_paused(world, &wallet).await?, "the wallet is not held still");
        ensure!(!is_paused(world, &engine_name(&pubkey)).await?, "the container is held still");
        // What ends is not started again, although it would be at once.
        let kill = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
        world.engine().client().kill_container(&engine_name(&pubkey), Some(kill)).await?;
        silent(&url).await?;
        tokio::time::sleep(RESTARTED_WITHIN).await;
        ensure!(!is_running(world, &engine_name(&pubkey)).await?, "the container was started");
        let before = acknowledged(world)?.len();

        for i in 0..3 {
            world.key_stores_mut()?.rejoin(i).await?;
        }
        world.wait_for_line("the key stores answer: going on", SOON).await?;
        ensure!(!is_paused(world, &wallet).await?, "the wallet is still held");
        assert_eq!(get(&url).await?.0, 200);
        let launched = owner.launch(&image, json!({})).await?;
        owner.pay(&launched.invoice.invoice).await?;
        owner.wait_for(&launched.pubkey, "deployed").await?;
        let took = Stopwatch::start();
        while acknowledged(world)?.len() <= before + 1 {
            ensure!(took.elapsed() < SOON, "no snapshot counts any more");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    })
    .await
}

/// The engine's name of the wallet's container.
pub(super) async fn wallet_container(world: &World) -> Result<String> {
    let label = HashMap::from([("label".to_owned(), vec!["enclaved.builtin=nwc".to_owned()])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&label).build();
    let found = world.engine().client().list_containers(Some(options)).await?;
    found.first().and_then(|one| one.id.clone()).context("there is no wallet")
}

pub(super) async fn is_paused(world: &World, name: &str) -> Result<bool> {
    Ok(state(world, name).await?.paused.unwrap_or(false))
}

async fn is_running(world: &World, name: &str) -> Result<bool> {
    Ok(state(world, name).await?.running.unwrap_or(false))
}

async fn state(world: &World, name: &str) -> Result<ContainerState> {
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    let found = world.engine().client().inspect_container(name, options).await?;
    found.state.context("a container without a state")
}

//! Hostile guests: each attack fails in a container of ours, works in one without the guard that it is
//! aimed at, and is not felt next door.

mod attacks;
mod floods;
mod plain;

use std::time::Duration;

use anyhow::{Result, ensure};
use devnet::world::World;
use nostr::key::PublicKey;
use serde_json::json;
use units::Stopwatch;

use crate::in_world::{calm, in_world};
use crate::netns::exec;
use crate::stranger::{Stranger, get};
use attacks::{ATTACKS, WORKED};
use plain::Plain;

/// Requests whose slowest hundredth is compared.
const REQUESTS: usize = 300;
/// Below this a machine's own noise decides, not the neighbour.
const NOISE: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread")]
async fn hostile_guests_get_nowhere_and_disturb_nobody() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "guest"), "guest").await?;
        let alice = Stranger::with(world, 1_000).await?;
        let hostile = alice.run(&image, json!({"ports": [8080], "volumes": ["/data"]})).await?;
        get(&alice.url(&hostile).await?).await?;
        let plain = Plain::like(world, &hostile).await?;
        floods::log_is_cut(world, &hostile, &plain).await?;
        for attack in &ATTACKS {
            let guarded = exec(world, &hostile, attack.script).await?;
            assert!(!guarded.text.contains(WORKED), "{} works in a container of ours: {guarded:?}", attack.name);
            let unguarded = plain.run(attack.script, attack.unguarded()).await?;
            assert!(unguarded.contains(WORKED), "{} works nowhere: {unguarded}", attack.name);
        }
        // What this kernel cannot limit is said, not hidden.
        let status = alice.status(&hostile).await?;
        assert_eq!(status.limits_not_enforced, world_limits(world)?);
        neighbours(world, &alice, &image).await?;
        // Last: it takes the firewall away.
        floods::network_is_slowed(world, &hostile).await
    })
    .await
}

/// What the daemon said at its start.
fn world_limits(world: &World) -> Result<Vec<String>> {
    let log = world.daemon_log()?;
    let line = log.lines().find(|line| line.contains("not_enforced=")).unwrap_or_default();
    let list = line.split_once("not_enforced=[").and_then(|(_, rest)| rest.split_once(']')).unwrap_or_default().0;
    let names = list.split(',').map(|name| name.trim().trim_matches('"').to_owned());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

/// A neighbour's slowest hundredth at most doubles while six containers do their worst.
async fn neighbours(world: &World, owner: &Stranger, image: &str) -> Result<()> {
    let victim = Stranger::with(world, 100).await?;
    let pubkey = victim.settled(image).await?;
    let url = victim.url(&pubkey).await?;
    let mut hostile = Vec::new();
    for _ in 0..6 {
        hostile.push(owner.run(image, json!({"volumes": ["/data"]})).await?);
    }
    slowest(&url).await?;
    let quiet = slowest(&url).await?;
    let storm = hostile.iter().zip(attacks::STORM).map(|(pubkey, script)| storm(world, pubkey, script));
    let during = tokio::select! {
        during = slowest(&url) => during?,
        ended = futures_util::future::try_join_all(storm) => anyhow::bail!("the storm is over: {ended:?}"),
    };
    for pubkey in hostile {
        owner.call::<serde_json::Value>("terminate", json!({"pubkey": pubkey})).await?;
    }
    println!("p99 of a neighbour: {quiet:?} before, {during:?} during");
    ensure!(during <= quiet.max(NOISE) * 2, "{quiet:?} before, {during:?} during");
    Ok(())
}

/// Attacks again and again.
async fn storm(world: &World, pubkey: &PublicKey, script: &str) -> Result<()> {
    loop {
        // What ends the script may be the kernel.
        drop(exec(world, pubkey, script).await);
    }
}

/// The ninety-ninth percentile of what one request takes.
async fn slowest(url: &str) -> Result<Duration> {
    let mut all = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let took = Stopwatch::start();
        assert_eq!(get(url).await?.0, 200);
        all.push(took.elapsed());
    }
    all.sort();
    Ok(all[REQUESTS * 99 / 100])
}

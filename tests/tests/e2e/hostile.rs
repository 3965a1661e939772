//! Hostile guests: each attack fails in a container of ours, works in one without the guard that it is
//! aimed at, and the neighbours are served.

mod attacks;
mod floods;
mod plain;

use std::time::Duration;

use anyhow::{Result, ensure};
use devnet::world::World;
use serde_json::json;
use units::Stopwatch;

use crate::in_world::{calm, in_world};
use crate::netns::exec;
use crate::stranger::{Stranger, get};
use attacks::{ATTACKS, WORKED};
use plain::Plain;

/// Requests whose slowest hundredth is compared.
const REQUESTS: usize = 300;
/// A neighbour's slowest hundredth, whatever goes on around it, on a machine that does other things, too.
const SERVED_WITHIN: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn hostile_guests_get_nowhere_and_neighbours_are_served() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "guest"), "guest").await?;
        let alice = Stranger::with(world, 1_000).await?;
        let hostile = alice.run(&image, json!({"ports": [8080], "volumes": ["/data"]})).await?;
        get(&alice.url(&hostile).await?).await?;
        let plain = Plain::like(world, &hostile).await?;
        floods::log_is_cut(world, &hostile, &plain).await?;
        for attack in &ATTACKS {
            let guarded = exec(world, &hostile, attack.script).await?;
            assert!(
                !guarded.text.contains(WORKED),
                "{} works in a container of ours: {guarded:?}",
                attack.name
            );
            let unguarded = plain.run(attack.script, attack.unguarded()).await?;
            assert!(unguarded.contains(WORKED), "{} works nowhere: {unguarded}", attack.name);
        }
        // What this kernel cannot limit is said, not hidden.
        let status = alice.status(&hostile).await?;
        assert_eq!(status.limits_not_enforced, world_limits(world)?);
        neighbours(world, &alice, &image).await?;
        // Last: it takes the firewall away. The first has filled its memory for good.
        let another = alice.run(&image, json!({})).await?;
        floods::network_is_slowed(world, &another).await
    })
    .await
}

/// What the daemon said at its start.
fn world_limits(world: &World) -> Result<Vec<String>> {
    let log = world.daemon_log()?;
    let line = log.lines().find(|line| line.contains("not_enforced=")).unwrap_or_default();
    let list =
        line.split_once("not_enforced=[").and_then(|(_, rest)| rest.split_once(']')).unwrap_or_default().0;
    let names = list.split(',').map(|name| name.trim().trim_matches('"').to_owned());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

/// A neighbour is served while six containers do their worst.
async fn neighbours(world: &World, owner: &Stranger, image: &str) -> Result<()> {
    let victim = Stranger::with(world, 100).await?;
    // With a processor of its own: one that has a tenth is slowed by its own limit, not by others.
    let pubkey = victim.run(image, json!({"ports": [8080], "units": 10})).await?;
    let url = victim.url(&pubkey).await?;
    let mut hostile = Vec::new();
    slowest(&url).await?;
    let quiet = slowest(&url).await?;
    // Their own programs do it: a command from outside would cost the engine, not them.
    for (number, script) in attacks::STORM.iter().enumerate() {
        let image = world.push(&World::busybox(script, "hostile"), &format!("hostile{number}")).await?;
        hostile.push(owner.run(&image, json!({"volumes": ["/data"]})).await?);
    }
    let during = slowest(&url).await?;
    for pubkey in hostile {
        owner.call::<serde_json::Value>("terminate", json!({"pubkey": pubkey})).await?;
    }
    println!("p99 of a neighbour: {quiet:?} before, {during:?} during");
    ensure!(during <= SERVED_WITHIN, "{quiet:?} before, {during:?} during");
    Ok(())
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

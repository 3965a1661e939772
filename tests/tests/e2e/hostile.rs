//! Hostile guests: each attack fails in a container of ours, works without the guard that it is aimed at, and
//! while it lasts the neighbours are served as before.

mod attacks;
mod floods;
mod neighbour;
mod network;
mod plain;

use anyhow::{Result, ensure};
use devnet::world::World;
use serde_json::json;

use crate::in_world::{calm, in_world};
use crate::netns::exec;
use crate::stranger::{Stranger, get};
use attacks::{ATTACKS, WORKED};
use neighbour::Neighbour;
use network::Around;
use plain::Plain;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_guests_get_nowhere_and_neighbours_are_served() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "guest"), "guest").await?;
        let alice = Stranger::with(world, 1_000).await?;
        let launch = json!({"ports": [8080], "volumes": ["/data"], "egress": "none"});
        let hostile = alice.run(&image, launch).await?;
        get(&alice.url(&hostile).await?).await?;
        let plain = Plain::like(world, &hostile).await?;
        let neighbour = Neighbour::launch(world, &image).await?;
        let around = Around::build(world, &hostile, &neighbour.pubkey).await?;

        floods::log_is_cut(world, &hostile, &plain).await?;
        network::tokens_open_one_door(world, &hostile, &neighbour.pubkey).await?;
        around.check_guarded().await?;
        for attack in &ATTACKS {
            let guarded = exec(world, &hostile, attack.script).await?;
            ensure!(
                !guarded.text.contains(WORKED),
                "{} works in a container of ours: {guarded:?}",
                attack.name
            );
            let unguarded = plain.run(attack.script, attack.unguarded()).await?;
            ensure!(unguarded.contains(WORKED), "{} works nowhere: {unguarded}", attack.name);
        }
        plain.scans_its_own_network().await?;
        // What this kernel cannot limit is said, not hidden.
        let status = alice.status(&hostile).await?;
        assert_eq!(status.limits_not_enforced, world_limits(world)?);

        neighbour.is_served(world, &alice, &around).await?;
        neighbour::offenders_are_named(world, &alice).await?;

        // Last: these take the guards away. The first container has filled its memory for good.
        let another = alice.run(&image, json!({})).await?;
        // None is launched into what is left of the firewall.
        let callers = [alice.run(&image, json!({})).await?, alice.run(&image, json!({})).await?];
        floods::network_is_slowed(world, &another).await?;
        around.check_unguarded()?;
        network::calls_are_limited(world, callers.each_ref()).await
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

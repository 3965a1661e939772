//! What would wake a process that is held still while its volume is copied, and has to wait; and who has not.

use std::time::Duration;

use anyhow::{Result, ensure};
use devnet::world::World;
use enclaved::checkpoint::Step;
use nostr::key::PublicKey;
use serde_json::{Value, json};
use units::Stopwatch;

use super::sealed;
use super::stores::is_paused;
use super::watch::Watch;
use crate::in_world::in_world;
use crate::netns::engine_name;
use crate::stranger::{LOOK_EVERY, Stranger, get, silent};

/// Long enough for an engine that is told to stop a process to let it go on.
const WOKEN_WITHIN: Duration = Duration::from_secs(3);

/// In a world with a container, its owner and its page, whose server waits at the next process that it holds for a copy.
async fn while_frozen(
    check: impl AsyncFnOnce(&World, &Watch, (Stranger, PublicKey, String)) -> Result<()>,
) -> Result<()> {
    let mut options = sealed(2)?;
    options.watch_steps = true;
    in_world(options, async |world| {
        let watch = Watch::start(world)?;
        let (owner, pubkey, url) = Stranger::keeper(world, 100).await?;
        get(&url).await?;
        watch.arm(Step::SnapshotFrozen);
        check(world, &watch, (owner, pubkey, url)).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn process_that_is_held_for_a_copy_is_not_woken_to_be_stopped() -> Result<()> {
    while_frozen(async |world, watch, (owner, pubkey, url)| {
        let name = engine_name(&pubkey);
        let mut held = watch.reached(Step::SnapshotFrozen).await?;
        // The wallet comes first.
        while !is_paused(world, &name).await? {
            watch.arm(Step::SnapshotFrozen);
            held.go_on().await?;
            held = watch.reached(Step::SnapshotFrozen).await?;
        }
        let looking = async {
            let took = Stopwatch::start();
            while took.elapsed() < WOKEN_WITHIN {
                ensure!(is_paused(world, &name).await?, "it was woken while its volume was copied");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            held.go_on().await
        };
        let (asked, looked) = tokio::join!(owner.call::<Value>("pause", json!({"pubkey": pubkey})), looking);
        looked?;
        assert_eq!(asked?["state"], "paused");
        silent(&url).await?;
        owner.call::<Value>("resume", json!({"pubkey": pubkey})).await?;
        get(&url).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_that_takes_long_keeps_no_neighbour_from_coming_and_going() -> Result<()> {
    while_frozen(async |world, watch, (owner, pubkey, url)| {
        // The wallet comes first.
        let held = watch.reached(Step::SnapshotFrozen).await?;
        assert!(!is_paused(world, &engine_name(&pubkey)).await?);
        assert_eq!(owner.call::<Value>("pause", json!({"pubkey": pubkey})).await?["state"], "paused");
        silent(&url).await?;
        owner.call::<Value>("resume", json!({"pubkey": pubkey})).await?;
        get(&url).await?;
        held.go_on().await
    })
    .await
}

//! The state follows the releases that maintainers signed, and nothing else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::world::{Build, SealingOptions, World};
use nostr::event::Kind;
use nostr::filter::Filter;
use protocol::event::tags_named;
use protocol::kinds::ANNOUNCEMENT;
use relay::dm::Mailbox;
use serde_json::json;
use units::{Clock, Stopwatch, SystemClock};

use super::{REFUSED_WAIT, sealed};
use crate::in_world::{calm, in_world};
use crate::stranger::{LOOK_EVERY, SOON, Stranger, get, put};

/// How long the next release must have been known.
const DELAY_SECS: u64 = 20;

/// The daemon of the build that is installed does not start; the code that it says.
async fn refused(world: &mut World, code: &str) -> Result<()> {
    world.spawn_daemon()?;
    let status = world.wait_for_end(REFUSED_WAIT).await?;
    let log = world.daemon_log()?;
    let last = log.lines().rfind(|line| line.contains("ERROR")).context("no error is said")?;
    ensure!(!status.success() && last.contains(&format!("{code}:")), "{code} is wanted: {last}");
    Ok(())
}

/// The tags of this name in the server's announcement, once there are so many.
async fn announced(world: &World, name: &str, count: usize) -> Result<Vec<Vec<String>>> {
    let (service, took) = (world.service()?, Stopwatch::start());
    loop {
        let event = world.newest(Filter::new().kind(ANNOUNCEMENT).author(service)).await?;
        let tags: Vec<_> = tags_named(&event, name).map(<[String]>::to_vec).collect();
        if tags.len() == count {
            world.instance().await?;
            return Ok(tags);
        }
        ensure!(took.elapsed() < SOON, "{count} `{name}` are wanted: {tags:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// An owner is told of the next build in a message.
async fn told_of(world: &World, owner: &Stranger, next: &Build) -> Result<()> {
    let wraps = Filter::new().kind(Kind::GiftWrap).pubkey(owner.keys.public_key());
    let wrap = world.newest(wraps).await?;
    let letter = Mailbox::new(owner.keys.clone()).open(&wrap)?;
    ensure!(letter.from == world.service()?, "{letter:?}");
    let (said, pcr0) = (&letter.text, next.pcrs[0].to_string());
    ensure!(said.starts_with("Version 0.2.0 may take") && said.contains(&pcr0), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_release_takes_over_and_no_other_build_does() -> Result<()> {
    in_world(sealed(2)?, async |world| {
        let (owner, pubkey, url) = Stranger::keeper(world, 100).await?;
        assert_eq!(put(&format!("{url}/note"), "kept").await?, 200);
        let (service, old) = (world.service()?, world.operator().build().clone());
        let next = Build::new("0.2.0");
        let signed = world.operator().releases(&next)?;
        world.stop_daemon().await?;

        world.install(next.clone()).await?;
        refused(world, "release_missing").await?;
        world.operator().lay_releases(&signed[..1])?;
        refused(world, "release_missing").await?;
        // Refused, it has changed nothing for the build that may.
        world.install(old.clone()).await?;
        world.operator().lay_releases(&world.operator().releases(&old)?)?;
        world.start_daemon().await?;
        assert_eq!(world.service()?, service);
        assert_eq!(announced(world, "lineage", 1).await?[0][4], old.version);
        world.stop_daemon().await?;

        world.install(next.clone()).await?;
        world.operator().lay_releases(&signed)?;
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        assert_eq!(world.service()?, service);
        owner.wait_for(&pubkey, "deployed").await?;
        assert_eq!(get(&format!("{url}/note")).await?, (200, "kept".to_owned()));
        let lineage = announced(world, "lineage", 2).await?;
        let versions: Vec<_> = lineage.iter().map(|tag| tag[4].as_str()).collect();
        assert_eq!(versions, [old.version.as_str(), "0.2.0"]);
        assert_eq!(lineage[1][1], next.pcrs[0].to_string());
        world.stop_daemon().await?;

        // Back to what was signed before: no.
        world.install(old.clone()).await?;
        world.operator().lay_releases(&world.operator().releases(&old)?)?;
        refused(world, "version_too_old").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn release_that_must_wait_is_announced_and_gets_nothing_before() -> Result<()> {
    let release = json!({"min_delay_secs": DELAY_SECS});
    let sealing = SealingOptions { interval_secs: 2, release, ..SealingOptions::default() };
    in_world(calm()?.sealed(sealing), async |world| {
        let service = world.service()?;
        let next = Build::new("0.2.0");
        let owner = Stranger::with(world, 100).await?;
        owner.run(&world.push_echo().await?, json!({})).await?;
        let (own, signed) = (world.operator().build().clone(), world.operator().releases(&next)?);
        let both = [world.operator().releases(&own)?, signed.clone()].concat();
        world.operator().lay_releases(&both)?;
        let laid = SystemClock.now();
        let told = announced(world, "upgrade", 1).await?.remove(0);
        let (version, pcr0) = (told[1].as_str(), told[2].as_str());
        assert_eq!((version, pcr0), ("0.2.0", next.pcrs[0].to_string().as_str()));
        let not_before: u64 = told[4].parse()?;
        ensure!(
            not_before >= laid.0 + DELAY_SECS && not_before <= SystemClock.now().0 + DELAY_SECS,
            "{told:?}"
        );
        told_of(world, &owner, &next).await?;
        world.stop_daemon().await?;
        world.operator().lay_releases(&signed)?;
        world.install(next).await?;
        refused(world, "delay_pending").await?;
        let left = Duration::from_secs((not_before + 1).saturating_sub(SystemClock.now().0));
        tokio::time::sleep(left).await;
        world.start_daemon().await?;
        assert_eq!(world.service()?, service);
        Ok(())
    })
    .await
}

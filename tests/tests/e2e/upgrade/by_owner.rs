//! Policy `owner`: the owner asks, and sees what came of it.

use anyhow::Result;
use devnet::world::World;
use nostr::event::Event;
use nostr::key::PublicKey;
use protocol::event::{CheckedEvent, tag_value, tags_named};
use protocol::nec::{VerifiedChain, VerifiedContainer};
use protocol::rpc::enclaved::UpgradeOutcome;
use serde_json::{Value, json};

use super::app::{App, check_runs, ended, running, started_at, upgrade, upgrades, verdict};
use super::volume::{Volumes, check_no_copies};
use crate::guest_api::{app_wallet, socket};
use crate::in_world::{calm, in_world};
use crate::stranger::{LOOK_EVERY, SOON, Stranger, get};

#[tokio::test(flavor = "multi_thread")]
async fn new_image_runs_on_the_old_data_or_the_old_image_does() -> Result<()> {
    let mut options = calm()?;
    options.watch_steps = true;
    in_world(options, async |world| {
        let volumes = Volumes::watch(world)?;
        let owner = Stranger::with(world, 100).await?;
        let first = App::good(world, "1")?.push(world).await?;
        let (pubkey, note) = running(world, &owner, &first, "owner").await?;
        let second = succeeds(world, &owner, &volumes, &pubkey, &first, &note).await?;
        for (bad, code, spoils) in [
            (App::crashing("3"), "process_exits", true),
            (App::hanging("4"), "unhealthy", true),
            (App::deaf("5"), "unhealthy", true),
            (App::good(world, "6")?.label("health", "8080/no-such-page"), "unhealthy", false),
        ] {
            let bad = bad.push(world).await?;
            goes_back(&owner, &volumes, &pubkey, (&bad, code, spoils)).await?;
            check_runs(&owner, &pubkey, &second, &note).await?;
            check_no_copies(world)?;
            check_images(world, 2).await?;
        }
        // It says so, and so does the certificate that its app shows.
        check_certified(world, &owner, &pubkey, &second).await?;
        let third = App::good(world, "7")?.label("health", "/note").push(world).await?;
        assert_eq!(verdict(&upgrade(&owner, &pubkey, &third).await?), (UpgradeOutcome::Done, None));
        check_runs(&owner, &pubkey, &third, &note).await
    })
    .await
}

async fn succeeds(
    world: &World,
    owner: &Stranger,
    volumes: &Volumes,
    pubkey: &PublicKey,
    first: &str,
    note: &str,
) -> Result<String> {
    check_certified(world, owner, pubkey, first).await?;
    let before = owner.status(pubkey).await?;
    let second = App::good(world, "2")?.push(world).await?;
    let given = socket(world, pubkey).wallet().await?;
    app_wallet(world, &given).await?;
    let record = upgrade(owner, pubkey, &second).await?;
    assert_eq!(verdict(&record), (UpgradeOutcome::Done, None));
    // What the image of before was given is not this one's.
    assert!(app_wallet(world, &given).await.is_err(), "the former image's connection still works");
    let next = socket(world, pubkey).wallet().await?;
    assert!(next.secret() != given.secret());
    app_wallet(world, &next).await?;
    assert!(record.ended_at >= Some(record.at) && record.version.is_none(), "{record:?}");
    check_runs(owner, pubkey, &second, note).await?;
    let after = owner.status(pubkey).await?;
    assert_ne!(after.info.manifest_sha256, before.info.manifest_sha256);
    // All but the image is what was agreed.
    let mut manifest = after.manifest;
    manifest.image.clone_from(&before.manifest.image);
    assert_eq!(manifest, before.manifest);
    assert_eq!((after.info.endpoints, after.exits), (before.info.endpoints, 0));
    check_certified(world, owner, pubkey, &second).await?;
    let steps = ["intended", "fetched", "saved", "switched", "started", "healthy"];
    assert_eq!(volumes.steps(pubkey), steps.map(|step| format!("upgrade.{step}")));
    let all = upgrades(owner, pubkey).await?;
    assert_eq!((all.image.as_str(), all.policy.as_str(), all.pinned), (second.as_str(), "owner", false));
    check_images(world, 2).await?;
    Ok(second)
}

/// Neither the image of before is kept nor one that was tried in vain: the wallet's is there, and the app's.
pub(super) async fn check_images(world: &World, count: usize) -> Result<()> {
    let took = units::Stopwatch::start();
    loop {
        let all = None::<bollard::query_parameters::ListImagesOptions>;
        let images = world.engine().client().list_images(all).await?;
        if images.len() == count {
            return Ok(());
        }
        anyhow::ensure!(took.elapsed() < SOON, "{count} images are needed: {images:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The new image does not become healthy.
async fn goes_back(
    owner: &Stranger,
    volumes: &Volumes,
    pubkey: &PublicKey,
    (bad, code, spoils): (&str, &str, bool),
) -> Result<()> {
    let record = upgrade(owner, pubkey, bad).await?;
    assert_eq!(verdict(&record), (UpgradeOutcome::RolledBack, Some(code)), "{record:?}");
    assert!(record.message.is_some_and(|message| message.len() > 20));
    volumes.check_restored(pubkey, spoils)?;
    let steps = volumes.steps(pubkey);
    assert!(steps.ends_with(&["upgrade.failed".into(), "upgrade.restored".into()]), "{steps:?}");
    Ok(())
}

/// The public event and the app's own chain name this image, and the policy is told.
async fn check_certified(world: &World, owner: &Stranger, pubkey: &PublicKey, image: &str) -> Result<()> {
    let took = units::Stopwatch::start();
    let (certified, policy) = loop {
        let event = world.container_event(pubkey).await?;
        let verified = VerifiedContainer::verify(&event, &world.policy()?)?;
        // It is told a moment after it happened.
        if verified.certified().image == image || took.elapsed() > SOON {
            break (verified.certified().clone(), tag_value(&event, "upgrade").map(ToOwned::to_owned));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let manifest = owner.status(pubkey).await?.info.manifest_sha256;
    assert_eq!((certified.image.as_str(), certified.manifest_sha256), (image, Some(manifest.clone())));
    assert_eq!(policy.as_deref(), Some("owner"));
    let (_, answer) = get(&format!("{}/sign?nonce=n", owner.url(pubkey).await?)).await?;
    let answer = CheckedEvent::check(serde_json::from_str::<Event>(&answer)?)?;
    let embedded = |name| -> Result<Vec<CheckedEvent>> {
        tags_named(&answer, name).map(|tag| Ok(CheckedEvent::parse(&tag[1])?)).collect()
    };
    let (root, chain) = (embedded("tee_root")?.remove(0), embedded("tee_cert")?);
    let chain = VerifiedChain::verify(&root, &chain, &answer.pubkey, &world.policy()?)?;
    let shown = chain.container().unwrap();
    assert_eq!((shown.image.as_str(), shown.manifest_sha256.as_ref()), (image, Some(&manifest)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_that_may_not_be_changes_nothing() -> Result<()> {
    in_world(calm()?, async |world| {
        let owner = Stranger::with(world, 100).await?;
        let first = App::good(world, "1")?.push(world).await?;
        let (pubkey, note) = running(world, &owner, &first, "owner").await?;
        let (fixed, _) = running(world, &owner, &first, "none").await?;
        let second = App::good(world, "2")?.push(world).await?;
        let started = started_at(world, &pubkey).await?;

        let ask = |pubkey: &PublicKey, image: &str| json!({"pubkey": pubkey, "docker": image});
        let stranger = Stranger::with(world, 0).await?;
        for method in ["upgrades", "pin", "unpin"] {
            assert_eq!(stranger.refused(method, json!({"pubkey": pubkey})).await, "not_owner");
        }
        assert_eq!(stranger.refused("upgrade", ask(&pubkey, &second)).await, "not_owner");
        assert_eq!(owner.refused("upgrade", ask(&fixed, &second)).await, "upgrade_forbidden");
        assert_eq!(owner.refused("upgrade", ask(&pubkey, &first)).await, "state_refused");
        assert_eq!(owner.refused("upgrade", ask(&pubkey, "UPPER")).await, "image_reference_invalid");
        let absent = world.registry().reference("app:none");
        assert_eq!(owner.refused("upgrade", ask(&pubkey, &absent)).await, "image_not_found");
        assert_eq!(owner.refused("upgrade", json!({"pubkey": pubkey})).await, "params_invalid");
        for label in ["8080", "http://x/", "0/x"] {
            let bad = App::good(world, label)?.label("health", label).push(world).await?;
            assert_eq!(owner.refused("upgrade", ask(&pubkey, &bad)).await, "labels_invalid");
        }
        owner.call::<Value>("pin", json!({"pubkey": pubkey})).await?;
        assert_eq!(owner.refused("upgrade", ask(&pubkey, &second)).await, "pinned");
        owner.call::<Value>("unpin", json!({"pubkey": pubkey})).await?;
        owner.call::<Value>("pause", json!({"pubkey": pubkey})).await?;
        assert_eq!(owner.refused("upgrade", ask(&pubkey, &second)).await, "state_refused");
        owner.call::<Value>("resume", json!({"pubkey": pubkey})).await?;
        let resumed = started_at(world, &pubkey).await?;
        assert_ne!(started, resumed);

        // One at a time.
        let deaf = App::deaf("3").push(world).await?;
        owner.call::<Value>("upgrade", ask(&pubkey, &deaf)).await?;
        let second_one = owner.refused("upgrade", ask(&pubkey, &second)).await;
        assert!(matches!(second_one.as_str(), "upgrade_open" | "state_refused"), "{second_one}");
        assert_eq!(
            verdict(&ended(&owner, &pubkey, &deaf).await?),
            (UpgradeOutcome::RolledBack, Some("unhealthy"))
        );
        check_runs(&owner, &pubkey, &first, &note).await?;
        let all = upgrades(&owner, &pubkey).await?.upgrades;
        assert_eq!(all.len(), 1, "what was refused at once is no decision: {all:?}");
        Ok(())
    })
    .await
}

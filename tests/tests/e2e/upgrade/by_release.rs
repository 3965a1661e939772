//! Policy `signed`: releases on the relays that the running image names, and nothing else.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use devnet::image_build::Content;
use devnet::world::World;
use nostr::key::{Keys, PublicKey};
use protocol::event::{CheckedEvent, tag_value};
use protocol::nec::Env;
use protocol::nec::image_release::{ReleaseDigest, ReleaseTerms, release_draft, signature_draft};
use protocol::rpc::enclaved::{HISTORY_MAX, History, UpgradeOutcome};
use serde_json::{Value, json};
use units::{Clock, SystemClock};

use super::app::{App, check_runs, ended, running, started_at, upgrades, verdict};
use super::volume::{Volumes, at_rest, check_no_copies};
use crate::in_world::{calm, in_world};
use crate::stranger::{LOOK_EVERY, SOON, Stranger};

const REPO: &str = "https://example.com/app";

/// The people who sign the app's releases.
struct Signers(Vec<Keys>);

impl Signers {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| Keys::generate()).collect())
    }

    /// What their images say of themselves.
    fn labels(&self, world: &World, version: &str) -> BTreeMap<String, String> {
        let keys: Vec<_> = self.0.iter().map(|keys| keys.public_key().to_hex()).collect();
        let pairs = [
            ("repo", REPO.to_owned()),
            ("version", version.to_owned()),
            ("signers", keys.join(",")),
            ("signer_relays", world.relay_url()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Releases an image, signed by all but so many of them, published by the first.
    async fn release(
        &self,
        world: &World,
        image: &str,
        version: &str,
        missing: usize,
    ) -> Result<CheckedEvent> {
        self.release_at(world, image, image, version, missing).await
    }

    /// The same, with a place of the publisher's choice: no signature covers that.
    async fn release_at(
        &self,
        world: &World,
        image: &str,
        place: &str,
        version: &str,
        missing: usize,
    ) -> Result<CheckedEvent> {
        let (_, digest) = image.split_once('@').context("a digest")?;
        let terms = ReleaseTerms {
            repo: REPO.to_owned(),
            version: version.parse()?,
            digest: ReleaseDigest::read(digest)?,
            env: Env::Dev,
        };
        let now = SystemClock.now();
        let signed = self.0.iter().skip(missing).map(|keys| signature_draft(&terms, now).sign(keys));
        let signed = signed.collect::<Result<Vec<_>, _>>()?;
        let release = release_draft(&terms, place, &signed, None, now)?.sign(&self.0[0])?;
        assert!(world.pool().await?.publish(&release).await.is_published());
        Ok(release)
    }
}

/// A container under the policy `signed`, and what is released for it.
struct Scene<'w> {
    world: &'w World,
    owner: &'w Stranger,
    signers: &'w Signers,
    pubkey: PublicKey,
    /// What runs, and what it must remember.
    image: String,
    note: String,
}

impl Scene<'_> {
    async fn push(&self, app: App, label: &str) -> Result<String> {
        app.labels(&self.signers.labels(self.world, label)).push(self.world).await
    }

    /// Releases an image whose label is `label` as `version`, and checks that it is not begun: the process
    /// that runs is the same one.
    async fn refused(&self, app: App, label: &str, version: &str, missing: usize, code: &str) -> Result<()> {
        check_runs(self.owner, &self.pubkey, &self.image, &self.note).await?;
        let before = (started_at(self.world, &self.pubkey).await?, at_rest(self.world, &self.pubkey)?);
        let image = self.push(app, label).await?;
        let release = self.signers.release(self.world, &image, version, missing).await?;
        let record = ended(self.owner, &self.pubkey, &image).await?;
        assert_eq!(verdict(&record), (UpgradeOutcome::Refused, Some(code)), "{record:?}");
        assert_eq!((record.release, record.version.as_deref()), (Some(release.id.to_hex()), Some(version)));
        check_runs(self.owner, &self.pubkey, &self.image, &self.note).await?;
        let after = (started_at(self.world, &self.pubkey).await?, at_rest(self.world, &self.pubkey)?);
        assert_eq!(after.0, before.0, "it was stopped for {version}");
        assert!(after.1 == before.1, "its volume was touched for {version}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn container_follows_its_signers_and_nobody_else() -> Result<()> {
    let mut options = calm()?;
    options.watch_steps = true;
    in_world(options, async |world| {
        let volumes = Volumes::watch(world)?;
        let owner = Stranger::with(world, 200).await?;
        let signers = Signers::new(2);
        unlabelled_image_is_not_launched(world, &owner).await?;
        let first = App::good(world, "1")?.labels(&signers.labels(world, "1.0.0")).push(world).await?;
        let (pubkey, note) = running(world, &owner, &first, "auto").await?;
        let mut scene = Scene { world, owner: &owner, signers: &signers, pubkey, image: first, note };
        let status = owner.status(&pubkey).await?;
        assert_eq!(serde_json::to_value(&status.manifest)?["upgrade"], "signed");
        let event = world.container_event(&pubkey).await?;
        assert_eq!(tag_value(&event, "upgrade"), Some("signed"));
        refused_releases(&scene).await?;
        letting_go_settles(&scene).await?;
        crashing_release(&scene, &volumes).await?;
        bad_event_of_a_good_image(&mut scene).await?;
        pinned_container_stays(&mut scene).await?;
        signers_hand_over(&mut scene).await?;
        check_history(&scene).await?;
        check_no_copies(world)
    })
    .await
}

async fn unlabelled_image_is_not_launched(world: &World, owner: &Stranger) -> Result<()> {
    let bare = App::good(world, "bare")?.push(world).await?;
    for method in ["quote", "launch"] {
        for policy in ["signed", "auto"] {
            let params = json!({"docker": bare, "units": 1, "upgrade": policy});
            assert_eq!(owner.refused(method, params).await, "labels_invalid");
        }
    }
    Ok(())
}

async fn refused_releases(scene: &Scene<'_>) -> Result<()> {
    let (world, owner) = (scene.world, scene.owner);
    let mine = json!({"pubkey": scene.pubkey, "docker": scene.image});
    assert_eq!(owner.refused("upgrade", mine).await, "upgrade_forbidden");
    let good = |seed: &str| App::good(world, seed);
    scene.refused(good("a")?, "1.1.0", "1.1.0", 1, "release_missing").await?;
    scene.refused(good("b")?, "1.1.9", "1.2.0", 0, "image_mismatch").await?;
    scene.refused(good("c")?, "0.9.0", "0.9.0", 0, "version_too_old").await?;
    let large = good("d")?.file(Content::Noise { bytes: 50_000_001 });
    scene.refused(large, "1.3.0", "1.3.0", 0, "image_too_large").await?;
    let packed = good("e")?.file(Content::Zeros { bytes: 50_000_001 });
    scene.refused(packed, "1.4.0", "1.4.0", 0, "image_unpacks_too_large").await?;
    // Another repository's label under this one's release.
    let other =
        good("f")?.labels(&scene.signers.labels(world, "1.5.0")).label("repo", "https://example.com/b");
    let other = other.push(world).await?;
    scene.signers.release(world, &other, "1.5.0", 0).await?;
    let record = ended(owner, &scene.pubkey, &other).await?;
    assert_eq!(verdict(&record), (UpgradeOutcome::Refused, Some("image_mismatch")));
    // Two images under one version: neither, whichever came first. The first must not be taken before
    // the second is there.
    owner.call::<Value>("pin", json!({"pubkey": scene.pubkey})).await?;
    let twins = [scene.push(good("g")?, "1.6.0").await?, scene.push(good("h")?, "1.6.0").await?];
    for twin in &twins {
        scene.signers.release(world, twin, "1.6.0", 0).await?;
    }
    owner.call::<Value>("unpin", json!({"pubkey": scene.pubkey})).await?;
    for twin in &twins {
        let record = ended(owner, &scene.pubkey, twin).await?;
        assert_eq!(verdict(&record), (UpgradeOutcome::Refused, Some("version_ambiguous")), "{record:?}");
    }
    check_runs(owner, &scene.pubkey, &scene.image, &scene.note).await
}

/// What was refused is looked at once more when its owner lets go of what was not held, and nothing comes of it.
async fn letting_go_settles(scene: &Scene<'_>) -> Result<()> {
    let (owner, pubkey) = (scene.owner, scene.pubkey);
    let count = async || -> Result<(usize, usize)> {
        let history: History = owner.call("events", json!({"pubkey": pubkey, "limit": HISTORY_MAX})).await?;
        let refused = history.events.iter().filter(|event| event.code == "release_refused").count();
        // One that is under way takes the place of its row of before when it ends.
        let decided = upgrades(owner, &pubkey).await?.upgrades;
        let decided = decided.iter().filter(|record| record.outcome != UpgradeOutcome::Open).count();
        Ok((refused, decided))
    };
    let (refused, decided) = count().await?;
    for again in 1..=2 {
        owner.call::<Value>("unpin", json!({"pubkey": pubkey})).await?;
        // Something new is looked at after all that is known.
        let version = format!("1.6.{again}");
        let seed = App::good(scene.world, &version)?;
        scene.refused(seed, &version, &version, 1, "release_missing").await?;
        // One that unpacks too large is fetched once more before it is refused as before.
        let took = units::Stopwatch::start();
        while count().await? != (refused + again, decided + again) {
            anyhow::ensure!(
                took.elapsed() < SOON,
                "round {again}: {:?} of {refused}, {decided}",
                count().await?
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

/// Who publishes a release names where the image lies, and may lie about that: the server asks nobody there,
/// and an honest release of the same image is taken.
async fn bad_event_of_a_good_image(scene: &mut Scene<'_>) -> Result<()> {
    let (world, owner) = (scene.world, scene.owner);
    let image = scene.push(App::good(world, "1.8")?, "1.8.0").await?;
    let elsewhere = image.replacen("/app@", "/theirs@", 1);
    assert_ne!(elsewhere, image);
    let bad = scene.signers.release_at(world, &image, &elsewhere, "1.8.0", 0).await?;
    let record = ended(owner, &scene.pubkey, &elsewhere).await?;
    assert_eq!(verdict(&record), (UpgradeOutcome::Refused, Some("image_elsewhere")), "{record:?}");
    assert_eq!(record.release, Some(bad.id.to_hex()));
    check_runs(owner, &scene.pubkey, &scene.image, &scene.note).await?;
    scene.signers.release(world, &image, "1.8.0", 0).await?;
    assert_eq!(verdict(&ended(owner, &scene.pubkey, &image).await?), (UpgradeOutcome::Done, None));
    check_runs(owner, &scene.pubkey, &image, &scene.note).await?;
    scene.image = image;
    Ok(())
}

/// A release that crashes is rolled back once, and not tried again.
async fn crashing_release(scene: &Scene<'_>, volumes: &Volumes) -> Result<()> {
    let image = scene.push(App::crashing("1.7.0"), "1.7.0").await?;
    scene.signers.release(scene.world, &image, "1.7.0", 0).await?;
    let record = ended(scene.owner, &scene.pubkey, &image).await?;
    assert_eq!(verdict(&record), (UpgradeOutcome::RolledBack, Some("process_exits")), "{record:?}");
    volumes.check_restored(&scene.pubkey, true)?;
    check_runs(scene.owner, &scene.pubkey, &scene.image, &scene.note).await
}

/// Two containers run one image; one of them is pinned.
async fn pinned_container_stays(scene: &mut Scene<'_>) -> Result<()> {
    let (world, owner, image) = (scene.world, scene.owner, scene.image.clone());
    let pinned = owner.call::<Value>("pin", json!({"pubkey": scene.pubkey})).await?;
    assert_eq!((&pinned["pinned"], &pinned["policy"]), (&json!(true), &json!("signed")));
    let (free, note) = running(world, owner, &image, "signed").await?;
    let tries = upgrades(owner, &scene.pubkey).await?.upgrades.len();
    let started = started_at(world, &scene.pubkey).await?;
    let second = scene.push(App::good(world, "2")?, "2.0.0").await?;
    scene.signers.release(world, &second, "2.0.0", 0).await?;
    assert_eq!(ended(owner, &free, &second).await?.outcome, UpgradeOutcome::Done);
    check_runs(owner, &free, &second, &note).await?;
    owner.call::<Value>("terminate", json!({"pubkey": free})).await?;
    assert_eq!(started_at(world, &scene.pubkey).await?, started);
    assert_eq!(upgrades(owner, &scene.pubkey).await?.upgrades.len(), tries);
    check_runs(owner, &scene.pubkey, &image, &scene.note).await?;

    let unpinned = owner.call::<Value>("unpin", json!({"pubkey": scene.pubkey})).await?;
    assert_eq!(unpinned["pinned"], json!(false));
    let record = ended(owner, &scene.pubkey, &second).await?;
    assert_eq!(verdict(&record), (UpgradeOutcome::Done, None));
    assert_eq!(record.version.as_deref(), Some("2.0.0"));
    check_runs(owner, &scene.pubkey, &second, &scene.note).await?;
    scene.image = second;
    Ok(())
}

/// An image names who signs the one after it, and the signers of the one before it have no say any more.
async fn signers_hand_over(scene: &mut Scene<'_>) -> Result<()> {
    let (world, owner) = (scene.world, scene.owner);
    let heirs = Signers::new(1);
    let third = App::good(world, "3")?.labels(&heirs.labels(world, "3.0.0")).push(world).await?;
    scene.signers.release(world, &third, "3.0.0", 0).await?;
    assert_eq!(ended(owner, &scene.pubkey, &third).await?.outcome, UpgradeOutcome::Done);
    // The old signers release a higher version than the heirs do.
    let usurped = App::good(world, "9")?.labels(&heirs.labels(world, "9.0.0")).push(world).await?;
    scene.signers.release(world, &usurped, "9.0.0", 0).await?;
    let fourth = App::good(world, "4")?.labels(&heirs.labels(world, "4.0.0")).push(world).await?;
    heirs.release(world, &fourth, "4.0.0", 0).await?;
    let record = ended(owner, &scene.pubkey, &fourth).await?;
    assert_eq!((record.outcome, record.version.as_deref()), (UpgradeOutcome::Done, Some("4.0.0")));
    check_runs(owner, &scene.pubkey, &fourth, &scene.note).await?;
    let all = upgrades(owner, &scene.pubkey).await?.upgrades;
    assert!(all.iter().all(|record| record.image != usurped), "{all:?}");
    scene.image = fourth;
    Ok(())
}

/// Each decision is in the container's history, too.
async fn check_history(scene: &Scene<'_>) -> Result<()> {
    let params = json!({"pubkey": scene.pubkey, "limit": HISTORY_MAX});
    let history: History = scene.owner.call("events", params).await?;
    let count = |code: &str| history.events.iter().filter(|event| event.code == code).count();
    assert_eq!((count("upgraded"), count("upgrade_rolled_back")), (4, 1), "{history:?}");
    assert!(count("release_refused") >= 7 && count("pinned") == 2 && count("unpinned") == 2, "{history:?}");
    let told = |part: &str| history.events.iter().any(|event| event.message.contains(part));
    assert!(told("release_missing") && told("version_too_old") && told("process_exits"), "{history:?}");
    Ok(())
}

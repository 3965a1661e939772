//! The app that is upgraded, and what its images can be like.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use devnet::image_build::{Content, ImageSpec};
use devnet::world::World;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::{UpgradeOutcome, UpgradeRecord, Upgrades};
use serde_json::json;
use units::Stopwatch;

use crate::stranger::{LOOK_EVERY, SOON, Stranger, get, put};

/// What the owner keeps on the volume: as long as the app takes.
pub(crate) const NOTE_BYTES: usize = 4_000;

/// An image of the app.
#[derive(Clone, Debug)]
pub(crate) struct App {
    spec: ImageSpec,
}

impl App {
    /// One that works: the smallest guest, in a version of its own.
    pub(crate) fn good(world: &World, version: &str) -> Result<Self> {
        let spec =
            ImageSpec::default().program("/echo", world.options().program("echo")?).entrypoint(&["/echo"]);
        Ok(Self { spec: spec.file("/version", Content::Bytes(version.as_bytes().to_vec()), 0o644) })
    }

    /// One that spoils what lies on the volume, and then does this.
    pub(crate) fn spoiling(version: &str, then: &str) -> Self {
        let spoil =
            "head -c 3000000 /dev/zero > /data/rubbish; echo spoilt > /data/note; rm -f /data/kept; sync;";
        Self { spec: World::busybox(&format!("{spoil} {then}"), version) }
    }

    /// One that ends as soon as it has begun.
    pub(crate) fn crashing(version: &str) -> Self {
        Self::spoiling(version, "exit 1")
    }

    /// One that stays, and listens on nothing.
    pub(crate) fn deaf(version: &str) -> Self {
        Self::spoiling(version, "sleep 1000000 & wait")
    }

    /// One that accepts connections and never answers, and says that it has a page of health.
    pub(crate) fn hanging(version: &str) -> Self {
        Self::spoiling(version, "nc -ll -p 8080 -e sleep 1000000").label("health", "8080/healthz")
    }

    pub(crate) fn label(mut self, name: &str, value: &str) -> Self {
        self.spec.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn labels(mut self, labels: &BTreeMap<String, String>) -> Self {
        self.spec.labels.extend(labels.clone());
        self
    }

    /// With a file of its own.
    pub(crate) fn file(self, content: Content) -> Self {
        Self { spec: self.spec.file("/more", content, 0o644) }
    }

    /// Pushes it; returns `registry/app@sha256:…`.
    pub(crate) async fn push(&self, world: &World) -> Result<String> {
        // A tag of its own for each, so that all of them stay.
        let count = world.dir().join("images").read_dir().map(Iterator::count).unwrap_or_default();
        world.push_tagged(&self.spec, "app", &format!("t{count}")).await
    }
}

/// Launches the app under this policy, and has it remember a text; returns the text.
pub(crate) async fn running(
    world: &World,
    owner: &Stranger,
    image: &str,
    policy: &str,
) -> Result<(PublicKey, String)> {
    let extra = json!({"ports": [8080], "volumes": ["/data"], "upgrade": policy});
    let pubkey = owner.run(image, extra).await?;
    let text = "0123456789abcdef".repeat(NOTE_BYTES / 16);
    let note = format!("{}/note", owner.url(&pubkey).await?);
    get(&note).await?;
    ensure!(put(&note, &text).await? == 200);
    ensure!(world.state_dir().join("volumes").join(format!("{pubkey}.img")).is_file());
    Ok((pubkey, text))
}

/// It runs this image, answers, and remembers.
pub(crate) async fn check_runs(owner: &Stranger, pubkey: &PublicKey, image: &str, note: &str) -> Result<()> {
    let status = owner.wait_for(pubkey, "deployed").await?;
    ensure!(status.info.image == image && status.manifest.image == image, "{status:?} is not {image}");
    ensure!(status.manifest.sha256()? == status.info.manifest_sha256, "{status:?}");
    let (code, text) = get(&format!("{}/note", owner.url(pubkey).await?)).await?;
    ensure!((code, text.as_str()) == (200, note), "it answers {code} with {} bytes", text.len());
    Ok(())
}

pub(crate) async fn upgrades(owner: &Stranger, pubkey: &PublicKey) -> Result<Upgrades> {
    Ok(owner.call("upgrades", json!({"pubkey": pubkey})).await?)
}

/// Waits until the newest decision about this image is made, and returns it.
pub(crate) async fn ended(owner: &Stranger, pubkey: &PublicKey, image: &str) -> Result<UpgradeRecord> {
    let took = Stopwatch::start();
    loop {
        // A server that is down for a moment is asked again.
        let all = upgrades(owner, pubkey).await;
        let newest =
            all.as_ref().ok().and_then(|all| all.upgrades.iter().find(|record| record.image == image));
        match newest {
            Some(record) if record.outcome != UpgradeOutcome::Open => return Ok(record.clone()),
            _ if took.elapsed() > SOON => bail!("{image} is not decided within {SOON:?}: {all:?}"),
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Has the owner ask for the image, and waits for the end of it.
pub(crate) async fn upgrade(owner: &Stranger, pubkey: &PublicKey, image: &str) -> Result<UpgradeRecord> {
    owner.call::<serde_json::Value>("upgrade", json!({"pubkey": pubkey, "docker": image})).await?;
    ended(owner, pubkey, image).await
}

/// Outcome and code.
pub(crate) fn verdict(record: &UpgradeRecord) -> (UpgradeOutcome, Option<&str>) {
    (record.outcome, record.code.as_deref())
}

/// When the process that runs now was started, as the engine says.
pub(crate) async fn started_at(world: &World, pubkey: &PublicKey) -> Result<String> {
    let name = format!("encl-{}", &pubkey.to_hex()[..24]);
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    let inspected = world.engine().client().inspect_container(&name, options).await?;
    let state = inspected.state.context("a state")?;
    state.started_at.context("a start")
}

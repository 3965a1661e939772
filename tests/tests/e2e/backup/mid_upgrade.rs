//! Snapshots that are made while a container's image is being upgraded: what comes back is the old image or
//! the new one, on the bytes that belong to it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::world::World;
use enclaved::checkpoint::Step;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::UpgradeOutcome;
use serde_json::{Value, json};
use units::Stopwatch;

use super::sealed;
use super::watch::Watch;
use crate::in_world::in_world;
use crate::stranger::{LOOK_EVERY, SOON, Stranger, get, put};
use crate::upgrade::app::{App, NOTE_BYTES, check_runs, ended};

/// Long enough for an upgrade that nothing keeps back to spoil the volume.
const SPOILT_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_in_the_middle_of_an_upgrade_brings_back_the_right_bytes() -> Result<()> {
    let mut options = sealed(2)?;
    options.watch_steps = true;
    in_world(options, async |world| {
        let watch = Watch::start(world)?;
        let owner = Stranger::with(world, 100).await?;
        let first = App::good(world, "0")?.push(world).await?;
        let extra = json!({"ports": [8080], "volumes": ["/data"], "upgrade": "owner"});
        let pubkey = owner.run(&first, extra).await?;
        let note = "0123456789abcdef".repeat(NOTE_BYTES / 16);
        let url = format!("{}/note", owner.url(&pubkey).await?);
        get(&url).await?;
        ensure!(put(&url, &note).await? == 200);
        let scene = Scene { watch: &watch, owner: &owner, pubkey, note: &note };
        scene.restored_on_trial(world, &first).await.context("on trial")?;
        scene.moved_while_copied(world, &first).await.context("while it is copied")
    })
    .await
}

struct Scene<'s> {
    watch: &'s Watch,
    owner: &'s Stranger,
    pubkey: PublicKey,
    note: &'s str,
}

impl Scene<'_> {
    /// The new image has spoilt the volume when the snapshot is made; restored, it is tried again, and goes
    /// back to the bytes of before.
    async fn restored_on_trial(&self, world: &mut World, first: &str) -> Result<()> {
        let bad = App::hanging("1").push(world).await?;
        self.watch.arm(Step::UpgradeStarted);
        self.ask(&bad).await?;
        let held = self.watch.reached(Step::UpgradeStarted).await?;
        let took = Stopwatch::start();
        while !self.is_spoilt(world) {
            ensure!(took.elapsed() < SOON, "the trial changed nothing: this proves nothing");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let saved = std::fs::read(self.saved(world)?)?;
        self.watch.wait_newest(self.watch.newest() + 2).await?;
        world.lose_enclave().await?;
        drop(held);
        self.watch.arm(Step::UpgradeRestored);
        world.start_daemon().await?;
        let restored = self.watch.reached(Step::UpgradeRestored).await?;
        let volume = std::fs::read(self.volumes(world).join(format!("{}.img", self.pubkey)))?;
        ensure!(volume == saved, "the volume is not what it was before the upgrade");
        restored.go_on().await?;
        world.wait_for_wallet().await?;
        let record = ended(self.owner, &self.pubkey, &bad).await?;
        ensure!(record.outcome == UpgradeOutcome::RolledBack, "{record:?}");
        check_runs(self.owner, &self.pubkey, first, self.note).await
    }

    /// The databases are copied, the volumes are not, and the upgrade would go on.
    async fn moved_while_copied(&self, world: &mut World, first: &str) -> Result<()> {
        let bad = App::hanging("2").push(world).await?;
        self.watch.arm(Step::SnapshotDatabases);
        let copying = self.watch.reached(Step::SnapshotDatabases).await?;
        let generation: u64 = copying.subject.parse()?;
        self.ask(&bad).await?;
        let took = Stopwatch::start();
        while took.elapsed() < SPOILT_WITHIN {
            ensure!(!self.is_spoilt(world), "the new image ran while the old one's volume was copied");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.watch.arm(Step::SnapshotAcknowledged);
        copying.go_on().await?;
        // It is lost with this very snapshot as the newest.
        let acknowledged = self.watch.reached(Step::SnapshotAcknowledged).await?;
        ensure!(acknowledged.subject == generation.to_string(), "{acknowledged:?}");
        world.lose_enclave().await?;
        drop(acknowledged);
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        let restored = self.watch.take_restored().map(|(restored, _)| restored);
        ensure!(restored == Some(generation), "{restored:?} was restored, not {generation}");
        check_runs(self.owner, &self.pubkey, first, self.note).await
    }

    async fn ask(&self, image: &str) -> Result<()> {
        let params = json!({"pubkey": self.pubkey, "docker": image});
        self.owner.call::<Value>("upgrade", params).await?;
        Ok(())
    }

    fn volumes(&self, world: &World) -> PathBuf {
        world.state_dir().join("data/volumes")
    }

    /// What the container sees, looked at from the machine.
    fn is_spoilt(&self, world: &World) -> bool {
        let init = PathBuf::from(format!("/proc/{}/root", world.enclave().init_pid()));
        let note = self.volumes(world).join(self.pubkey.to_hex()).join("0/note");
        let seen = note.strip_prefix("/").map(|inside| init.join(inside));
        seen.ok().and_then(|path| std::fs::read(path).ok()).is_some_and(|text| text.starts_with(b"spoilt"))
    }

    fn saved(&self, world: &World) -> Result<PathBuf> {
        let entries = self.volumes(world).read_dir()?.map(|entry| entry.map(|entry| entry.path()));
        let mut saved =
            entries.filter_map(Result::ok).filter(|path| path.extension().is_some_and(|it| it == "saved"));
        saved.next().context("there is no copy of the volume")
    }
}

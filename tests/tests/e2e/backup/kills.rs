//! Kill -9 of the daemon at every step of snapshots and restores, its disk wiped each time.
//!
//! The order is drawn from a seed that is printed; `ENCLAVED_CRASH_SEED` repeats a run.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::world::World;
use enclaved::checkpoint::Step;
use nostr::key::PublicKey;
use protocol::nwc::GetBalance;
use serde_json::json;
use units::{Msat, Stopwatch};

use super::sealed;
use super::watch::Watch;
use crate::crash::{Random, seed};
use crate::in_world::in_world;
use crate::stranger::{SOON, Stranger, get, put};

/// Kills in a run.
const KILLS: usize = 20;
const INTERVAL_SECS: u64 = 2;
/// Looking at clocks of whole seconds, and at a loop that looks every so often.
const SLACK: Duration = Duration::from_secs(3);

/// One container, its owner, and what was written into it.
struct Writer {
    owner: Stranger,
    pubkey: PublicKey,
    url: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_snapshot_is_restored_byte_for_byte() -> Result<()> {
    let seed = seed()?;
    println!("ENCLAVED_CRASH_SEED={seed}");
    let mut options = sealed(INTERVAL_SECS)?;
    options.watch_steps = true;
    in_world(options, async |world| {
        let watch = Watch::start(world)?;
        let image = world.push_echo().await?;
        let mut writers = Vec::new();
        for _ in 0..2 {
            let owner = Stranger::with(world, 1_000).await?;
            let pubkey = owner.run(&image, json!({"ports": [8080], "volumes": ["/data"]})).await?;
            owner.wait_settled(&pubkey).await?;
            let url = owner.url(&pubkey).await?;
            writers.push(Writer { owner, pubkey, url });
        }
        let service = world.service()?;
        let mut note = 0;
        for (number, step) in plan(seed).into_iter().enumerate() {
            println!("{number}: killed at {}", step.name());
            let mut scene = Scene { world: &mut *world, watch: &watch, writers: &writers, note: &mut note };
            scene
                .play(step)
                .await
                .with_context(|| format!("seed {seed}, kill {number} at {}", step.name()))?;
            assert_eq!(world.service()?, service, "another identity");
        }
        for step in Step::SNAPSHOT.iter().chain(Step::RESTORE) {
            ensure!(watch.killed_at(*step) > 0, "no kill ever happened at {}", step.name());
        }
        Ok(())
    })
    .await
}

/// Every step once, the one that may race twice, and some again, up to the number of kills; in an order that
/// the seed draws.
fn plan(seed: u64) -> Vec<Step> {
    let mut random = Random(seed);
    let mut steps: Vec<Step> = Step::SNAPSHOT.iter().chain(Step::RESTORE).copied().collect();
    let mut again: Vec<Step> = steps.iter().copied().filter(|step| *step != Step::SnapshotPending).collect();
    random.shuffle(&mut again);
    steps.push(Step::SnapshotPending);
    steps.extend(again);
    steps.truncate(KILLS);
    random.shuffle(&mut steps);
    steps
}

struct Scene<'s> {
    world: &'s mut World,
    watch: &'s Watch,
    writers: &'s [Writer],
    note: &'s mut u64,
}

impl Scene<'_> {
    async fn play(&mut self, step: Step) -> Result<()> {
        self.write().await?;
        // A snapshot that holds what was written is there before anything is lost.
        let newest = self.watch.newest();
        self.watch.wait_newest(newest + 2).await?;
        self.write().await?;
        let mut racing = false;
        let lost = if Step::RESTORE.contains(&step) {
            let lost = Stopwatch::start();
            self.world.lose_enclave().await?;
            self.watch.arm(step);
            self.world.spawn_daemon()?;
            drop(self.watch.reached(step).await?);
            self.world.kill_daemon().await?;
            // Half of the time the half-restored disk is still there.
            if self.note.is_multiple_of(2) {
                self.world.wipe_disk().await?;
            }
            lost
        } else {
            self.watch.arm(step);
            let reached = self.watch.reached(step).await?;
            // Before the key stores are asked the second time: while they are asked.
            racing = step == Step::SnapshotPending && self.watch.killed_at(step) > 1;
            if racing {
                reached.go_on().await?;
            }
            let lost = Stopwatch::start();
            self.world.lose_enclave().await?;
            lost
        };
        let (lost_note, counted) = (*self.note, self.watch.newest());
        self.world.start_daemon().await?;
        self.world.wait_for_wallet().await?;
        self.compare(counted, racing, lost, lost_note).await
    }

    /// Writes a new note into each container, and pays something.
    async fn write(&mut self) -> Result<()> {
        *self.note += 1;
        for writer in self.writers {
            writer.owner.wait_for(&writer.pubkey, "deployed").await?;
            get(&writer.url).await?;
            ensure!(put(&format!("{}/note", writer.url), &self.note.to_string()).await? == 200);
        }
        self.watch.wrote(*self.note);
        Ok(())
    }

    /// What came back is a snapshot that counts, and the newest.
    async fn compare(&self, counted: u64, racing: bool, lost: Stopwatch, lost_note: u64) -> Result<()> {
        let (generation, files) = self.watch.take_restored().context("nothing was restored")?;
        let seen = self.watch.seen(generation).context("a generation that nobody made")?;
        // A head that was on its way may have arrived, and nobody heard.
        let is_newest = generation == counted || (racing && generation == counted + 1);
        ensure!(is_newest, "generation {generation} was restored, and {counted} is the newest");
        let made = seen.files.last().context("it was never copied")?;
        ensure!(*made == files, "generation {generation} came back otherwise: {made:?} {files:?}");
        // Three databases, the wallet, and each writer.
        ensure!(files.len() == 3 + 1 + self.writers.len(), "{files:?}");
        for writer in self.writers {
            writer.owner.wait_for(&writer.pubkey, "deployed").await?;
            let (status, note) = get(&format!("{}/note", writer.url)).await?;
            let note: u64 = note.trim().parse().with_context(|| format!("note {note:?}"))?;
            ensure!(status == 200 && note >= seen.notes && note <= lost_note, "note {note} of {seen:?}");
            let balance = writer.owner.wallet.call(&writer.owner.keys, &GetBalance {}, SOON).await?.balance;
            ensure!(balance == Msat::from_sats(995)?, "balance {balance}");
        }
        let log = self.world.daemon_log()?;
        let said =
            log.lines().find(|line| line.contains("restored; what happened since")).context("not said")?;
        let lost_secs = said.split_once("lost_secs=").and_then(|(_, rest)| rest.split(' ').next());
        let lost_secs: u64 = lost_secs.context("how much is lost is not said")?.parse()?;
        // What is said counts the time in which nothing ran, too.
        let most = Duration::from_secs(INTERVAL_SECS) + seen.took + lost.elapsed() + SLACK;
        ensure!(Duration::from_secs(lost_secs) <= most, "{lost_secs} s are lost, more than {most:?}");
        Ok(())
    }
}

#[test]
fn plan_is_the_same_for_a_seed_and_covers_every_step() {
    let names = |seed| plan(seed).into_iter().map(Step::name).collect::<Vec<_>>();
    assert_eq!(names(7), names(7));
    assert_ne!(names(7), names(8));
    assert_eq!(names(7).len(), KILLS);
    for step in Step::SNAPSHOT.iter().chain(Step::RESTORE) {
        assert!(names(7).contains(&step.name()));
    }
}

//! Kill -9 of the daemon at every step of an upgrade: it is carried on or undone, and the data is the
//! right one's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::world::{StepWatch, World};
use enclaved::checkpoint::Step;
use lifecycle::upgrade::TRIES_MAX;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::UpgradeOutcome;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::app::{App, check_runs, ended, running};
use super::volume::check_no_copies;
use crate::in_world::{calm, in_world};
use crate::stranger::Stranger;

const STEP_WAIT: Duration = Duration::from_secs(30);

/// The steps of an upgrade that goes well, and those of one that does not.
const GOOD: [Step; 6] = [
    Step::UpgradeIntended,
    Step::UpgradeFetched,
    Step::UpgradeSaved,
    Step::UpgradeSwitched,
    Step::UpgradeStarted,
    Step::UpgradeHealthy,
];
const BAD: [Step; 4] =
    [Step::UpgradeSwitched, Step::UpgradeStarted, Step::UpgradeFailed, Step::UpgradeRestored];

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_that_is_killed_anywhere_is_carried_on_or_undone() -> Result<()> {
    let mut options = calm()?;
    options.watch_steps = true;
    in_world(options, async |world| {
        let owner = Stranger::with(world, 100).await?;
        let mut kills = Kills::watch(world)?;
        let mut runs = App::good(world, "0")?.push(world).await?;
        let (pubkey, note) = running(world, &owner, &runs, "owner").await?;
        for step in GOOD {
            let next = App::good(world, step.name())?.push(world).await?;
            kills.during(world, &owner, &pubkey, &next, step).await?;
            let record = ended(&owner, &pubkey, &next).await?;
            ensure!(record.outcome == UpgradeOutcome::Done, "{}: {record:?}", step.name());
            check_runs(&owner, &pubkey, &next, &note).await.context(step.name())?;
            check_no_copies(world)?;
            runs = next;
        }
        for step in BAD {
            let bad = App::crashing(step.name()).push(world).await?;
            kills.during(world, &owner, &pubkey, &bad, step).await?;
            let record = ended(&owner, &pubkey, &bad).await?;
            ensure!(record.outcome == UpgradeOutcome::RolledBack, "{}: {record:?}", step.name());
            check_runs(&owner, &pubkey, &runs, &note).await.context(step.name())?;
            check_no_copies(world)?;
        }
        Ok(())
    })
    .await
}

/// An image whose trials are all cut short by a crash of the server is given up.
#[tokio::test(flavor = "multi_thread")]
async fn image_whose_trials_all_crash_the_server_is_given_up() -> Result<()> {
    let mut options = calm()?;
    options.watch_steps = true;
    in_world(options, async |world| {
        let owner = Stranger::with(world, 100).await?;
        let mut kills = Kills::watch(world)?;
        let first = App::good(world, "0")?.push(world).await?;
        let (pubkey, note) = running(world, &owner, &first, "owner").await?;
        let next = App::good(world, "1")?.push(world).await?;
        kills.arm(Step::UpgradeStarted).await?;
        ask(&owner, &pubkey, &next).await;
        for trial in 1..=TRIES_MAX {
            kills.reached().await.with_context(|| format!("trial {trial}"))?;
            world.kill_daemon().await?;
            if trial < TRIES_MAX {
                kills.arm(Step::UpgradeStarted).await?;
            }
            // Nothing here asks the wallet, which is in no hurry to come back to a server that keeps ending.
            world.start_daemon().await?;
        }
        let record = ended(&owner, &pubkey, &next).await?;
        assert_eq!(record.code.as_deref(), Some("interrupted"), "{record:?}");
        assert_eq!(record.outcome, UpgradeOutcome::RolledBack);
        check_runs(&owner, &pubkey, &first, &note).await
    })
    .await
}

/// The owner asks; the server may be killed before it answers.
async fn ask(owner: &Stranger, pubkey: &PublicKey, image: &str) {
    let params = json!({"pubkey": pubkey, "docker": image});
    let rpc = &owner.rpc;
    drop(rpc.call::<Value>("upgrade", &params, Duration::from_secs(2)).await);
}

/// Lets the daemon on at every step but one.
struct Kills {
    armed: mpsc::Sender<&'static str>,
    reached: mpsc::Receiver<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Kills {
    fn watch(world: &World) -> Result<Self> {
        let steps = StepWatch::new(world)?;
        let (armed, mut to_arm) = mpsc::channel::<&'static str>(1);
        let (tell, reached) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            let mut waiting_for = None;
            // Held until the daemon is killed: dropping it would let it on.
            let mut held = None;
            while let Ok(step) = steps.next(Duration::from_secs(600)).await {
                if let Ok(name) = to_arm.try_recv() {
                    waiting_for = Some(name);
                }
                if waiting_for.take_if(|name| *name == step.name).is_some() {
                    held = Some(step);
                    if tell.send(()).await.is_err() {
                        return;
                    }
                } else {
                    drop(step.go_on().await);
                }
            }
            drop(held);
        });
        Ok(Self { armed, reached, task })
    }

    async fn arm(&self, step: Step) -> Result<()> {
        Ok(self.armed.send(step.name()).await?)
    }

    async fn reached(&mut self) -> Result<()> {
        tokio::time::timeout(STEP_WAIT, self.reached.recv()).await?.context("the watch ended")
    }

    /// Has the image asked for, and kills the daemon when it reaches the step.
    async fn during(
        &mut self,
        world: &mut World,
        owner: &Stranger,
        pubkey: &PublicKey,
        image: &str,
        step: Step,
    ) -> Result<()> {
        self.arm(step).await?;
        let asking = ask(owner, pubkey, image);
        let killing = async {
            self.reached().await.with_context(|| format!("{} was never reached", step.name()))?;
            world.kill_daemon().await?;
            world.start_daemon().await?;
            world.wait_for_wallet().await
        };
        tokio::join!(asking, killing).1
    }
}

impl Drop for Kills {
    fn drop(&mut self) {
        self.task.abort();
    }
}

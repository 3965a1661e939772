//! One kill: bring the daemon to the step, kill the victim there, bring it back, see how it ends.

use anyhow::{Context, Result, ensure};
use bollard::query_parameters::KillContainerOptionsBuilder;
use devnet::world::{StepReached, World};
use enclaved::checkpoint::Step;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::{LaunchReply, TopupReply, UpgradeOutcome};
use relay::rpc::RpcError;
use serde_json::json;
use units::Stopwatch;

use super::watch::Watch;
use crate::stranger::{SOON, Stranger, get, put, silent};
use crate::upgrade::ended;

/// What is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Victim {
    Daemon,
    Wallet,
    Engine,
}

impl Victim {
    pub(super) const ALL: [Self; 3] = [Self::Daemon, Self::Wallet, Self::Engine];
}

/// One kill in a world.
pub(super) struct Scene<'s> {
    pub(super) world: &'s mut World,
    pub(super) watch: &'s Watch,
    pub(super) image: &'s str,
    /// Images to upgrade to: one that works, and one that ends as soon as it has begun.
    pub(super) next: (&'s str, &'s str),
    pub(super) step: Step,
    pub(super) victim: Victim,
}

impl Scene<'_> {
    pub(super) async fn play(mut self) -> Result<()> {
        let owner = Stranger::with(self.world, 500).await?;
        let step = self.step.name();
        if step.starts_with("launch.") {
            self.launch(&owner).await
        } else if step.starts_with("charge.") {
            self.charge(&owner).await
        } else if step.starts_with("upgrade.") {
            self.upgrade(&owner).await
        } else {
            self.pause(&owner).await
        }
    }

    /// Killed while it is launched: it runs in the end, and was charged for what it ran.
    async fn launch(&mut self, owner: &Stranger) -> Result<()> {
        self.watch.arm(self.step);
        let (image, watch, step) = (self.image.to_owned(), self.watch, self.step);
        let launching = launch_and_pay(owner, &image);
        let killing = async {
            let reached = watch.reached(step).await?;
            self.kill_and_restore(reached).await
        };
        let (launched, killed) = tokio::join!(launching, killing);
        killed?;
        let pubkey = launched?;
        self.runs(owner, &pubkey).await?;
        end(owner, &pubkey).await
    }

    /// Killed while it is charged: it goes on, and was charged once for each period.
    async fn charge(&mut self, owner: &Stranger) -> Result<()> {
        let pubkey = launch_and_pay(owner, self.image).await?;
        self.runs(owner, &pubkey).await?;
        top_up(owner, &pubkey).await?;
        self.watch.arm(self.step);
        let reached = self.watch.reached(self.step).await?;
        ensure!(reached.subject == pubkey.to_hex(), "another container was charged");
        self.kill_and_restore(reached).await?;
        self.runs(owner, &pubkey).await?;
        end(owner, &pubkey).await
    }

    /// Killed while its image is upgraded: it runs in the end, one image or the other, on its data.
    async fn upgrade(&mut self, owner: &Stranger) -> Result<()> {
        let pubkey = launch_and_pay(owner, self.image).await?;
        self.runs(owner, &pubkey).await?;
        top_up(owner, &pubkey).await?;
        self.runs(owner, &pubkey).await?;
        let note = format!("{}/note", owner.url(&pubkey).await?);
        ensure!(put(&note, "kept").await? == 200);
        let goes_back = matches!(self.step, Step::UpgradeFailed | Step::UpgradeRestored);
        let next = if goes_back { self.next.1 } else { self.next.0 }.to_owned();
        self.watch.arm(self.step);
        let params = json!({"pubkey": pubkey, "docker": next});
        let (watch, step) = (self.watch, self.step);
        // The server may be killed before it answers.
        let asking = owner.rpc.call_as::<serde_json::Value>("upgrade", "upgrade", &params, SOON);
        let killing = async {
            let reached = watch.reached(step).await?;
            self.kill_and_restore(reached).await
        };
        let (_answer, killed) = tokio::join!(asking, killing);
        killed?;
        let record = ended(owner, &pubkey, &next).await?;
        ensure!(record.outcome != UpgradeOutcome::Done || !goes_back, "{record:?}");
        self.runs(owner, &pubkey).await?;
        let (status, text) = get(&note).await?;
        ensure!((status, text.as_str()) == (200, "kept"), "{record:?}: {status} {text}");
        end(owner, &pubkey).await
    }

    /// Killed while it is paused: it stays stopped until it is paid again, and then runs.
    async fn pause(&mut self, owner: &Stranger) -> Result<()> {
        let pubkey = launch_and_pay(owner, self.image).await?;
        self.watch.arm(self.step);
        let reached = self.watch.reached(self.step).await?;
        let url = owner.url(&pubkey).await?;
        self.kill_and_restore(reached).await?;
        owner.wait_for(&pubkey, "paused").await?;
        silent(&url).await.context("it runs unpaid")?;
        top_up(owner, &pubkey).await?;
        self.runs(owner, &pubkey).await?;
        end(owner, &pubkey).await
    }

    async fn kill_and_restore(&mut self, reached: StepReached) -> Result<()> {
        match self.victim {
            Victim::Daemon => {
                self.world.kill_daemon().await?;
                self.world.start_daemon().await?;
                self.world.wait_for_wallet().await
            }
            Victim::Wallet => {
                let docker = self.world.engine().client();
                let wallet = wallet_container(self.world)?;
                let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
                docker.kill_container(&wallet, Some(options)).await.context("the wallet was not killed")?;
                reached.go_on().await
            }
            Victim::Engine => {
                self.world.engine_mut().kill_hard().await?;
                reached.go_on().await?;
                self.world.engine_mut().restart().await
            }
        }
    }

    /// It is deployed, and its app answers.
    async fn runs(&self, owner: &Stranger, pubkey: &PublicKey) -> Result<()> {
        owner.wait_for(pubkey, "deployed").await?;
        let (status, answer) = get(&format!("{}/sign?nonce=x", owner.url(pubkey).await?)).await?;
        ensure!(status == 200, "the app answers {status}: {answer}");
        Ok(())
    }
}

/// Launches and pays as a persistent stranger does: what fails in passing is tried again with the same
/// id, which has one effect.
async fn launch_and_pay(owner: &Stranger, image: &str) -> Result<PublicKey> {
    let params = json!({
        "docker": image, "units": 1, "ports": [8080], "volumes": ["/data"], "upgrade": "owner"
    });
    let took = Stopwatch::start();
    let launched = loop {
        match owner.rpc.call_as::<LaunchReply>("launch", "launch", &params, SOON).await {
            Ok(launched) => break launched,
            Err(RpcError::Refused(refusal)) if took.elapsed() < SOON => {
                ensure!(refusal.code == "wallet_unavailable", "{refusal:?}");
            }
            Err(RpcError::NoAnswer(_)) if took.elapsed() < SOON => {}
            Err(e) => return Err(e.into()),
        }
    };
    pay(owner, &launched.invoice.invoice).await?;
    Ok(launched.pubkey)
}

async fn top_up(owner: &Stranger, pubkey: &PublicKey) -> Result<()> {
    let topup: TopupReply = owner.call("topup", json!({"pubkey": pubkey, "amount_msat": 100_000})).await?;
    pay(owner, &topup.invoice.invoice).await
}

/// Pays the same invoice until the wallet answers: it is paid once.
async fn pay(owner: &Stranger, invoice: &str) -> Result<()> {
    let took = Stopwatch::start();
    while let Err(e) = owner.pay(invoice).await {
        ensure!(took.elapsed() < SOON, "{e}");
    }
    Ok(())
}

async fn end(owner: &Stranger, pubkey: &PublicKey) -> Result<()> {
    owner.call::<serde_json::Value>("terminate", json!({"pubkey": pubkey})).await?;
    Ok(())
}

/// The engine's name of the wallet container.
pub(super) fn wallet_container(world: &World) -> Result<String> {
    let state = rusqlite::Connection::open(world.state_dir().join("state.db"))?;
    let pubkey: [u8; 32] =
        state.query_row("SELECT pubkey FROM containers WHERE builtin = 'nwc'", [], |row| row.get(0))?;
    Ok(format!("encl-{}", &PublicKey::from_byte_array(pubkey).to_hex()[..24]))
}

//! Charges that were paid between the last snapshot and the loss of the machine are known by what is on their
//! invoices. An owner may write the same on invoices of the server's account, and pay next to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use devnet::helper::HelperBinary;
use devnet::world::{SealingOptions, StepReached, StepWatch, World, WorldOptions};
use enclaved::checkpoint::Step;
use protocol::nec::VerifiedStatement;
use protocol::nwc::{MakeInvoice, MakeInvoiceFor};
use protocol::receipt::Receipt;
use protocol::rpc::enclaved::{ReceiptPage, TopupReply};
use serde_json::json;
use tokio::sync::mpsc;
use units::{Msat, Stopwatch};

use super::stores::snapshots_pass;
use crate::in_world::in_world;
use crate::stranger::{LOOK_EVERY, SOON, Stranger};

/// A container with one period paid for runs for two of these after the restore at most.
const PERIOD_SECS: u32 = 8;
/// Further than the container gets.
const PERIODS: u32 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn forged_receipts_of_charges_buy_nothing_after_a_restore() -> Result<()> {
    let sealing = SealingOptions { interval_secs: 2, ..SealingOptions::default() };
    let options = WorldOptions::hasty(HelperBinary::find()?, PERIOD_SECS).sealed(sealing);
    in_world(options, async |world| {
        let (owner, pubkey, _) = Stranger::keeper(world, 100).await?;
        let server = world.service()?;
        for period in 0..PERIODS {
            let description = Some(format!("period {period} of {pubkey}"));
            let invoice = MakeInvoice { description, ..MakeInvoice::of(Msat::new(1)) };
            let forged = MakeInvoiceFor { pubkey: server, invoice, zap_request: None };
            let made = owner.wallet.call(&owner.keys, &forged, SOON).await?;
            owner.pay(&made.invoice.context("an invoice")?).await?;
        }
        let topup: TopupReply = owner.call("topup", json!({"pubkey": pubkey, "amount_msat": 5_000})).await?;
        owner.pay(&topup.invoice.invoice).await?;
        snapshots_pass(world).await?;
        world.lose_enclave().await?;
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        // What was paid for is used up, and so is the balance.
        let starved = owner.wait_for(&pubkey, "paused").await?;
        assert_eq!((starved.balance_msat, starved.owner_paused), (Msat::ZERO, false));
        Ok(())
    })
    .await
}

/// Lets the daemon on at every step, but for a snapshot whose databases are copied while `held` says so.
struct Gate {
    held: Arc<AtomicBool>,
    waiting: mpsc::Receiver<StepReached>,
    task: tokio::task::JoinHandle<()>,
}

impl Gate {
    fn new(world: &World) -> Result<Self> {
        let steps = StepWatch::new(world)?;
        let held = Arc::new(AtomicBool::new(false));
        let (hand_over, waiting) = mpsc::channel(8);
        let is_held = Arc::clone(&held);
        let task = tokio::spawn(async move {
            while let Ok(step) = steps.next(Duration::from_secs(600)).await {
                if step.name == Step::SnapshotDatabases.name() && is_held.load(Ordering::SeqCst) {
                    drop(hand_over.send(step).await);
                } else {
                    // One that was killed meanwhile does not hear it.
                    drop(step.go_on().await);
                }
            }
        });
        Ok(Self { held, waiting, task })
    }

    async fn next(&mut self) -> Result<StepReached> {
        let step = tokio::time::timeout(SOON, self.waiting.recv()).await;
        step.context("no snapshot came")?.context("nobody watches")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Its receipt is as good as any: it names the payment, which is found again by what is on its invoice.
#[tokio::test(flavor = "multi_thread")]
async fn charge_that_the_restored_books_do_not_know_names_its_payment() -> Result<()> {
    let sealing = SealingOptions { interval_secs: 2, ..SealingOptions::default() };
    let hasty =
        WorldOptions { grace_secs: 60, ..WorldOptions::hasty(HelperBinary::find()?, 2 * PERIOD_SECS) };
    let options = WorldOptions { watch_steps: true, ..hasty.sealed(sealing) };
    in_world(options, async |world| {
        let mut gate = Gate::new(world)?;
        let owner = Stranger::with(world, 1_000).await?;
        let pubkey = owner.run(&world.push_echo().await?, json!({"ports": [8080]})).await?;
        let topup: TopupReply =
            owner.call("topup", json!({"pubkey": pubkey, "amount_msat": 500_000})).await?;
        owner.pay(&topup.invoice.invoice).await?;
        let receipts = async || -> Result<ReceiptPage> {
            Ok(owner.call("receipts", json!({"pubkey": pubkey, "from": 0})).await?)
        };
        // The books are copied before a period is charged, and the wallet afterwards.
        gate.held.store(true, Ordering::SeqCst);
        let snapshot = gate.next().await?;
        let counts = format!("snapshot acknowledged generation={}", snapshot.subject);
        let (known, took) = (receipts().await?.receipts.len(), Stopwatch::start());
        while receipts().await?.receipts.len() <= known {
            anyhow::ensure!(took.elapsed() < 2 * SOON, "no period was charged");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        snapshot.go_on().await?;
        world.wait_for_line(&counts, SOON).await?;
        world.lose_enclave().await?;
        gate.held.store(false, Ordering::SeqCst);
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        let found = "a charge that the restored books do not know was paid";
        world.wait_for_line(found, 2 * SOON).await?;
        let took = Stopwatch::start();
        let page = loop {
            let page = receipts().await?;
            if page.receipts.len() > known {
                break page;
            }
            anyhow::ensure!(took.elapsed() < SOON, "no receipt of the charge that was found");
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let evidence = page.evidence.as_ref().context("no evidence")?;
        let verified = VerifiedStatement::verify(evidence, &world.policy()?)?;
        let receipts = verified.verify_receipts(&page.receipts)?;
        let named = |receipt: &Receipt| receipt.payment_hash.as_ref().is_some_and(|hash| hash.len() == 64);
        assert!(receipts.iter().all(named), "{receipts:?}");
        Ok(())
    })
    .await
}

//! Receipts of an upgrade: each names what ran when it was made, on trial or not.

use anyhow::{Context, Result, ensure};
use devnet::helper::HelperBinary;
use devnet::world::{World, WorldOptions};
use nostr::key::PublicKey;
use protocol::nec::VerifiedStatement;
use protocol::receipt::Receipt;
use protocol::rpc::enclaved::{ReceiptPage, TopupReply, UpgradeOutcome};
use serde_json::{Value, json};
use units::Stopwatch;

use super::app::{App, ended, running};
use crate::in_world::in_world;
use crate::reconfigure::reconfigure;
use crate::stranger::{LOOK_EVERY, SOON, Stranger};

/// Shorter than a trial.
const PERIOD_SECS: u32 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_a_trial_name_what_is_on_trial() -> Result<()> {
    in_world(WorldOptions::hasty(HelperBinary::find()?, PERIOD_SECS), async |world| {
        let owner = Stranger::with(world, 1_000).await?;
        let first = App::good(world, "1")?.push(world).await?;
        let second = App::deaf("2").push(world).await?;
        reconfigure(world, |config| {
            config["upgrade"] = json!({"poll_secs": 1, "settle_secs": 1, "health_secs": 20});
        })
        .await?;
        let (pubkey, _) = running(world, &owner, &first, "owner").await?;
        let topup: TopupReply =
            owner.call("topup", json!({"pubkey": pubkey, "amount_msat": 500_000})).await?;
        owner.pay(&topup.invoice.invoice).await?;
        let before = owner.status(&pubkey).await?.info.manifest_sha256;

        owner.call::<Value>("upgrade", json!({"pubkey": pubkey, "docker": second})).await?;
        owner.wait_for(&pubkey, "upgrading").await?;
        let on_trial = wait_for(world, &owner, &pubkey, &second).await?;
        let now = owner.status(&pubkey).await?;
        ensure!(now.info.state == "upgrading" && now.info.image == second, "the trial is over: {now:?}");
        assert_eq!(on_trial.manifest_sha256.as_deref(), Some(now.info.manifest_sha256.as_str()));
        assert_ne!(on_trial.manifest_sha256.as_deref(), Some(before.as_str()));
        assert_eq!(ended(&owner, &pubkey, &second).await?.outcome, UpgradeOutcome::RolledBack);
        let after = wait_for(world, &owner, &pubkey, &first).await?;
        assert_eq!(after.manifest_sha256.as_deref(), Some(before.as_str()));
        Ok(())
    })
    .await
}

/// Waits until the newest receipt names this image, with all of them verified each time.
async fn wait_for(world: &World, owner: &Stranger, pubkey: &PublicKey, image: &str) -> Result<Receipt> {
    let took = Stopwatch::start();
    loop {
        let page: ReceiptPage = owner.call("receipts", json!({"pubkey": pubkey, "from": 0})).await?;
        let evidence = page.evidence.as_ref().context("no evidence")?;
        let verified = VerifiedStatement::verify(evidence, &world.policy()?)?;
        let newest = verified.verify_receipts(&page.receipts)?.pop();
        if let Some(newest) = newest.filter(|newest| newest.image == image) {
            return Ok(newest);
        }
        ensure!(took.elapsed() < SOON, "no receipt names {image} within {SOON:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

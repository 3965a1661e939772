//! A server that comes back with fewer units than its containers hold.

use anyhow::{Context, Result, ensure};
use devnet::helper::HelperBinary;
use devnet::world::{StepWatch, WorldOptions};
use enclaved::checkpoint::Step;
use protocol::rpc::enclaved::{Quote, ReceiptPage, Terms, TopupReply};
use serde_json::json;
use units::Stopwatch;

use crate::in_world::{calm, in_world};
use crate::reconfigure::reconfigure;
use crate::stranger::{LOOK_EVERY, SOON, Stranger};

/// Long enough that a second period is not over when it is looked, short enough to wait for its first.
const PERIOD_SECS: u32 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_paid_least_ahead_stands_aside_and_comes_back() -> Result<()> {
    // The wallet takes two.
    let options = WorldOptions { units: 4, ..calm()? };
    in_world(options, async |world| {
        let image = world.push_echo().await?;
        let (rich, poor) = (Stranger::with(world, 1_000).await?, Stranger::with(world, 1_000).await?);
        let stays = rich.settled(&image).await?;
        let goes = poor.settled(&image).await?;
        // Who goes has paid for its hour, and has nothing for another.
        for (who, pubkey, amount_msat) in [(&rich, stays, 50_000)] {
            let params = json!({"pubkey": pubkey, "amount_msat": amount_msat});
            let topup: TopupReply = who.call("topup", params).await?;
            who.pay(&topup.invoice.invoice).await?;
            let balance = |status: &protocol::rpc::enclaved::ContainerStatus| status.balance_msat.msat();
            while balance(&who.status(&pubkey).await?) != amount_msat {
                tokio::time::sleep(crate::stranger::LOOK_EVERY).await;
            }
        }
        let paid_until = poor.status(&goes).await?.paid_until.context("paid")?;

        reconfigure(world, |config| config["capacity"]["units"] = json!(3)).await?;
        let aside = poor.wait_for(&goes, "paused").await?;
        ensure!(aside.reason.as_ref().is_some_and(|reason| reason.code == "no_room"), "{aside:?}");
        ensure!(aside.data_kept_until.is_none() && !aside.owner_paused && aside.balance_msat.msat() == 0);
        rich.wait_for(&stays, "deployed").await?;
        let quote: Quote = poor.call("quote", json!({"docker": image, "units": 1})).await?;
        ensure!(quote.units_free == 0, "{quote:?}");

        // Sold half again as often as it is there, three units are four.
        reconfigure(world, |config| config["capacity"]["overcommit_percent"] = json!(150)).await?;
        let back = poor.wait_for(&goes, "deployed").await?;
        ensure!(back.balance_msat.msat() == 0 && back.reason.is_none(), "{back:?}");
        ensure!(back.paid_until.context("paid")? > paid_until, "time that it stood aside is not given back");
        let receipts: ReceiptPage = poor.call("receipts", json!({"pubkey": goes, "from": 0})).await?;
        ensure!(receipts.receipts.len() == 1, "it was charged for coming back");
        let terms: Terms = poor.call("price", json!({})).await?;
        ensure!((terms.units, terms.units_free, terms.overcommit_percent) == (4, 0, 150), "{terms:?}");
        let announced = world.instance().await?;
        ensure!(announced.announced().overcommit_percent == Some(150));
        Ok(())
    })
    .await
}

/// The server dies between a payment and its effect, and comes back without room: units are not sold twice, and
/// what was paid is had later.
#[tokio::test(flavor = "multi_thread")]
async fn period_paid_while_the_units_went_away_is_had_when_they_are_back() -> Result<()> {
    let hasty = WorldOptions::hasty(HelperBinary::find()?, PERIOD_SECS);
    in_world(WorldOptions { units: 3, watch_steps: true, ..hasty }, async |world| {
        let owner = Stranger::with(world, 100).await?;
        let image = world.push_echo().await?;
        let pubkey = owner.run(&image, json!({"ports": [8080]})).await?;
        owner.wait_for(&pubkey, "paused").await?;
        // Enough for one more period.
        let topup: TopupReply = owner.call("topup", json!({"pubkey": pubkey, "amount_msat": 5_000})).await?;
        let steps = StepWatch::new(world)?;
        owner.pay(&topup.invoice.invoice).await?;
        loop {
            let reached = steps.next(SOON).await?;
            if reached.name == Step::ChargeRecorded.name() {
                world.kill_daemon().await?;
                break;
            }
            reached.go_on().await?;
        }
        drop(steps);
        std::fs::remove_file(world.steps_socket())?;
        // The wallet takes two.
        reconfigure(world, |config| config["capacity"]["units"] = json!(2)).await?;
        let took = Stopwatch::start();
        let aside = loop {
            let status = owner.status(&pubkey).await?;
            ensure!(status.info.state == "paused", "units that are not there were sold: {status:?}");
            if status.reason.is_some() {
                break status;
            }
            ensure!(took.elapsed() < SOON, "{status:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        };
        ensure!(aside.reason.as_ref().is_some_and(|reason| reason.code == "no_room"), "{aside:?}");
        ensure!(aside.data_kept_until.is_none(), "{aside:?}");
        reconfigure(world, |config| config["capacity"]["units"] = json!(3)).await?;
        let back = owner.wait_for(&pubkey, "deployed").await?;
        ensure!(back.reason.is_none() && back.paid_until > aside.paid_until, "{back:?}");
        let receipts: ReceiptPage = owner.call("receipts", json!({"pubkey": pubkey, "from": 0})).await?;
        ensure!(receipts.receipts.len() == 2, "{receipts:?}");
        Ok(())
    })
    .await
}

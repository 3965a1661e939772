//! A server that is full.

use std::collections::BTreeMap;

use anyhow::Result;
use devnet::world::{World, WorldOptions};
use futures_util::future::{join_all, try_join_all};
use protocol::rpc::enclaved::{ContainerStatus, LaunchReply, Quote};
use relay::rpc::RpcError;
use serde_json::json;
use units::Stopwatch;

use super::{check, money};
use crate::facts::Facts;
use crate::in_world::{calm, in_world};
use crate::stranger::{LOOK_EVERY, SOON, Stranger, get};

const STRANGERS: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn last_unit_goes_to_one_of_many() -> Result<()> {
    // The wallet takes two.
    let options = WorldOptions { units: 3, ..calm()? };
    in_world(options, async |world| {
        let image = world.push_echo().await?;
        let strangers = try_join_all((0..STRANGERS).map(|_| Stranger::with(world, 0))).await?;
        let (winner, launched) = race(world, &strangers, &image).await?;
        full(world, &strangers[(winner + 1) % STRANGERS], &image).await?;

        // Whoever won has it; the next has it afterwards.
        let [winner, next, last] = [0, 1, 2].map(|after| &strangers[(winner + after) % STRANGERS]);
        world.pay_from_faucet(&launched.invoice.invoice).await?;
        winner.wait_for(&launched.pubkey, "deployed").await?;
        assert_eq!(get(&winner.url(&launched.pubkey).await?).await?.0, 200);
        winner.wait_settled(&launched.pubkey).await?;
        full(world, next, &image).await?;
        money::amounts(world, winner, &launched.pubkey).await?;
        world.pay_from_faucet(&topup(winner, &launched).await?).await?;
        money::withdrawals(world, winner, &launched.pubkey, TOPUP_MSAT).await?;
        winner.call::<ContainerStatus>("terminate", json!({"pubkey": launched.pubkey})).await?;
        next.launch(&image, json!({})).await?;
        Facts::at_rest(world).await?;
        // One that waits for payment holds its units, too.
        full(world, last, &image).await
    })
    .await
}

/// Launches, again for as long as others have the registry asked, as `encli` does.
async fn patient(stranger: &Stranger, image: &str) -> Result<LaunchReply, RpcError> {
    let took = Stopwatch::start();
    loop {
        match stranger.launch(image, json!({"ports": [8080]})).await {
            Err(RpcError::Refused(refusal)) if refusal.code == "server_busy" && took.elapsed() < SOON => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            outcome => return outcome,
        }
    }
}

/// All of them launch at the same time. Returns who won, and what.
async fn race(world: &World, strangers: &[Stranger], image: &str) -> Result<(usize, LaunchReply)> {
    let before = Facts::of(world).await?;
    let launches = strangers.iter().map(|one| patient(one, image));
    let mut won = Vec::new();
    let mut refused: BTreeMap<String, u32> = BTreeMap::new();
    for (number, outcome) in join_all(launches).await.into_iter().enumerate() {
        match outcome {
            Ok(launched) => won.push((number, launched)),
            Err(RpcError::Refused(refusal)) => *refused.entry(refusal.code).or_default() += 1,
            Err(other) => return Err(other.into()),
        }
    }
    assert_eq!(refused, BTreeMap::from([("server_full".to_owned(), 63)]));
    let (number, launched) = won.pop().unwrap();
    assert!(won.is_empty());

    let mut after = Facts::at_rest(world).await?;
    let row = after.containers.pop().unwrap();
    assert_eq!((row.pubkey, row.phase.as_str(), row.units_held), (launched.pubkey, "waiting", 1));
    *after.invoices.get_mut("open").unwrap() -= 1;
    after.invoices.retain(|_, count| *count > 0);
    after.accounts.remove(&format!("user:{}", launched.pubkey.to_hex()));
    after.ports -= 1;
    assert_eq!(after, before, "the rest of them left nothing");
    Ok((number, launched))
}

/// Nothing fits any more, however small, and a quote says so.
async fn full(world: &World, who: &Stranger, image: &str) -> Result<()> {
    for units in [1, 50] {
        let params = json!({"docker": image, "units": units});
        check(world, who, &["launch"], &params, "server_full").await?;
        let quote: Quote = who.call("quote", params).await?;
        assert_eq!(quote.units_free, 0);
    }
    Ok(())
}

const TOPUP_MSAT: i64 = 7_000;

async fn topup(owner: &Stranger, launched: &LaunchReply) -> Result<String> {
    let params = json!({"pubkey": launched.pubkey, "amount_msat": TOPUP_MSAT});
    let reply: protocol::rpc::enclaved::TopupReply = owner.call("topup", params).await?;
    Ok(reply.invoice.invoice)
}

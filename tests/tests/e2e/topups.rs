//! Strangers who ask for invoices for somebody's container, as many as they can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use devnet::helper::HelperBinary;
use devnet::world::{World, WorldOptions};
use protocol::rpc::enclaved::{History, TopupReply};
use relay::rpc::RpcError;
use serde_json::json;
use units::Stopwatch;

use crate::in_world::in_world;
use crate::stranger::Stranger;

/// Keys that ask, each several times at once.
const PAYERS: usize = 6;
const AT_ONCE: usize = 8;
/// Much longer than a container runs on while the wallet does not answer.
const FLOOD: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_topups_pauses_nobody_and_the_owner_is_served() -> Result<()> {
    in_world(WorldOptions::hasty(HelperBinary::find()?, 2), async |world| {
        let image = world.push_echo().await?;
        let owner = Stranger::with(world, 1_000).await?;
        let launched = owner.launch(&image, json!({"ports": [8080]})).await?;
        let pubkey = launched.pubkey;
        let ask = |msat: usize| json!({"pubkey": pubkey, "amount_msat": msat});
        let own: TopupReply = owner.call("topup", ask(500_000)).await?;
        owner.pay(&own.invoice.invoice).await?;
        owner.pay(&launched.invoice.invoice).await?;
        owner.wait_for(&pubkey, "deployed").await?;

        let (ends, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let flood = flood(world, &pubkey.to_hex(), &ends, &made).await?;
        let (took, mut n) = (Stopwatch::start(), 0);
        let mut refused = 0;
        while took.elapsed() < FLOOD {
            n += 1;
            match owner.call::<TopupReply>("topup", ask(1_000 * n)).await {
                Ok(_) => {}
                Err(RpcError::Refused(refusal)) => {
                    println!("the owner is refused: {refusal:?}");
                    refused += 1;
                }
                Err(e) => return Err(e.into()),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        ends.store(true, Ordering::SeqCst);
        for task in flood {
            task.await??;
        }
        let made = made.load(Ordering::SeqCst);
        println!("{made} invoices were made for strangers; the owner was refused {refused} of {n}");
        ensure!(made <= 120, "strangers had {made} invoices made");
        ensure!(made > 0, "there was no flood");
        ensure!(refused <= n / 4, "the owner was refused {refused} of {n} times");
        let history: History = owner.call("events", json!({"pubkey": pubkey, "limit": 200})).await?;
        let paused = history.events.iter().find(|event| event.message.contains("to paused"));
        ensure!(paused.is_none(), "it had money and was paused: {paused:?}");
        let other = Stranger::with(world, 0).await?;
        let over = other.call::<TopupReply>("topup", ask(3_000)).await;
        ensure!(matches!(&over, Err(RpcError::Refused(refusal)) if refusal.code == "quota_used"), "{over:?}");
        ensure!(owner.call::<TopupReply>("topup", ask(3_333)).await.is_ok());
        Ok(())
    })
    .await
}

type Task = tokio::task::JoinHandle<Result<()>>;

/// Each asks for another amount each time: the same one would be the same invoice.
async fn flood(
    world: &World,
    pubkey: &str,
    ends: &Arc<AtomicBool>,
    made: &Arc<AtomicUsize>,
) -> Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for payer in 0..PAYERS {
        let rpc = Arc::new(Stranger::with(world, 0).await?.rpc);
        for one in 0..AT_ONCE {
            let (rpc, pubkey) = (Arc::clone(&rpc), pubkey.to_owned());
            let (ends, made) = (Arc::clone(ends), Arc::clone(made));
            tasks.push(tokio::spawn(async move {
                let mut amount = 1_000 * (1 + payer * 100_000 + one * 10_000);
                while !ends.load(Ordering::SeqCst) {
                    amount += 1_000;
                    let asked = json!({"pubkey": pubkey, "amount_msat": amount});
                    // What is refused or lost is asked again.
                    if rpc.call::<TopupReply>("topup", &asked, Duration::from_secs(5)).await.is_ok() {
                        made.fetch_add(1, Ordering::SeqCst);
                    }
                }
                Ok(())
            }));
        }
    }
    Ok(tasks)
}

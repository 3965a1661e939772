//! Requests that are too large, too old, repeated, or not the sender's to make.

use std::time::Duration;

use anyhow::Result;
use devnet::world::World;
use nostr::key::{Keys, PublicKey};
use protocol::event::{CheckedEvent, sign};
use protocol::kinds::ENCLAVED_RPC;
use protocol::rpc::enclaved::{ContainerStatus, LaunchReply};
use protocol::tag;
use relay::request_log::AGE_SECS_MAX;
use relay::rpc::RpcError;
use serde_json::{Value, json};
use units::{Clock, SystemClock};

use super::{fuzz, owners};
use crate::facts::Facts;
use crate::in_world::{calm, in_world};
use crate::stranger::{SOON, Stranger, get};
use crate::wire::Wire;

/// What is not answered is given as long as an answer usually takes, and much more.
const SILENCE: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread")]
async fn refused_request_has_its_code_and_changes_nothing() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push_echo().await?;
        let alice = Stranger::with(world, 100).await?;
        let pubkey = alice.settled(&image).await?;
        fuzz::wrong_types(world, &alice, &image, &pubkey).await?;
        fuzz::no_requests(world).await?;
        owners::of_another(world, &pubkey).await?;
        owners::of_nobody(world, &alice).await?;
        owners::unknown_methods(world, &alice).await?;
        sizes(world).await?;
        other_senders(world).await?;
        times(world, &alice, &pubkey).await?;
        assert_eq!(alice.status(&pubkey).await?.info.state, "deployed");
        assert_eq!(get(&alice.url(&pubkey).await?).await?.0, 200);
        Ok(())
    })
    .await
}

/// Up to 60 kB is answered; what the relay does not take does not harm anybody.
async fn sizes(world: &World) -> Result<()> {
    let mut wire = Wire::open(world, &Keys::generate()).await?;
    let large = json!({"padding": "x".repeat(60_000)});
    assert_eq!(wire.ask("large", "ping", &large).await?.result, Some(json!("pong")));
    let refused = wire.ask("large too", "list", &large).await?;
    assert_eq!(refused.code.as_deref(), Some("params_invalid"));

    let before = Facts::of(world).await?;
    // As long as relays take, and not a request.
    let noise = addressed(world, &wire.keys, &"A".repeat(120_000))?;
    assert!(wire.send(&noise).await.is_published());
    // No honest client could send this; the relay refuses it by its size and closes.
    let huge = addressed(world, &wire.keys, &"A".repeat(10_000_000))?;
    assert!(!wire.send(&huge).await.is_published());
    let mut wire = Wire::open(world, &Keys::generate()).await?;
    assert_eq!(wire.ask("after", "ping", &json!({})).await?.result, Some(json!("pong")));
    assert_eq!(Facts::of(world).await?, before);
    Ok(())
}

/// An event with any content, addressed to the server.
fn addressed(world: &World, keys: &Keys, content: &str) -> Result<CheckedEvent> {
    let tags = vec![tag!["p", world.service()?.to_hex()]];
    Ok(sign(keys, ENCLAVED_RPC, SystemClock.now(), tags, content.to_owned())?)
}

/// What was encrypted by somebody else, or is addressed to others besides, is not answered.
async fn other_senders(world: &World) -> Result<()> {
    let mut wire = Wire::open(world, &Keys::generate()).await?;
    let honest = Wire::open(world, &Keys::generate()).await?;
    let request = honest.request("stolen", "ping", &json!({}), SystemClock.now())?;
    wire.send(&addressed(world, &wire.keys, &request.content)?).await;
    let (us, too) = (world.service()?.to_hex(), Keys::generate().public_key().to_hex());
    let request = wire.request("stolen", "ping", &json!({}), SystemClock.now())?;
    let tags = vec![tag!["p", us], tag!["p", too]];
    let to_two = sign(&wire.keys, ENCLAVED_RPC, SystemClock.now(), tags, request.content.clone())?;
    wire.send(&to_two).await;
    assert!(wire.is_silent("stolen", SILENCE).await);
    Ok(())
}

/// A request is good for ten minutes, by the server's clock.
async fn times(world: &World, owner: &Stranger, pubkey: &PublicKey) -> Result<()> {
    let before = Facts::of(world).await?;
    let mut wire = Wire::open(world, &owner.keys).await?;
    let (now, terminate) = (SystemClock.now(), json!({"pubkey": pubkey}));
    for (id, at) in [("old", now.minus_secs(AGE_SECS_MAX + 2)), ("early", now.plus_secs(AGE_SECS_MAX + 60))] {
        let request = wire.request(id, "terminate", &terminate, at)?;
        let report = wire.send(&request).await;
        assert!(report.is_published(), "{id}: {report:?}");
        assert_eq!(wire.reply(id).await?.code.as_deref(), Some("stale_request"), "{id}");
    }
    // Of what is older than the server's subscription it does not even hear.
    wire.send(&wire.request("ancient", "terminate", &terminate, now.minus_secs(86_400))?).await;
    assert!(wire.is_silent("ancient", SILENCE).await);
    assert_eq!(Facts::of(world).await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_request_has_one_effect() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push_echo().await?;
        let alice = Stranger::with(world, 100).await?;
        ids(world, &alice, &image).await?;
        replays(world, &alice, &image).await
    })
    .await
}

/// One id is one command: the same again has the same answer, another is refused.
async fn ids(world: &World, owner: &Stranger, image: &str) -> Result<()> {
    let params = json!({"docker": image, "units": 1, "env": {"A": "1"}});
    let first: LaunchReply = owner.rpc.call_as("one", "launch", &params, SOON).await?;
    let before = Facts::at_rest(world).await?;
    let again: LaunchReply = owner.rpc.call_as("one", "launch", &params, SOON).await?;
    assert_eq!(again, first);
    let other = json!({"docker": image, "units": 2});
    let terminate = json!({"pubkey": first.pubkey});
    for (method, params) in [("launch", &other), ("terminate", &terminate), ("withdraw", &json!({}))] {
        match owner.rpc.call_as::<Value>("one", method, params, SOON).await {
            Err(RpcError::Refused(refusal)) => assert_eq!(refusal.code, "id_reused", "{method}"),
            other => panic!("{method} under a used id: {other:?}"),
        }
    }
    assert_eq!(Facts::of(world).await?, before);
    // The same id of another key is another command.
    let eve = Stranger::with(world, 0).await?;
    let hers: LaunchReply = eve.rpc.call_as("one", "launch", &params, SOON).await?;
    assert_ne!(hers.pubkey, first.pubkey);
    for (who, pubkey) in [(&eve, hers.pubkey), (owner, first.pubkey)] {
        who.call::<ContainerStatus>("terminate", json!({"pubkey": pubkey})).await?;
    }
    Ok(())
}

/// The very event again, from another connection and after a restart: nothing happens, even where the
/// command would now do something.
async fn replays(world: &mut World, owner: &Stranger, image: &str) -> Result<()> {
    let mut wire = Wire::open(world, &owner.keys).await?;
    let launch = wire.request(
        "launch",
        "launch",
        &json!({"docker": image, "units": 1, "ports": [8080]}),
        SystemClock.now(),
    )?;
    wire.send(&launch).await;
    let launched: LaunchReply = serde_json::from_value(wire.reply("launch").await?.result.unwrap())?;
    owner.pay(&launched.invoice.invoice).await?;
    owner.wait_for(&launched.pubkey, "deployed").await?;
    let of_it = json!({"pubkey": launched.pubkey});
    let pause = wire.request("pause", "pause", &of_it, SystemClock.now())?;
    wire.send(&pause).await;
    assert_eq!(wire.reply("pause").await?.result.unwrap()["state"], "paused");
    owner.call::<ContainerStatus>("resume", of_it.clone()).await?;
    owner.wait_settled(&launched.pubkey).await?;

    let before = Facts::of(world).await?;
    replay(world, owner, "pause", &pause).await?;
    assert_eq!(Facts::of(world).await?, before, "a replayed pause");
    world.kill_daemon().await?;
    world.start_daemon().await?;
    world.wait_for_wallet().await?;
    replay(world, owner, "pause", &pause).await?;
    assert_eq!(Facts::of(world).await?, before, "a replayed pause after a restart");
    assert_eq!(owner.status(&launched.pubkey).await?.info.state, "deployed");

    owner.call::<ContainerStatus>("terminate", of_it).await?;
    let before = Facts::of(world).await?;
    replay(world, owner, "launch", &launch).await?;
    assert_eq!(Facts::of(world).await?, before, "a replayed launch");
    Ok(())
}

/// Sends an event from a connection of its own, and waits until the server has had time to act on it.
async fn replay(world: &World, owner: &Stranger, id: &str, event: &CheckedEvent) -> Result<()> {
    let mut wire = Wire::open(world, &owner.keys).await?;
    wire.send(event).await;
    assert!(wire.is_silent(id, SILENCE).await);
    assert_eq!(wire.ask("after", "ping", &json!({})).await?.result, Some(json!("pong")));
    Ok(())
}

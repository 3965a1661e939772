//! A container's whole life: found, quoted, paid, started, verified, starved, topped up, stopped.

use std::collections::HashMap;

use anyhow::{Context, Result};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};
use devnet::helper::HelperBinary;
use devnet::world::{World, WorldOptions};
use nostr::event::Event;
use nostr::key::PublicKey;
use protocol::event::{CheckedEvent, tags_named};
use protocol::nec::{VerifiedChain, VerifiedContainer};
use protocol::rpc::enclaved::{Quote, TopupReply, Withdrawal};
use serde_json::json;

use crate::stranger::{Stranger, get, put, silent};

#[tokio::test(flavor = "multi_thread")]
async fn container_lives_as_it_is_paid() -> Result<()> {
    let world =
        World::start(WorldOptions::hasty(HelperBinary::find()?, 3), |step| println!("{step}")).await?;
    let outcome = whole_life(&world).await;
    if outcome.is_err() {
        println!("{}", world.daemon_log()?);
    }
    outcome?;
    world.stop().await
}

async fn whole_life(world: &World) -> Result<()> {
    let image = world.push_echo().await?;
    let owner = Stranger::with(world, 1_000).await?;
    let instance = world.instance().await?;
    assert!(instance.is_pinned() && instance.announced().open);
    let quote: Quote = owner.call("quote", json!({"docker": image, "units": 1})).await?;
    assert_eq!((quote.price_msat_per_period.msat(), quote.units_free), (5_000, 98));

    let launched =
        owner.launch(&image, json!({"ports": [8080], "volumes": ["/data"], "egress": "none"})).await?;
    assert_eq!((launched.state.as_str(), launched.image.as_str()), ("waiting", image.as_str()));
    let pubkey = launched.pubkey;
    owner.pay(&launched.invoice.invoice).await?;
    owner.wait_for(&pubkey, "deployed").await?;
    let url = owner.url(&pubkey).await?;

    // The app signs our nonce under the chain that ends in the simulated root.
    let (status, answer) = get(&format!("{url}/sign?nonce=hello")).await?;
    assert_eq!(status, 200, "{answer}");
    let answer = CheckedEvent::check(serde_json::from_str::<Event>(&answer)?)?;
    assert_eq!(answer.content, "hello");
    let embedded = |name| -> Result<Vec<CheckedEvent>> {
        tags_named(&answer, name).map(|tag| Ok(CheckedEvent::parse(&tag[1])?)).collect()
    };
    let chain = VerifiedChain::verify(
        &embedded("tee_root")?[0],
        &embedded("tee_cert")?,
        &answer.pubkey,
        &world.policy()?,
    )?;
    let certified = chain.container().unwrap();
    assert_eq!((certified.pubkey, certified.image.as_str()), (pubkey, image.as_str()));
    assert_eq!(certified.manifest_sha256.as_deref(), Some(launched.manifest_sha256.as_str()));
    let event = world.container_event(&pubkey).await?;
    let verified = VerifiedContainer::verify(&event, &world.policy()?)?;
    assert_eq!(verified.certified().image, image);

    let (quota, period) = cpu(world, &pubkey).await?;
    assert!(quota > 0 && quota * 10 == period, "a unit is a tenth of a CPU: {quota} of {period}");

    assert_eq!(put(&format!("{url}/note"), "remember me").await?, 200);
    // One period was paid; the balance is empty.
    let starved = owner.wait_for(&pubkey, "paused").await?;
    assert!(starved.data_kept_until.is_some() && !starved.owner_paused);
    silent(&url).await?;

    let topup: TopupReply = owner.call("topup", json!({"pubkey": pubkey, "amount_msat": 900_000})).await?;
    owner.pay(&topup.invoice.invoice).await?;
    owner.wait_for(&pubkey, "deployed").await?;
    assert_eq!(get(&format!("{url}/note")).await?, (200, "remember me".to_owned()));

    let ended = owner.call::<serde_json::Value>("terminate", json!({"pubkey": pubkey})).await?;
    assert_eq!(ended["state"], "terminated");
    silent(&url).await?;
    let balance = owner.status(&pubkey).await?.balance_msat;
    let back = owner
        .wallet
        .call(&owner.keys, &protocol::nwc::MakeInvoice::of(units::Msat::new(500_000)), crate::stranger::SOON)
        .await?;
    let withdrawn: Withdrawal =
        owner.call("withdraw", json!({"pubkey": pubkey, "invoice": back.invoice.unwrap()})).await?;
    assert_eq!(withdrawn.amount_msat.msat(), 500_000);
    assert_eq!(withdrawn.balance_msat, balance.minus(withdrawn.amount_msat).unwrap());
    Ok(())
}

/// The CPU that the engine gives to the only container of a launch: its part of each period.
async fn cpu(world: &World, pubkey: &PublicKey) -> Result<(i64, i64)> {
    let label = HashMap::from([("label", vec![format!("enclaved.pubkey={pubkey}")])]);
    let options = ListContainersOptionsBuilder::default().filters(&label).build();
    let docker = world.engine().client();
    let found = docker.list_containers(Some(options)).await?.pop().and_then(|one| one.id);
    let inspected =
        docker.inspect_container(&found.context("no container")?, None::<InspectContainerOptions>).await?;
    let host = inspected.host_config.context("no limits")?;
    Ok((host.cpu_quota.context("no quota")?, host.cpu_period.context("no period")?))
}

//! A server that is told to end for another version: owners and clients hear of it first.

use anyhow::{Context, Result, ensure};
use devnet::world::World;
use nostr::event::Kind;
use nostr::filter::Filter;
use protocol::rpc::enclaved::Terms;
use relay::Subscription;
use relay::dm::Mailbox;
use serde_json::json;
use units::UnixSecs;

use crate::in_world::{calm, in_world};
use crate::stranger::{SOON, Stranger, get};

#[tokio::test(flavor = "multi_thread")]
async fn owners_and_clients_hear_of_the_end_before_it_comes() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push_echo().await?;
        let owner = Stranger::with(world, 100).await?;
        let pubkey = owner.settled(&image).await?;
        ensure!(world.instance().await?.announced().ends_at.is_none());
        let mut wraps = wraps_to(world, &owner).await?;
        let url = owner.url(&pubkey).await?;
        let sleeper = Stranger::with(world, 100).await?;
        let asleep = sleeper.settled(&image).await?;
        sleeper.call::<serde_json::Value>("pause", json!({"pubkey": asleep})).await?;
        let before: Terms = owner.call("price", json!({})).await?;
        ensure!(before.open && before.ends_at.is_none(), "{before:?}");
        let mut others = wraps_to(world, &sleeper).await?;

        world.end_parent()?;
        let wrap = tokio::time::timeout(SOON, wraps.next()).await?.context("no message")?;
        let letter = Mailbox::new(owner.keys.clone()).open(&wrap)?;
        ensure!(letter.from == world.service()?, "{letter:?}");
        ensure!(letter.text.contains("to be replaced by another version"), "{}", letter.text);
        // Who is paused has something here, too.
        let wrap = tokio::time::timeout(SOON, others.next()).await?.context("no message")?;
        let letter = Mailbox::new(sleeper.keys.clone()).open(&wrap)?;
        ensure!(letter.text.contains("stays paused, and its data is kept"), "{}", letter.text);
        // Until then it serves, and says by every way that it takes nobody in.
        let during: Terms = owner.call("price", json!({})).await?;
        ensure!(!during.open && during.ends_at.is_some(), "{during:?}");
        ensure!(get(&url).await?.0 == 200);
        ensure!(owner.status(&pubkey).await?.info.state == "deployed");
        let other = Stranger::with(world, 0).await?;
        ensure!(other.refused("launch", json!({"docker": image, "units": 1})).await == "draining");
        ends(world, during.ends_at).await
    })
    .await
}

async fn wraps_to(world: &World, to: &Stranger) -> Result<Subscription> {
    let filter = Filter::new().kind(Kind::GiftWrap).pubkey(to.keys.public_key());
    Ok(world.pool().await?.subscribe(filter).await?)
}

/// The announcement says so too, and takes nobody in.
async fn ends(world: &World, at: Option<UnixSecs>) -> Result<()> {
    let said = async {
        loop {
            let announced = world.instance().await?.announced().clone();
            if announced.ends_at.is_some() {
                ensure!(!announced.open && announced.ends_at == at, "{announced:?} is not {at:?}");
                return Ok(());
            }
            tokio::time::sleep(crate::stranger::LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(SOON, said).await.context("not announced")?
}

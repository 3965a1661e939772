//! A server that is told to end for another version: owners and clients hear of it first.

use anyhow::{Context, Result, ensure};
use devnet::world::World;
use nostr::event::Kind;
use nostr::filter::Filter;
use relay::dm::Mailbox;
use serde_json::json;

use crate::in_world::{calm, in_world};
use crate::stranger::{SOON, Stranger};

#[tokio::test(flavor = "multi_thread")]
async fn owners_and_clients_hear_of_the_end_before_it_comes() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push_echo().await?;
        let owner = Stranger::with(world, 100).await?;
        owner.settled(&image).await?;
        ensure!(world.instance().await?.announced().ends_at.is_none());
        let mut wraps = world
            .pool()
            .await?
            .subscribe(Filter::new().kind(Kind::GiftWrap).pubkey(owner.keys.public_key()))
            .await?;

        world.end_parent()?;
        let wrap = tokio::time::timeout(SOON, wraps.next()).await?.context("no message")?;
        let letter = Mailbox::new(owner.keys.clone()).open(&wrap)?;
        ensure!(letter.from == world.service()?, "{letter:?}");
        ensure!(letter.text.contains("to be replaced by another version"), "{}", letter.text);
        let other = Stranger::with(world, 0).await?;
        ensure!(other.refused("launch", json!({"docker": image, "units": 1})).await == "draining");
        ends(world).await
    })
    .await
}

/// The announcement says so too, and takes nobody in.
async fn ends(world: &World) -> Result<()> {
    let said = async {
        loop {
            let announced = world.instance().await?.announced().clone();
            if announced.ends_at.is_some() {
                ensure!(!announced.open, "{announced:?}");
                return Ok(());
            }
            tokio::time::sleep(crate::stranger::LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(SOON, said).await.context("not announced")?
}

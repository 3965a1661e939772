//! What the daemon really publishes, checked as a careful client would: every event verifies under the
//! simulated root, and none under the root of AWS.

mod container;
mod server;

use anyhow::Result;
use attestation::TrustRoot;
use devnet::world::World;
use nostr::filter::Filter;
use nostr::key::PublicKey;
use protocol::event::{CheckedEvent, tags_named};
use protocol::kinds::ANNOUNCEMENT;
use protocol::nec::Policy;

use crate::in_world::{calm, in_world};
use crate::stranger::Stranger;

#[tokio::test(flavor = "multi_thread")]
async fn published_events_verify_under_their_own_root_only() -> Result<()> {
    in_world(calm()?, async |world| {
        let owner = Stranger::with(world, 100).await?;
        server::announcement(world).await?;
        server::profile(world).await?;
        server::forgeries(world).await?;
        container::life(world, &owner).await
    })
    .await
}

/// The same expectations of an enclave of AWS.
fn under_aws(world: &World) -> Result<Policy> {
    Ok(Policy { root: TrustRoot::aws(), ..world.policy()? })
}

async fn newest_announcement(world: &World) -> Result<CheckedEvent> {
    world.newest(Filter::new().kind(ANNOUNCEMENT).author(world.service()?)).await
}

/// The one event that is embedded in a tag.
fn embedded(event: &CheckedEvent, name: &str) -> Result<CheckedEvent> {
    let mut tags = tags_named(event, name);
    let tag = tags.next().unwrap_or_else(|| panic!("no {name} tag"));
    assert!(tags.next().is_none(), "more than one {name} tag");
    Ok(CheckedEvent::parse(&tag[1])?)
}

/// The keys of the world's maintainers.
fn maintainers(world: &World) -> std::collections::BTreeSet<PublicKey> {
    world.operator().maintainers().iter().map(nostr::key::Keys::public_key).collect()
}

/// The tags of an event, to be changed.
fn tags_of(event: &CheckedEvent) -> Vec<Vec<String>> {
    event.tags.iter().map(|tag| tag.as_slice().to_vec()).collect()
}

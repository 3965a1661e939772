//! Strangers who fill the relay with what looks like key stores.

use std::sync::Arc;

use keyholder::{Directory, Member};
use nostr::key::Keys;
use protocol::kinds::ANNOUNCEMENT;
use protocol::tag;
use units::{Clock, SystemClock};

use crate::group::{Owner, found, head};
use crate::world::{KEYCRUX_REPO, LEASE, World};

/// More than one look takes from a relay at once.
const FAKES: usize = 1_100;

/// Announcements in the name of the first launcher, newer than its own.
async fn flood(world: &World) {
    let launcher = world.launchers[0].public_key();
    let now = SystemClock.now().plus_secs(5);
    for _ in 0..FAKES {
        let tags = vec![tag!["r", KEYCRUX_REPO], tag!["p", launcher.to_hex()]];
        let fake = protocol::event::sign(&Keys::generate(), ANNOUNCEMENT, now, tags, String::new()).unwrap();
        assert_eq!(world.pool.publish(&fake).await.accepted.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flooded_relay_hides_no_key_store() {
    let world = World::new(3, 2).await;
    let mut keycruxes = world.start_all().await;
    let owner = Owner::new(&world);
    let holder = found(&world, &owner, None).await;
    flood(&world).await;
    let directory = Directory::new(world.pool.clone(), Arc::new(world.trust()), Arc::new(SystemClock));
    let members: Vec<Member> = directory.find().await.unwrap();
    assert!(keycruxes.iter().all(|one| members.contains(&one.member)), "{members:?}");
    // Who holds a record goes on holding it, and finds one that starts anew.
    tokio::time::sleep(LEASE * 2).await;
    assert!(holder.may_act());
    drop(keycruxes.remove(0));
    let again = world.start(0).await;
    world.wait_serving(&again).await;
    drop(keycruxes.remove(0));
    holder.advance(head(2)).await.unwrap();
    assert!(holder.may_act());
}

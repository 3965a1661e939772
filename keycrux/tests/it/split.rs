//! A secret that no key store holds.

use keyholder::HoldError;
use nostr::key::Keys;
use protocol::rpc::keycrux::{LeaseParams, Material};
use quorum::shamir::ShamirError;
use quorum::{Answer, Epoch};

use crate::group::{Owner, found, head};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn shares_come_together_and_are_dealt_anew_after_a_restart() {
    let world = World::new(3, 2).await;
    let mut keycruxes = world.start_all().await;
    let owner = Owner::new(&world);
    let holder = found(&world, &owner, Some(2)).await;
    let refused = holder.write(owner.body("the secret", Some(3))).await.unwrap_err();
    assert!(matches!(refused, HoldError::Split(ShamirError::Threshold { .. })), "{refused}");
    // One that restarts has no share, until the owner deals again with the next renewal.
    drop(keycruxes.remove(0));
    let again = world.start(0).await;
    world.wait_serving(&again).await;
    holder.advance(head(2)).await.unwrap();
    again.wait_log("a record was written").await;
    drop(holder);
    // No single one tells the secret.
    let epoch = Epoch { round: 1_000, holder: [9; 16] };
    for one in keycruxes.iter().chain([&again]) {
        let keys = Keys::generate();
        let (attestation, identity) = (owner.enclave.document(&keys), owner.identity.clone());
        let params = LeaseParams { attestation, identity, input: owner.input.clone(), epoch };
        let reply = world.client(one, &keys).await.lease(&params).await.unwrap();
        let Answer::Promised(entry) = reply.answer else { panic!("not promised") };
        let Material::Split { threshold, shares } = entry.body.unwrap().value.material else {
            panic!("not split");
        };
        assert!(threshold == 2 && !shares.is_empty());
        let places: std::collections::BTreeSet<u8> = shares.iter().map(|share| share.x).collect();
        assert_eq!(places.len(), 1, "a member has its own shares only");
    }
    // The one that restarted and any other are enough.
    drop(keycruxes.remove(0));
    let (holder, found) = world.acquire(&owner.enclave, &owner.identity, &owner.input).await.unwrap();
    assert_eq!((found.secret.unwrap().expose(), found.head), ("the secret", Some(head(2))));
    holder.advance(head(3)).await.unwrap();
}

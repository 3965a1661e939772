//! Three key stores that outlive each other.

use keyholder::{AcquireError, HoldError, Keyholder, Loss, NewBody};
use nix::sys::signal::Signal;
use nostr::key::Keys;
use protocol::nec::Env;
use protocol::rpc::keycrux::{Identity, Input, Policy, SecretData};
use quorum::{Head, Lost};

use crate::enclave::{Enclave, REPO, input, policy, signed};
use crate::world::{SOON, World};

/// An owner of a record, and its release.
pub(crate) struct Owner {
    pub(crate) enclave: Enclave,
    pub(crate) policy: Policy,
    pub(crate) identity: Identity,
    pub(crate) input: Input,
    maintainer: Keys,
}

impl Owner {
    pub(crate) fn new(world: &World) -> Self {
        let maintainer = Keys::generate();
        let enclave = Enclave::start(&world.root, "v1");
        let policy = policy(std::slice::from_ref(&maintainer), 1);
        let identity = enclave.identity(&policy);
        let input = input(vec![signed(&maintainer, REPO, "1.0.0", "v1", Env::Dev)]);
        Self { enclave, policy, identity, input, maintainer }
    }

    pub(crate) fn body(&self, secret: &str, split: Option<u8>) -> NewBody {
        let (policy, secret) = (self.policy.clone(), SecretData::new(secret.into()));
        NewBody { policy, build: self.enclave.build("1.0.0"), secret, split }
    }

    /// Its successor: another build of a later release on the same machine.
    fn successor(&self, world: &World) -> (Enclave, Input) {
        let input = input(vec![signed(&self.maintainer, REPO, "1.1.0", "v2", Env::Dev)]);
        (Enclave::start(&world.root, "v2"), input)
    }
}

pub(crate) fn head(generation: u64) -> Head {
    let digest = [u8::try_from(generation).unwrap(); 32];
    Head { generation, digest }
}

/// Founds the record, and moves its head to 1.
pub(crate) async fn found(world: &World, owner: &Owner, split: Option<u8>) -> Keyholder {
    let (holder, found) = world.acquire(&owner.enclave, &owner.identity, &owner.input).await.unwrap();
    assert!(found.secret.is_none() && found.head.is_none() && found.lineage.is_empty());
    holder.write(owner.body("the secret", split)).await.unwrap();
    holder.advance(head(1)).await.unwrap();
    assert!(holder.may_act());
    holder
}

#[tokio::test(flavor = "multi_thread")]
async fn holder_keeps_its_lease_and_a_second_one_ends_it() {
    let world = World::new(3, 2).await;
    let keycruxes = world.start_all().await;
    let owner = Owner::new(&world);
    let first = found(&world, &owner, None).await;
    assert_eq!(first.advance(head(3)).await, Err(HoldError::NotNext { offered: 3, held: 1 }));
    first.advance(head(2)).await.unwrap();
    // Renewed by itself: longer than a lease has passed while the next one was acquired.
    let (second, found) = world.acquire(&owner.enclave, &owner.identity, &owner.input).await.unwrap();
    assert_eq!((found.head, found.lineage.len()), (Some(head(2)), 1));
    assert_eq!(found.secret.unwrap().expose(), "the secret");
    assert!(!first.may_act(), "the first must have stopped before the second began");
    assert!(second.may_act());
    let loss = tokio::time::timeout(SOON, first.lost()).await.unwrap();
    assert!(matches!(loss, Loss::Protocol(Lost::Fenced { .. })), "{loss}");
    assert!(first.advance(head(3)).await.is_err());
    second.advance(head(3)).await.unwrap();
    drop(keycruxes);
}

#[tokio::test(flavor = "multi_thread")]
async fn next_release_finds_the_record_of_the_one_before() {
    let world = World::new(3, 2).await;
    let _keycruxes = world.start_all().await;
    let owner = Owner::new(&world);
    drop(found(&world, &owner, None).await);
    let (enclave, input) = owner.successor(&world);
    let unsigned = world.acquire(&enclave, &owner.identity, &Input::default()).await.unwrap_err();
    assert_eq!(
        unsigned.refusal().map(|refusal| refusal.code.as_str()),
        Some("release_missing"),
        "{unsigned}"
    );
    let (holder, found) = world.acquire(&enclave, &owner.identity, &input).await.unwrap();
    assert_eq!(found.secret.clone().unwrap().expose(), "the secret");
    let build = enclave.build("1.1.0");
    let (policy, secret) = (owner.policy.clone(), found.secret.unwrap());
    holder.write(NewBody { policy, build, secret, split: None }).await.unwrap();
    drop(holder);
    let (_, found) = world.acquire(&enclave, &owner.identity, &Input::default()).await.unwrap();
    let versions: Vec<_> = found.lineage.iter().filter_map(|build| build.version.clone()).collect();
    assert_eq!(versions.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1.0.0", "1.1.0"]);
    // And the one before does not get it back.
    let old = world.acquire(&owner.enclave, &owner.identity, &owner.input).await.unwrap_err();
    assert_eq!(old.refusal().map(|refusal| refusal.code.as_str()), Some("version_too_old"), "{old}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_restarted_one_after_the_other_keep_everything() {
    let world = World::new(3, 2).await;
    let mut keycruxes = world.start_all().await;
    let owner = Owner::new(&world);
    let holder = found(&world, &owner, None).await;
    for (i, generation) in [(0, 2), (1, 3)] {
        drop(keycruxes.remove(i));
        let again = world.start(i).await;
        world.wait_serving(&again).await;
        again.wait_log("joined the group").await;
        keycruxes.insert(i, again);
        holder.advance(head(generation)).await.unwrap();
    }
    // The two that restarted are enough by themselves.
    drop(keycruxes.remove(2));
    holder.advance(head(4)).await.unwrap();
    drop(holder);
    let (_, found) = world.acquire(&owner.enclave, &owner.identity, &owner.input).await.unwrap();
    assert_eq!((found.head, found.secret.unwrap().expose()), (Some(head(4)), "the secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_one_kept_aside_gives_nothing_alone_nor_to_the_next_group() {
    let world = World::new(3, 2).await;
    let mut keycruxes = world.start_all().await;
    let owner = Owner::new(&world);
    let holder = found(&world, &owner, None).await;
    // The first is put aside with what it knows, and its launcher starts another.
    let aside = keycruxes.remove(0);
    aside.signal(Signal::SIGSTOP);
    let successor = world.start(0).await;
    world.wait_serving(&successor).await;
    holder.advance(head(2)).await.unwrap();
    drop((holder, successor, keycruxes));
    aside.signal(Signal::SIGCONT);
    let options = world.holder_options(&owner.enclave, owner.identity.clone(), owner.input.clone());
    let alone = Keyholder::acquire(options, std::time::Duration::from_secs(12)).await.unwrap_err();
    assert!(matches!(alone, AcquireError::NoQuorum { .. }), "{alone}");
    // Two that start anew neither take what it has, nor found a group beside it.
    let anew = [world.start(1).await, world.start(2).await];
    let options = world.holder_options(&owner.enclave, owner.identity.clone(), owner.input.clone());
    let refused = Keyholder::acquire(options, std::time::Duration::from_secs(8)).await.unwrap_err();
    assert!(matches!(refused, AcquireError::NoQuorum { .. }), "{refused}");
    for one in &anew {
        assert!(!world.status(one).await.serving);
    }
    // Once its launcher gives it up, there is a new group, which is empty and says so.
    drop(aside);
    let third = world.start(0).await;
    for one in anew.iter().chain([&third]) {
        world.wait_serving(one).await;
        one.wait_log("a new group was founded; it is empty").await;
    }
    let (_, found) = world.acquire(&owner.enclave, &owner.identity, &owner.input).await.unwrap();
    assert!(found.secret.is_none() && found.head.is_none());
}

/// The only copy of the secret is in the holder then: it is not lost, and nobody acts on it.
#[tokio::test(flavor = "multi_thread")]
async fn holder_whose_key_stores_all_started_anew_stands_still_and_is_not_lost() {
    let world = World::new(3, 2).await;
    let keycruxes = world.start_all().await;
    let owner = Owner::new(&world);
    let holder = found(&world, &owner, None).await;
    drop(keycruxes);
    let anew = world.start_all().await;
    for one in &anew {
        one.wait_log("a new group was founded; it is empty").await;
    }
    let orphaned = async {
        while !holder.is_orphaned() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, orphaned).await.expect("the holder did not notice");
    assert!(!holder.may_act() && holder.remaining().is_zero());
    let regrouped = HoldError::Lost(Loss::Protocol(Lost::Regrouped));
    assert_eq!(holder.advance(head(2)).await, Err(regrouped.clone()));
    assert_eq!(holder.write(owner.body("the secret", None)).await, Err(regrouped));
    // As long as a lease and more, it is neither lost nor does it begin to act again.
    let lost = tokio::time::timeout(crate::world::LEASE * 2, holder.lost()).await;
    assert!(lost.is_err() && holder.is_orphaned() && !holder.may_act(), "{lost:?}");
}

/// A write that key stores refuse costs the writer nothing but the write.
#[tokio::test(flavor = "multi_thread")]
async fn refused_body_leaves_the_holder_what_it_holds() {
    let world = World::new(3, 2).await;
    let _keycruxes = world.start_all().await;
    let owner = Owner::new(&world);
    let holder = found(&world, &owner, None).await;
    let mut longer = owner.body("x", None);
    longer.secret = SecretData::new("x".repeat(2_000));
    let refused = tokio::time::timeout(SOON, holder.write(longer)).await.unwrap().unwrap_err();
    assert!(matches!(&refused, HoldError::Refused(refusal) if refusal.code == "data_too_large"), "{refused}");
    assert!(holder.may_act());
    holder.advance(head(2)).await.unwrap();
    drop(holder);
    let (_, found) = world.acquire(&owner.enclave, &owner.identity, &owner.input).await.unwrap();
    assert_eq!((found.head, found.secret.unwrap().expose()), (Some(head(2)), "the secret"));
}

//! A client that should not get what it asks for.

use std::sync::Arc;
use std::time::Duration;

use attestation_sim::SimRoot;
use nostr::key::Keys;
use protocol::kinds::ANNOUNCEMENT;
use protocol::nec::Env;
use protocol::rpc::Refusal;
use protocol::rpc::keycrux::{
    CheckParams, GetParams, HasParams, HypotheticalBuild, Input, LeaseParams, PeerParams, Policy, Revoked,
    SecretData, SetParams,
};
use quorum::{Epoch, Hello, PeerRequest, Status};
use relay::rpc::RpcError;
use serde_json::json;
use units::{Clock, ManualClock, SystemClock};

use crate::enclave::{Enclave, INSTANCE_ID, REPO, input, policy, signed, signed_at};
use crate::world::{Running, SOON, World};

/// One key store that holds the secret of build `v2`, release 1.2.0, two of three maintainers.
struct Stage {
    world: World,
    keycrux: Running,
    owner: Enclave,
    maintainers: [Keys; 3],
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, RpcError>) -> Refusal {
    match outcome {
        Err(RpcError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

impl Stage {
    async fn new(change: impl FnOnce(&mut Policy)) -> Self {
        Self::with_config(json!({}), change).await
    }

    async fn with_config(config: serde_json::Value, change: impl FnOnce(&mut Policy)) -> Self {
        let mut world = World::new(1, 1).await;
        world.config = config;
        let keycrux = world.start_all().await.remove(0);
        let owner = Enclave::start(&world.root, "v2");
        let maintainers = [(); 3].map(|()| Keys::generate());
        let stage = Self { world, keycrux, owner, maintainers };
        let mut policy = policy(&stage.maintainers, 2);
        change(&mut policy);
        let input = stage.released("v2", "1.2.0");
        let set = stage.set(&stage.owner, "the secret", Some(policy), input).await;
        assert_eq!(set.unwrap(), "ok");
        stage
    }

    /// The signatures of two maintainers.
    fn released(&self, image_seed: &str, version: &str) -> Input {
        input(
            self.maintainers[..2].iter().map(|by| signed(by, REPO, version, image_seed, Env::Dev)).collect(),
        )
    }

    async fn set(
        &self,
        from: &Enclave,
        data: &str,
        policy: Option<Policy>,
        input: Input,
    ) -> Result<String, RpcError> {
        let keys = Keys::generate();
        let (attestation, data) = (from.document(&keys), SecretData::new(data.into()));
        let params = SetParams { attestation, data, policy, input: Some(input) };
        self.world.client(&self.keycrux, &keys).await.set(&params).await
    }

    async fn get(&self, from: &Enclave, input: Input) -> Result<SecretData, RpcError> {
        let keys = Keys::generate();
        let params = GetParams { attestation: from.document(&keys), input: Some(input), identity: None };
        self.world.client(&self.keycrux, &keys).await.get(&params).await
    }

    /// `get` and `lease` are refused with this code, and the owner still has its secret.
    async fn check(&self, from: &Enclave, input: Input, code: &str) {
        assert_eq!(refusal(self.get(from, input.clone()).await).code, code);
        let keys = Keys::generate();
        let identity = self.owner.identity(&policy(&self.maintainers, 2));
        let epoch = Epoch { round: 1, holder: [1; 16] };
        let params = LeaseParams { attestation: from.document(&keys), identity, input, epoch };
        let leased = self.world.client(&self.keycrux, &keys).await.lease(&params).await;
        // The record that `lease` would open does not exist: its founder must be signed all the same.
        if !["version_too_old", "revoked", "delay_pending"].contains(&code) {
            assert_eq!(refusal(leased).code, code);
        }
        self.check_owner().await;
    }

    async fn check_owner(&self) {
        assert_eq!(self.get(&self.owner, Input::default()).await.unwrap().expose(), "the secret");
    }
}

#[tokio::test]
async fn document_that_is_not_the_callers_is_refused() {
    let stage = Stage::new(|_| {}).await;
    let (owner, thief) = (Keys::generate(), Keys::generate());
    let client = stage.world.client(&stage.keycrux, &thief).await;
    let copied = GetParams { attestation: stage.owner.document(&owner), input: None, identity: None };
    assert_eq!(refusal(client.get(&copied).await).code, "key_mismatch");
    for (attestation, code) in
        [("", "attestation_invalid"), ("?", "attestation_invalid"), ("aGVsbG8=", "attestation_invalid")]
    {
        let params = GetParams { attestation: attestation.into(), input: None, identity: None };
        assert_eq!(refusal(client.get(&params).await).code, code);
    }
    stage.check_owner().await;
}

#[tokio::test]
async fn enclave_that_proves_nothing_is_refused() {
    let stage = Stage::new(|_| {}).await;
    let clock = || Arc::new(SystemClock);
    let debug = Enclave::with(&stage.world.root, "v2", INSTANCE_ID, true, clock());
    stage.check(&debug, stage.released("v2", "1.2.0"), "debug_mode").await;
    let other_root = Arc::new(SimRoot::generate().unwrap());
    let forged = Enclave::with(&other_root, "v2", INSTANCE_ID, false, clock());
    stage.check(&forged, stage.released("v2", "1.2.0"), "attestation_invalid").await;
    let past = Arc::new(ManualClock::at(SystemClock.now().minus_secs(400)));
    let stale = Enclave::with(&stage.world.root, "v2", INSTANCE_ID, false, past);
    stage.check(&stale, stage.released("v2", "1.2.0"), "too_old").await;
    let elsewhere = Enclave::with(&stage.world.root, "v2", "i-0elsewhere", false, clock());
    let outcome = stage.get(&elsewhere, stage.released("v2", "1.2.0")).await;
    assert_eq!(refusal(outcome).code, "not_found");
}

#[tokio::test]
async fn build_without_enough_signatures_is_refused() {
    let stage = Stage::new(|_| {}).await;
    let next = Enclave::start(&stage.world.root, "v3");
    let by = |by: &Keys, seed| signed(by, REPO, "1.3.0", seed, Env::Dev);
    let [one, two, _] = &stage.maintainers;
    let stranger = Keys::generate();
    stage.check(&next, input(vec![]), "release_missing").await;
    stage
        .check(&next, input(vec![by(&stranger, "v3"), by(&Keys::generate(), "v3")]), "release_missing")
        .await;
    stage.check(&next, input(vec![by(one, "v3")]), "release_missing").await;
    stage
        .check(&next, input(vec![by(one, "v3"), by(one, "v3"), by(&stranger, "v3")]), "release_missing")
        .await;
    stage.check(&next, input(vec![by(one, "v4"), by(two, "v4")]), "release_missing").await;
    let mut altered = by(two, "v4");
    altered.tags = by(two, "v3").tags;
    stage.check(&next, input(vec![by(one, "v3"), altered]), "release_missing").await;
}

#[tokio::test]
async fn release_of_something_else_is_refused() {
    let stage = Stage::new(|_| {}).await;
    let next = Enclave::start(&stage.world.root, "v3");
    let by_two = |repo: &str, env| {
        input(stage.maintainers[..2].iter().map(|by| signed(by, repo, "1.3.0", "v3", env)).collect())
    };
    stage.check(&next, by_two("https://example.com/other", Env::Dev), "ref_mismatch").await;
    stage.check(&next, by_two(REPO, Env::Prod), "release_invalid").await;
}

#[tokio::test]
async fn old_and_revoked_releases_are_refused_and_the_next_is_not() {
    let stage = Stage::new(|policy| policy.revoked = vec![Revoked::Version("1.3.0".parse().unwrap())]).await;
    let other = Enclave::start(&stage.world.root, "other");
    stage.check(&other, stage.released("other", "1.1.0"), "version_too_old").await;
    stage.check(&other, stage.released("other", "1.3.0"), "revoked").await;
    let got = stage.get(&other, stage.released("other", "1.4.0")).await.unwrap();
    assert_eq!(got.expose(), "the secret");
}

#[tokio::test]
async fn release_waits_from_when_it_was_first_shown_however_old_its_signatures_are() {
    let delay_secs = 3;
    let stage = Stage::new(|policy| policy.min_delay_secs = delay_secs).await;
    let next = Enclave::start(&stage.world.root, "v3");
    let long_ago = SystemClock.now().minus_secs(1_000_000);
    let back_dated = input(
        stage.maintainers[..2]
            .iter()
            .map(|by| signed_at(by, REPO, "1.3.0", "v3", Env::Dev, long_ago))
            .collect(),
    );
    // Whoever has the release may ask before it runs; from then on it is known.
    let client = stage.world.client(&stage.keycrux, &Keys::generate()).await;
    let build = Some(HypotheticalBuild { pcrs: next.pcrs, pcr4: next.pcr4 });
    let params = CheckParams { attestation: None, build, identity: None, input: back_dated.clone() };
    let asked = client.check(&params).await.unwrap();
    assert_eq!((asked.allowed, asked.code.as_str()), (false, "delay_pending"));
    let not_before = asked.not_before.unwrap();
    assert!(not_before >= SystemClock.now().plus_secs(delay_secs - 1), "{not_before}");
    stage.check(&next, back_dated.clone(), "delay_pending").await;
    while SystemClock.now() < not_before {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(client.check(&params).await.unwrap().allowed);
    assert_eq!(stage.get(&next, back_dated).await.unwrap().expose(), "the secret");
}

#[tokio::test]
async fn set_from_another_build_changes_nothing_of_the_record() {
    let stage = Stage::new(|_| {}).await;
    let rogue = Enclave::start(&stage.world.root, "rogue");
    let policy = || Some(policy(&stage.maintainers, 2));
    let set = stage.set(&rogue, "mine", policy(), input(vec![])).await;
    assert_eq!(refusal(set).code, "release_missing");
    let set = stage.set(&rogue, "mine", policy(), stage.released("rogue", "1.0.0")).await;
    assert_eq!(refusal(set).code, "version_too_old");
    stage.check_owner().await;
    // A record of its own is no way to the other's.
    stage.set(&rogue, "mine", None, Input::default()).await.unwrap();
    assert_eq!(stage.get(&rogue, Input::default()).await.unwrap().expose(), "mine");
    stage.check_owner().await;
}

#[tokio::test]
async fn store_is_bounded_and_evicts_nobody() {
    let bounds = json!({"records": {"max": 6, "per_instance_max": 3, "data_bytes_max": 100}});
    let stage = Stage::with_config(bounds, |_| {}).await;
    let on = |seed: &str, machine: &str| {
        Enclave::with(&stage.world.root, seed, machine, false, Arc::new(SystemClock))
    };
    let set = stage.set(&on("big", INSTANCE_ID), &"x".repeat(101), None, Input::default()).await;
    assert_eq!(refusal(set).code, "data_too_large");
    for n in 0..2 {
        stage.set(&on(&format!("{n}"), INSTANCE_ID), "x", None, Input::default()).await.unwrap();
    }
    let set = stage.set(&on("2", INSTANCE_ID), "x", None, Input::default()).await;
    assert_eq!(refusal(set).code, "instance_full");
    for n in 0..3 {
        stage.set(&on("0", &format!("i-0m{n}")), "x", None, Input::default()).await.unwrap();
    }
    let set = stage.set(&on("0", "i-0m3"), "x", None, Input::default()).await;
    assert_eq!(refusal(set).code, "full");
    let status = stage.world.status(&stage.keycrux).await;
    assert_eq!((status.records, status.records_max), (6, 6));
    let client = stage.world.client(&stage.keycrux, &Keys::generate()).await;
    assert_eq!(client.has(&HasParams { pcr4: stage.owner.pcr4 }).await.unwrap().count, 3);
    assert_eq!(client.ping().await.unwrap(), "pong");
    stage.check_owner().await;
}

/// Nobody but a key store of the group learns as one of it what the others hold.
#[tokio::test]
async fn stranger_is_not_told_what_members_tell_each_other() {
    let stage = Stage::new(|_| {}).await;
    let filter = nostr::filter::Filter::new().author(stage.keycrux.member.service()).kind(ANNOUNCEMENT);
    let theirs = stage.world.pool.fetch(filter, SOON).await.unwrap().remove(0).into_event();
    let thief = Keys::generate();
    let client = stage.world.client(&stage.keycrux, &thief).await;
    let own = protocol::event::sign(&thief, ANNOUNCEMENT, SystemClock.now(), vec![], String::new());
    let (member, boot) = (stage.keycrux.member.id(), stage.keycrux.member.boot());
    let hello = Hello { member, boot, status: Status::Joining([(member, boot)].into()) };
    for announcement in [theirs, own.unwrap().into_event()] {
        let params = PeerParams { announcement, request: PeerRequest::Hello(hello.clone()), after: None };
        assert_eq!(refusal(client.peer(&params).await).code, "not_member");
    }
}

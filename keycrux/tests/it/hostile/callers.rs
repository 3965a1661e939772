//! Who does not prove to be the enclave that asks.

use std::sync::Arc;

use attestation_sim::SimRoot;
use nostr::key::Keys;
use protocol::kinds::ANNOUNCEMENT;
use protocol::rpc::keycrux::{GetParams, LeaseParams, PeerParams, SecretData, SetParams};
use quorum::{Epoch, Hello, PeerRequest, Status};
use units::{Clock, ManualClock, SystemClock};

use super::{Stage, refusal};
use crate::enclave::{Enclave, INSTANCE_ID};
use crate::world::SOON;

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The owner's own document, fresh and genuine, sent by another key.
#[tokio::test]
async fn copied_attestation_is_refused() {
    let stage = Stage::new(|_| {}).await;
    let (owner, thief) = (Keys::generate(), Keys::generate());
    let copied = stage.owner.document(&owner);
    let client = stage.world.client(&stage.keycrux, &thief).await;
    let get = GetParams { attestation: copied.clone(), input: None, identity: None };
    assert_eq!(refusal(client.get(&get).await).code, "key_mismatch");
    let identity = stage.identity();
    let epoch = Epoch { round: 1_000, holder: [9; 16] };
    let lease =
        LeaseParams { attestation: copied.clone(), identity, input: stage.released("v2", "1.2.0"), epoch };
    assert_eq!(refusal(client.lease(&lease).await).code, "key_mismatch");
    let data = SecretData::new("mine".into());
    let set = SetParams {
        attestation: copied,
        data,
        policy: Some(stage.policy.clone()),
        input: Some(stage.released("v2", "1.2.0")),
    };
    assert_eq!(refusal(client.set(&set).await).code, "key_mismatch");
    stage.check_owner().await;
}

#[tokio::test]
async fn attestation_that_is_none_is_refused() {
    let stage = Stage::new(|_| {}).await;
    let client = stage.world.client(&stage.keycrux, &Keys::generate()).await;
    let long = "A".repeat(20_000);
    for attestation in ["", "?", "aGVsbG8=", &long] {
        let params = GetParams { attestation: attestation.into(), input: None, identity: None };
        assert_eq!(refusal(client.get(&params).await).code, "attestation_invalid");
    }
    stage.check_owner().await;
}

#[tokio::test]
async fn debug_document_is_refused() {
    let stage = Stage::new(|_| {}).await;
    let debug = Enclave::with(&stage.world.root, "v2", INSTANCE_ID, true, clock());
    stage.check(&debug, stage.released("v2", "1.2.0"), "debug_mode").await;
}

#[tokio::test]
async fn document_under_another_root_is_refused() {
    let stage = Stage::new(|_| {}).await;
    let other_root = Arc::new(SimRoot::generate().unwrap());
    let forged = Enclave::with(&other_root, "v2", INSTANCE_ID, false, clock());
    stage.check(&forged, stage.released("v2", "1.2.0"), "attestation_invalid").await;
}

#[tokio::test]
async fn document_of_before_is_refused() {
    let stage = Stage::new(|_| {}).await;
    let past = Arc::new(ManualClock::at(SystemClock.now().minus_secs(400)));
    let stale = Enclave::with(&stage.world.root, "v2", INSTANCE_ID, false, past);
    stage.check(&stale, stage.released("v2", "1.2.0"), "too_old").await;
}

#[tokio::test]
async fn same_build_on_another_machine_does_not_get_the_record() {
    let stage = Stage::new(|_| {}).await;
    let elsewhere = Enclave::with(&stage.world.root, "v2", "i-0elsewhere", false, clock());
    let release = || stage.released("v2", "1.2.0");
    assert_eq!(refusal(stage.get(&elsewhere, release()).await).code, "not_found");
    assert_eq!(refusal(stage.open(&elsewhere, release()).await).code, "pcr_mismatch");
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

//! Too many, and too much.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keyholder::KeycruxClient;
use nostr::key::{Keys, PublicKey};
use protocol::rpc::keycrux::{
    AdvanceParams, Body, HasParams, Identity, Input, Material, Policy, SecretData, SetParams,
};
use quorum::{Epoch, Stamp, Stamped};
use serde_json::json;
use tokio::task::JoinSet;
use units::SystemClock;

use super::{Stage, refusal};
use crate::enclave::{Enclave, INSTANCE_ID};

/// Records that the stage itself makes: the owner's two.
const OWN: usize = 2;
/// As many as a key store takes if nothing else is configured.
const RECORDS: usize = 10_000;
const CLIENTS: usize = 32;
/// Longer than any answer takes.
const MOMENT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn store_is_bounded_and_evicts_nobody() {
    let bounds = json!({"records": {"max": 7, "per_instance_max": 4, "data_bytes_max": 100}});
    let stage = Stage::with_config(bounds, |_| {}).await;
    let on = |seed: &str, machine: &str| {
        Enclave::with(&stage.world.root, seed, machine, false, Arc::new(SystemClock))
    };
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
    assert_eq!((status.records, status.records_max), (7, 7));
    let client = stage.world.client(&stage.keycrux, &Keys::generate()).await;
    assert_eq!(client.has(&HasParams { pcr4: stage.owner.pcr4 }).await.unwrap().count, 4);
    assert_eq!(client.ping().await.unwrap(), "pong");
    stage.check_owner().await;
}

#[tokio::test]
async fn oversize_data_is_refused() {
    let stage = Stage::new(|_| {}).await;
    let big = Enclave::start(&stage.world.root, "big");
    for (bytes, code) in [(1_025, "data_too_large"), (0, "data_too_large")] {
        let set = stage.set(&big, &"x".repeat(bytes), None, Input::default()).await;
        assert_eq!(refusal(set).code, code);
    }
    let opened = stage.open(&stage.owner, Input::default()).await.unwrap();
    let mut body = stage.body(stage.policy.clone());
    let data = SecretData::new("x".repeat(1_025));
    body.material = Material::Data(data);
    let written = stage.write(&stage.owner, stage.released("v2", "1.2.0"), &opened, body).await;
    assert_eq!(refusal(written).code, "data_too_large");
    stage.set(&big, &"x".repeat(1_024), None, Input::default()).await.unwrap();
    stage.check_owner().await;
}

/// More than fits into an event does not even arrive, and keeps nobody from being answered.
#[tokio::test]
async fn message_that_is_longer_than_any_is_not_carried_out() {
    let stage = Stage::new(|_| {}).await;
    let big = Enclave::start(&stage.world.root, "big");
    let keys = Keys::generate();
    let (pool, clock) = (stage.world.pool.clone(), Arc::new(SystemClock));
    let service = stage.keycrux.member.service();
    let client = KeycruxClient::new(pool, keys.clone(), service, clock, MOMENT).await.unwrap();
    let data = SecretData::new("x".repeat(200_000));
    let params = SetParams { attestation: big.document(&keys), data, policy: None, input: None };
    let set = client.set(&params).await;
    assert!(set.is_err(), "{set:?}");
    assert_eq!(stage.world.status(&stage.keycrux).await.records, OWN);
    stage.check_owner().await;
}

/// A stranger fills the store over the relay, with as many records as it takes.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_records_leave_the_owners_alone() {
    let bounds = json!({"records": {"per_instance_max": 20_000}});
    let stage = Arc::new(Stage::with_config(bounds, |_| {}).await);
    let stranger =
        Arc::new(Enclave::with(&stage.world.root, "v2", "i-0stranger", false, Arc::new(SystemClock)));
    let group = stage.world.status(&stage.keycrux).await.origin.unwrap().view.group;
    let mut clients = JoinSet::new();
    for first in 0..CLIENTS {
        let (stage, stranger) = (Arc::clone(&stage), Arc::clone(&stranger));
        clients.spawn(async move {
            let keys = Keys::generate();
            let client = stage.world.client(&stage.keycrux, &keys).await;
            let attestation = stranger.document(&keys);
            let mut refused = BTreeSet::new();
            for n in (first..RECORDS + CLIENTS).step_by(CLIENTS) {
                let stamp = Stamp { epoch: Epoch { round: 1, holder: [2; 16] }, seq: 1 };
                let identity = one_of_many(&stage.policy, &stranger, n);
                let body = Body {
                    policy: identity.founding_policy(),
                    identity: identity.clone(),
                    lineage: vec![stranger.build("1.2.0")],
                    material: Material::Data(SecretData::new("x".into())),
                    shown: vec![],
                };
                let params = AdvanceParams {
                    attestation: attestation.clone(),
                    identity,
                    input: stage.released("v2", "1.2.0"),
                    epoch: stamp.epoch,
                    group,
                    body: Some(Stamped { stamp, value: body }),
                    head: None,
                    lease_ms: Stamped { stamp, value: 5_000 },
                };
                if let Err(relay::rpc::RpcError::Refused(refusal)) = client.advance(&params).await {
                    refused.insert(refusal.code);
                }
            }
            refused
        });
    }
    let mut refused = BTreeSet::new();
    while let Some(codes) = clients.join_next().await {
        refused.extend(codes.unwrap());
    }
    assert_eq!(refused, BTreeSet::from(["full".to_owned()]));
    let status = stage.world.status(&stage.keycrux).await;
    assert_eq!((status.records, status.records_max), (RECORDS, RECORDS));
    stage.check_owner().await;
}

/// Each with another maintainer besides, so that each is another record; two of the three that sign are
/// enough for all of them.
fn one_of_many(policy: &Policy, enclave: &Enclave, n: usize) -> Identity {
    let mut other = [0; 32];
    other[24..].copy_from_slice(&(n as u64 + 1).to_be_bytes());
    let mut policy = policy.clone();
    policy.release_pubkeys.insert(PublicKey::from_byte_array(other));
    enclave.identity(&policy)
}

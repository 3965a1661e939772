//! What anybody may send to a key store, and what members of a group tell each other: parameters, policies,
//! identities.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::rpc::keycrux::{
    AdvanceParams, Body, CheckParams, GetParams, HasParams, HeadParams, Identity, LeaseParams, PeerAnswer,
    PeerParams, Policy, SetParams, StatusReply,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|input: &str| {
    if let Some(policy) = read::<Policy>(input) {
        // What passes has signers, and as many of them as it wants.
        if policy.check().is_ok() && policy.follows_releases() {
            assert!((1..=policy.release_pubkeys.len()).contains(&policy.signers_wanted()));
            assert!(policy.repo.is_some() && policy.digest().is_ok());
        }
    }
    if let Some(identity) = read::<Identity>(input) {
        // One name, however it came.
        let again: Identity = serde_json::from_str(&written(&identity)).expect("it was written by us");
        assert_eq!((identity.record_id(), &identity), (again.record_id(), &again));
    }
    if let Some(body) = read::<Body>(input) {
        let _ = (body.version(), body.current(), body.material.bytes());
        assert!(!written(&body.material.without_shares()).contains("\"bytes\""));
    }
    if let Some(params) = read::<SetParams>(input) {
        // Long enough to be found nowhere by chance.
        let secret = params.data.expose();
        assert!(secret.len() < 16 || !format!("{:?}", params.data).contains(secret));
    }
    read::<GetParams>(input);
    read::<LeaseParams>(input);
    read::<AdvanceParams>(input);
    read::<CheckParams>(input);
    read::<PeerParams>(input);
    read::<PeerAnswer>(input);
    read::<HasParams>(input);
    read::<HeadParams>(input);
    read::<StatusReply>(input);
});

/// What was read is written so that it is read again.
fn read<T: DeserializeOwned + Serialize>(input: &str) -> Option<T> {
    let value: T = serde_json::from_str(input).ok()?;
    let text = written(&value);
    let again: T = serde_json::from_str(&text).expect("it was written by us");
    assert_eq!(written(&again), text);
    Some(value)
}

fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is JSON")
}

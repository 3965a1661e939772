//! Derived keys.

use std::collections::BTreeMap;

use lifecycle::State;
use nostr::key::{Keys, SecretKey};
use protocol::guest::DeriveKey;
use protocol::manifest::{Egress, LaunchManifest, MANIFEST_VERSION, Salt, Upgrade};
use units::{ComputeUnits, Msat, UnixSecs};

use super::derive::derive;
use crate::store::{Container, Origin, Spec, Token};

fn container(keys: Keys, digest: &str, upgrade: Option<Upgrade>) -> Container {
    let (owner, units) = (Keys::parse(&"02".repeat(32)).unwrap().public_key(), ComputeUnits::new(1).unwrap());
    let image = format!("registry.example/app@sha256:{}", digest.repeat(32));
    let manifest = upgrade.map(|upgrade| LaunchManifest {
        version: MANIFEST_VERSION,
        image: image.clone(),
        args: None,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        units,
        ports: vec![],
        volumes: vec![],
        egress: Egress::All,
        upgrade,
        owner,
        logs: true,
        exec: false,
    });
    Container {
        keys,
        token: Token::new("t".into()),
        slot: Some(0),
        origin: Origin::Launched { owner, request_key: "k".into() },
        spec: Spec {
            name: None,
            image,
            config_digest: format!("sha256:{}", "ee".repeat(32)),
            args: None,
            env: BTreeMap::new(),
            secrets: None,
            units,
            ports: vec![],
            volumes: vec![],
            image_volumes: vec![],
            volume_bytes: None,
            egress: Egress::All,
            price_per_period: Msat::ZERO,
            manifest,
            manifest_sha256: None,
            salt: Some(Salt::new([0; 32])),
        },
        state: State::builtin(),
        invoice: None,
        balance: Msat::ZERO,
        app: None,
        reason: None,
        created_at: UnixSecs(0),
        started_at: None,
    }
}

fn key(service: &SecretKey, container: &Container, path: &str) -> String {
    derive(service, container, &DeriveKey { path: path.into() }).unwrap().key
}

#[test]
fn derived_key_is_pinned() {
    let service = SecretKey::from_slice(&[1; 32]).unwrap();
    let fixed = container(Keys::parse(&"03".repeat(32)).unwrap(), "ab", Some(Upgrade::None));
    assert_eq!(
        key(&service, &fixed, "disk"),
        "1967fdee097ccab72de57a1c29f94fef72de43aa2c65a17f8ecc8ea63fa27978"
    );
}

#[test]
fn derived_keys_differ_in_all_that_they_are_bound_to() {
    let (service, other_service) = (Keys::generate(), Keys::generate());
    let keys = Keys::generate();
    let fixed = container(keys.clone(), "ab", Some(Upgrade::None));
    let first = key(service.secret_key(), &fixed, "disk");
    assert_eq!(key(service.secret_key(), &fixed.clone(), "disk"), first, "the same each time");
    let others = [
        key(other_service.secret_key(), &fixed, "disk"),
        key(service.secret_key(), &fixed, "disk2"),
        key(service.secret_key(), &container(Keys::generate(), "ab", Some(Upgrade::None)), "disk"),
        key(service.secret_key(), &container(keys.clone(), "cd", Some(Upgrade::None)), "disk"),
        key(service.secret_key(), &container(keys.clone(), "ab", Some(Upgrade::Owner)), "disk"),
        key(service.secret_key(), &container(keys.clone(), "ab", None), "disk"),
    ];
    assert!(others.iter().all(|other| *other != first && other.len() == 64));
    // Who may be upgraded keeps its keys when it is.
    let before = key(service.secret_key(), &container(keys.clone(), "ab", Some(Upgrade::Owner)), "disk");
    let after = key(service.secret_key(), &container(keys, "cd", Some(Upgrade::Owner)), "disk");
    assert_eq!(before, after);
}

#[test]
fn paths_that_are_none_are_refused() {
    let fixed = container(Keys::generate(), "ab", Some(Upgrade::None));
    let long = "x".repeat(257);
    for bad in ["", "a\n", "ä", long.as_str()] {
        let refused = derive(Keys::generate().secret_key(), &fixed, &DeriveKey { path: bad.into() });
        assert_eq!(refused.unwrap_err().code.as_str(), "params_invalid", "{bad:?}");
    }
}

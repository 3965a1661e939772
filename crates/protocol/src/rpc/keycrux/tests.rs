use attestation::Pcr;
use nostr::event::EventId;
use nostr::key::{Keys, PublicKey};
use quorum::Stamp;
use serde_json::json;
use units::UnixSecs;

use super::*;
use crate::nec::Env;

fn pcr(byte: u8) -> Pcr {
    Pcr::from_bytes([byte; 48])
}

fn maintainer() -> PublicKey {
    PublicKey::from_hex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798").unwrap()
}

fn signed() -> Policy {
    let release_pubkeys = [maintainer()].into();
    Policy { repo: Some("repo".into()), release_pubkeys, env: Some(Env::Dev), ..Policy::default() }
}

#[test]
fn policy_of_the_reference_is_read_and_written_as_it_is() {
    let value = json!({"ref": "repo", "release_pubkeys": [maintainer().to_hex()]});
    let policy: Policy = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), value);
    assert_eq!((policy.signers_wanted(), policy.check()), (1, Ok(())));
    let bare: Policy = serde_json::from_value(json!({"ref": "repo"})).unwrap();
    assert_eq!((bare.follows_releases(), bare.check()), (false, Ok(())));
}

#[test]
fn policy_of_ours_is_pinned() {
    let value = json!({
        "ref": "repo", "release_pubkeys": [maintainer().to_hex()], "t": "prod", "threshold": 1,
        "min_delay_secs": 60, "min_version": "1.2.0", "revoked": ["1.3.0", "ab".repeat(48)],
    });
    let policy: Policy = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), value);
    assert!(policy.revokes(&pcr(0xab), None) && policy.revokes(&pcr(1), Some(&"1.3.0".parse().unwrap())));
    assert!(!policy.revokes(&pcr(1), Some(&"1.3.1".parse().unwrap())));
}

#[test]
fn policy_that_means_nothing_is_refused() {
    let check = |change: &dyn Fn(&mut Policy), fault| {
        let mut policy = signed();
        change(&mut policy);
        assert_eq!(policy.check(), Err(fault));
    };
    check(&|policy| policy.repo = None, PolicyFault::Repo);
    check(&|policy| policy.repo = Some(String::new()), PolicyFault::Repo);
    check(&|policy| policy.threshold = Some(0), PolicyFault::Threshold);
    check(&|policy| policy.threshold = Some(2), PolicyFault::Threshold);
    check(&|policy| policy.env = Some(Env::Debug), PolicyFault::Env);
    check(&|policy| policy.min_delay_secs = u64::MAX, PolicyFault::Delay);
    check(&|policy| policy.revoked = vec![Revoked::Pcr0(pcr(1)); REVOKED_MAX + 1], PolicyFault::Revoked);
    check(
        &|policy| policy.release_pubkeys = (0..=16).map(|_| Keys::generate().public_key()).collect(),
        PolicyFault::Maintainers,
    );
    let unsigned = Policy { min_delay_secs: 1, ..Policy::default() };
    assert_eq!(unsigned.check(), Err(PolicyFault::Unsigned));
    assert!(serde_json::from_value::<Policy>(json!({"ref": "repo", "treshold": 1})).is_err());
}

#[test]
fn records_are_named_by_machine_and_founding() {
    let name = |pcr4, pcrs, policy: &Policy| Identity::new(pcr(pcr4), pcrs, policy).record_id();
    let (one, two) = ([pcr(1); 3], [pcr(2); 3]);
    let unsigned = Policy::default();
    assert_ne!(name(4, one, &unsigned), name(4, two, &unsigned));
    assert_ne!(name(4, one, &unsigned), name(5, one, &unsigned));
    // Other builds of one founding have one record, however the rules changed that are not in its name.
    assert_eq!(name(4, one, &signed()), name(4, two, &signed()));
    let stricter = Policy { min_delay_secs: 7, min_version: "1.0.0".parse().ok(), ..signed() };
    assert_eq!(name(4, one, &stricter), name(4, one, &signed()));
    for other in [
        Policy { repo: Some("other".into()), ..signed() },
        Policy { env: Some(Env::Prod), ..signed() },
        Policy { release_pubkeys: [Keys::generate().public_key()].into(), ..signed() },
    ] {
        assert_ne!(name(4, one, &other), name(4, one, &signed()));
    }
    let identity = Identity::new(pcr(4), one, &signed());
    assert_eq!(Identity::new(pcr(4), one, &identity.founding_policy()), identity);
    let pinned = "603e52343832d07cfdfbf21d575fce8a46a2afd84351a570e7c5a39aa68250d6";
    assert_eq!(hex::encode(identity.record_id().0), pinned);
    // A fresh start has a record of its own, whatever else is the same.
    let genesis = |byte| identity.clone().of_genesis(EventId::from_byte_array([byte; 32]));
    assert_ne!(genesis(1).record_id(), genesis(2).record_id());
    assert_ne!(genesis(1).record_id(), identity.record_id());
    let pinned = "8d642a34b59942e0452ab8b6b1371943eda5f126cd814baa84972d2a06257e12";
    assert_eq!(hex::encode(genesis(1).record_id().0), pinned);
}

#[test]
fn identity_without_a_genesis_is_written_as_before() {
    let identity = Identity::new(pcr(4), [pcr(1); 3], &Policy::default());
    let value = serde_json::to_value(&identity).unwrap();
    assert!(value.get("genesis").is_none(), "{value}");
    assert_eq!(serde_json::from_value::<Identity>(value).unwrap(), identity);
    let fresh = identity.of_genesis(EventId::from_byte_array([0xab; 32]));
    let value = serde_json::to_value(&fresh).unwrap();
    assert_eq!(value["genesis"], "ab".repeat(32));
    assert_eq!(serde_json::from_value::<Identity>(value).unwrap(), fresh);
}

#[test]
fn secrets_do_not_print_and_shares_travel_as_hex() {
    let data = Material::Data(SecretData::new("hunter2".into()));
    let share = Share { dealing: Stamp::default(), x: 3, bytes: ShareBytes::new(vec![0xab, 1]) };
    let split = Material::Split { threshold: 2, shares: vec![share] };
    assert!(!format!("{data:?}{split:?}").contains("hunter2"), "{data:?}");
    assert!(!format!("{split:?}").contains("171"), "{split:?}");
    assert_eq!(serde_json::to_value(&data).unwrap(), json!({"data": "hunter2"}));
    let value = serde_json::to_value(&split).unwrap();
    assert_eq!(value["split"]["shares"][0]["bytes"], "ab01");
    assert_eq!(serde_json::from_value::<Material>(value).unwrap(), split);
    assert_eq!(split.without_shares(), Material::Split { threshold: 2, shares: vec![] });
    assert_eq!((data.bytes(), split.bytes()), (7, 2));
}

#[test]
fn lineage_grows_by_other_builds_and_is_bounded() {
    let build = |n: u8| Build { pcrs: [pcr(n); 3], version: None, since: UnixSecs(n.into()) };
    let identity = Identity::new(pcr(4), [pcr(0); 3], &signed());
    let material = Material::Data(SecretData::new(String::new()));
    let mut body = Body { identity, policy: signed(), lineage: vec![build(1)], material, shown: vec![] };
    body.pass_to(build(1));
    assert_eq!(body.lineage.len(), 1);
    (2..60).for_each(|n| body.pass_to(build(n)));
    assert_eq!((body.lineage.len(), body.current()), (LINEAGE_MAX, Some(&build(59))));
}

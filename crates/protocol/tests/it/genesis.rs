//! The permission of a fresh start, against a kept document.

use attestation::{Expectations, Pcr, VerifiedDocument, VerifyAt, verify};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::key::Keys;
use protocol::event::{CheckedEvent, sign, tag_value};
use protocol::kinds::GENESIS;
use protocol::nec::{Env, VerifiedGenesis, genesis};
use protocol::tag;
use units::UnixSecs;

use crate::fixtures::{INDEX, read};

const AT: UnixSecs = UnixSecs(1_750_000_000);
const UNTIL: UnixSecs = UnixSecs(1_750_003_600);

fn keys(seed: u8) -> Keys {
    Keys::parse(&hex::encode([seed; 32])).unwrap()
}

fn document() -> VerifiedDocument {
    let announcement = CheckedEvent::parse(&read("announcement/policy-both-maintainers.json")).unwrap();
    let root = CheckedEvent::parse(tag_value(&announcement, "tee_root").unwrap()).unwrap();
    let raw = STANDARD.decode(&root.content).unwrap();
    verify(&raw, &Expectations::none(), &INDEX.root(), VerifyAt::DocumentTime).unwrap()
}

fn permission(pcr4: Pcr, env: Env) -> CheckedEvent {
    genesis::build(&keys(3), &keys(6).public_key(), &pcr4, env, UNTIL, AT).unwrap()
}

#[test]
fn permission_is_read_and_its_bytes_are_pinned() {
    let document = document();
    let pcr4 = document.pcr(4).unwrap();
    let event = permission(pcr4, Env::Dev);
    let expected = vec![
        tag!["-"],
        tag!["t", "dev"],
        tag!["PCR4", pcr4],
        tag!["p", keys(6).public_key().to_hex()],
        tag!["expiration", "1750003600"],
    ];
    let tags: Vec<_> = event.tags.iter().map(|tag| tag.as_slice().to_vec()).collect();
    assert_eq!((event.kind.as_u16(), tags, event.content.as_str()), (23_796, expected, ""));
    let read = VerifiedGenesis::verify(&event, &document, Env::Dev).unwrap();
    assert_eq!((read.launcher(), read.boot_key()), (keys(3).public_key(), keys(6).public_key()));
    assert_eq!(read.id(), event.id);
    assert!(read.check_current(UNTIL).is_ok());
    assert_eq!(read.check_current(UNTIL.plus_secs(1)).unwrap_err().code(), "genesis_expired");
}

#[test]
fn permission_for_something_else_is_refused() {
    let document = document();
    let pcr4 = document.pcr(4).unwrap();
    let check = |event: &CheckedEvent, code: &str| {
        let refused = VerifiedGenesis::verify(event, &document, Env::Dev).unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    };
    check(&permission(Pcr::from_bytes([7; 48]), Env::Dev), "genesis_pcr4_mismatch");
    check(&permission(pcr4, Env::Prod), "genesis_env_mismatch");
    let good: Vec<Vec<String>> =
        permission(pcr4, Env::Dev).tags.iter().map(|tag| tag.as_slice().to_vec()).collect();
    let signed = |kind, tags| sign(&keys(3), kind, AT, tags, String::new()).unwrap();
    check(&signed(protocol::kinds::LAUNCHER_SIGNATURE, good.clone()), "genesis_invalid");
    // Each tag but `-` must be there, once.
    for index in 1..good.len() {
        let mut without = good.clone();
        without.remove(index);
        check(&signed(GENESIS, without), "genesis_invalid");
        let mut twice = good.clone();
        twice.push(good[index].clone());
        check(&signed(GENESIS, twice), "genesis_invalid");
    }
    let with = |index: usize, value: &str| {
        let mut tags = good.clone();
        tags[index][1] = value.to_owned();
        signed(GENESIS, tags)
    };
    check(&with(1, "test"), "genesis_invalid");
    check(&with(2, "00"), "genesis_pcr4_mismatch");
    check(&with(3, "00"), "genesis_invalid");
    check(&with(3, &keys(6).public_key().to_hex().to_uppercase()), "genesis_invalid");
    check(&with(4, "+1750003600"), "genesis_invalid");
}

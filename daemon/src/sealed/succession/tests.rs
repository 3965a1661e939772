use nostr::key::Keys;
use protocol::nec::{Env, approval, release};
use protocol::rpc::keycrux::Revoked;
use units::UnixSecs;

use super::*;

const REPO: &str = "https://example.com/enclaved";

fn pcrs(byte: u8) -> [Pcr; 3] {
    [Pcr::from_bytes([byte; 48]); 3]
}

fn policy_of(keys: &[&Keys], threshold: u32) -> Policy {
    Policy {
        repo: Some(REPO.into()),
        release_pubkeys: keys.iter().map(|keys| keys.public_key()).collect(),
        env: Some(Env::Dev),
        threshold: Some(threshold),
        ..Policy::default()
    }
}

fn signed(keys: &Keys, version: &str, pcrs: &[Pcr; 3]) -> Event {
    release::build(keys, REPO, version, pcrs, Env::Dev, UnixSecs(1)).unwrap().into_event()
}

fn approved(keys: &Keys, from: &Policy, to: &Policy) -> Event {
    let change = PolicyChange { from: from.digest().unwrap(), to: to.digest().unwrap() };
    approval::draft(REPO, Env::Dev, &change, UnixSecs(1)).sign(keys).unwrap().into_event()
}

#[test]
fn policy_is_never_loosened_without_the_maintainers_word() {
    let (a, b, stranger) = (Keys::generate(), Keys::generate(), Keys::generate());
    let held = Policy {
        min_delay_secs: 60,
        min_version: "1.2.0".parse().ok(),
        revoked: vec![Revoked::Pcr0(Pcr::from_bytes([9; 48]))],
        ..policy_of(&[&a, &b], 2)
    };
    let check = |configured: &Policy, shown: &[Event], expected: &Policy| {
        assert_eq!(&policy(Some(&held), configured, shown).unwrap(), expected);
    };
    let stricter = Policy {
        min_delay_secs: 120,
        min_version: "1.3.0".parse().ok(),
        revoked: vec![Revoked::Version("1.2.5".parse().unwrap())],
        ..held.clone()
    };
    assert_eq!(policy(None, &stricter, &[]).unwrap(), stricter);
    check(&held, &[], &held);
    let both_revoked = vec![held.revoked[0].clone(), stricter.revoked[0].clone()];
    check(&stricter, &[], &Policy { revoked: both_revoked, ..stricter.clone() });
    let looser = Policy { min_delay_secs: 0, min_version: None, revoked: Vec::new(), ..held.clone() };
    check(&looser, &[], &held);
    // Who may sign stays, even if it looks stricter: to tell is the key stores' business.
    check(&policy_of(&[&a, &b, &stranger], 3), &[], &held);
    check(&policy_of(&[&stranger], 1), &[], &held);
    let by = |keys: &[&Keys], to: &Policy| -> Vec<Event> {
        keys.iter().map(|keys| approved(keys, &held, to)).collect()
    };
    check(&looser, &by(&[&a], &looser), &held);
    check(&looser, &by(&[&a, &a], &looser), &held);
    check(&looser, &by(&[&a, &stranger], &looser), &held);
    check(&looser, &by(&[&a, &b], &stricter), &held);
    check(&looser, &by(&[&a, &b], &looser), &looser);
    let backwards: Vec<_> = [&a, &b].iter().map(|keys| approved(keys, &looser, &held)).collect();
    check(&looser, &backwards, &held);
}

#[test]
fn version_is_what_enough_maintainers_signed() {
    let (a, b, stranger) = (Keys::generate(), Keys::generate(), Keys::generate());
    let policy = policy_of(&[&a, &b], 2);
    let check = |shown: &[Event], expected: Option<&str>| {
        assert_eq!(version(&policy, &pcrs(1), shown).map(|v| v.to_string()).as_deref(), expected);
    };
    check(&[], None);
    check(&[signed(&a, "1.0.0", &pcrs(1))], None);
    check(&[signed(&a, "1.0.0", &pcrs(1)), signed(&b, "1.0.1", &pcrs(1))], None);
    check(&[signed(&a, "1.0.0", &pcrs(1)), signed(&stranger, "1.0.0", &pcrs(1))], None);
    let both = |version: &str, of: u8| vec![signed(&a, version, &pcrs(of)), signed(&b, version, &pcrs(of))];
    check(&both("1.0.0", 2), None);
    check(&both("1.0.0", 1), Some("1.0.0"));
    check(&[both("1.0.0", 1), both("1.10.0", 1), both("1.9.0", 1)].concat(), Some("1.10.0"));
    let mut forged = signed(&b, "1.0.0", &pcrs(1));
    forged.content = "other".into();
    check(&[signed(&a, "1.0.0", &pcrs(1)), forged], None);
}

#[test]
fn successors_are_newer_releases_of_other_builds() {
    let a = Keys::generate();
    let policy = policy_of(&[&a], 1);
    let shown = vec![
        signed(&a, "1.0.0", &pcrs(1)),
        signed(&a, "1.1.0", &pcrs(2)),
        signed(&a, "0.9.0", &pcrs(3)),
        signed(&Keys::generate(), "2.0.0", &pcrs(4)),
    ];
    let own = "1.0.0".parse().unwrap();
    let found = successors(&policy, &pcrs(1), Some(&own), &shown);
    assert_eq!(found, [("1.1.0".parse().unwrap(), pcrs(2))]);
}

#[test]
fn lineage_ends_with_this_build_once() {
    let build = |byte, version: Option<&str>| Build {
        pcrs: pcrs(byte),
        version: version.map(|v| v.parse().unwrap()),
        since: UnixSecs(byte.into()),
    };
    let (one, two) = (build(1, Some("1.0.0")), build(2, Some("1.1.0")));
    assert_eq!(lineage(&[], &one), std::slice::from_ref(&one));
    let again = Build { since: UnixSecs(99), ..one.clone() };
    let had = std::slice::from_ref(&one);
    assert_eq!(lineage(had, &again), had, "it has had it since");
    assert_eq!(lineage(had, &two), [one.clone(), two.clone()]);
    assert_eq!(lineage(&[one.clone(), two.clone()], &one), [one.clone(), two, one]);
}

#[test]
fn revocations_that_do_not_fit_are_an_error_and_none_is_left_out() {
    let a = Keys::generate();
    let images = |from: usize| -> Vec<Revoked> {
        (0..REVOKED_MAX)
            .map(|n| Revoked::Pcr0(Pcr::from_bytes([u8::try_from(from + n).unwrap(); 48])))
            .collect()
    };
    let held = Policy { revoked: images(1), ..policy_of(&[&a], 1) };
    let one_more = Policy { revoked: images(2), ..held.clone() };
    assert_eq!(policy(Some(&held), &one_more, &[]), Err(PolicyFault::Revoked));
    // Versions that are too old anyway make room.
    let version = |n: usize| Revoked::Version(format!("1.0.{n}").parse().unwrap());
    let held = Policy { revoked: (0..REVOKED_MAX).map(version).collect(), ..policy_of(&[&a], 1) };
    let newer = Policy { min_version: "1.1.0".parse().ok(), revoked: images(1), ..held.clone() };
    assert_eq!(policy(Some(&held), &newer, &[]).unwrap(), newer);
}

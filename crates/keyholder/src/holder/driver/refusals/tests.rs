use nostr::key::Keys;

use super::*;

const LEASE_MS: u64 = 60_000;
/// Of three, two must agree.
const SPARE: usize = 1;

fn refusal(code: Code) -> Refusal {
    Refusal { code: code.as_str().into(), message: String::new() }
}

fn service() -> PublicKey {
    Keys::generate().public_key()
}

fn member(n: u8) -> MemberId {
    MemberId([n; 32])
}

/// Whether two of three that refuse so, and go on refusing for a lease, end a tenure that holds.
fn ends(code: Code) -> bool {
    let mut refusals = Refusals::default();
    let services = [service(), service()];
    for at_ms in [0, LEASE_MS / 2, LEASE_MS] {
        for (n, one) in (1..).zip(services) {
            refusals.refused(one, member(n), refusal(code), at_ms);
        }
    }
    refusals.verdict(SPARE, LEASE_MS, LEASE_MS, is_verdict).is_some()
}

#[test]
fn only_the_policys_verdicts_end_what_is_held() {
    for code in [Code::Revoked, Code::VersionTooOld, Code::ReleaseMissing, Code::PcrMismatch] {
        assert!(ends(code), "{code:?}");
    }
    for code in [
        Code::TooOld,
        Code::Full,
        Code::InstanceFull,
        Code::MethodUnknown,
        Code::NotJoined,
        Code::RateLimited,
        Code::StaleRequest,
        Code::Internal,
        Code::ParamsInvalid,
        Code::AttestationInvalid,
        Code::LineageInvalid,
        Code::PolicyWeaker,
    ] {
        assert!(!ends(code), "{code:?}");
    }
}

#[test]
fn verdict_counts_once_it_has_lasted() {
    let mut refusals = Refusals::default();
    let (one, two) = (service(), service());
    refusals.refused(one, member(1), refusal(Code::Revoked), 0);
    refusals.refused(two, member(2), refusal(Code::Revoked), 10);
    let verdict = |refusals: &Refusals, at| refusals.verdict(SPARE, at, LEASE_MS, is_verdict);
    assert_eq!(verdict(&refusals, LEASE_MS), None);
    assert_eq!(verdict(&refusals, LEASE_MS + 10), Some(refusal(Code::Revoked)));
    // Whoever does not hold anything yet need not wait.
    assert!(refusals.verdict(SPARE, 10, 0, is_verdict).is_some());
    // Another refusal in between begins anew.
    refusals.refused(two, member(2), refusal(Code::Full), 20);
    refusals.refused(two, member(2), refusal(Code::Revoked), 30);
    assert_eq!(verdict(&refusals, LEASE_MS + 10), None);
}

#[test]
fn launcher_has_one_vote_and_its_dead_instances_none() {
    let mut refusals = Refusals::default();
    let (old, new, other) = (service(), service(), service());
    let verdict = |refusals: &Refusals| refusals.verdict(SPARE, LEASE_MS, LEASE_MS, is_verdict).is_some();
    // Two instances of one launcher are one vote.
    refusals.refused(old, member(1), refusal(Code::Revoked), 0);
    refusals.refused(new, member(1), refusal(Code::Revoked), 0);
    assert!(!verdict(&refusals));
    refusals.refused(other, member(2), refusal(Code::Revoked), 0);
    assert!(verdict(&refusals));
    // One that answers takes back what any instance of its launcher said.
    refusals.answered(member(1));
    assert!(!verdict(&refusals));
    refusals.refused(old, member(1), refusal(Code::Revoked), 0);
    assert!(verdict(&refusals));
    refusals.silent(&old);
    assert!(!verdict(&refusals));
    refusals.refused(old, member(1), refusal(Code::Revoked), 0);
    refusals.retain(|service| *service != old);
    assert!(!verdict(&refusals));
}

use std::sync::LazyLock;

use nostr::key::Keys;
use proptest::prelude::*;
use protocol::rpc::keycrux::Revoked;

use super::*;

pub(super) const REPO: &str = "https://example.com/enclaved";
pub(super) const NOW: UnixSecs = UnixSecs(1_000_000);

/// The first four are maintainers, the others strangers.
pub(super) static PEOPLE: LazyLock<Vec<PublicKey>> =
    LazyLock::new(|| (0..6).map(|_| Keys::generate().public_key()).collect());

fn pcr(n: u8) -> Pcr {
    Pcr::from_bytes([n; 48])
}

/// Build `n` on the machine.
pub(super) fn build(n: u8) -> Measured {
    Measured { pcrs: [pcr(n), pcr(n + 100), pcr(n + 200)], pcr4: pcr(4) }
}

pub(super) fn version(minor: u64) -> Version {
    format!("1.{minor}.0").parse().unwrap()
}

pub(super) fn release(signer: usize, of: u8, minor: u64) -> Release {
    let signer = PEOPLE[signer];
    Release { signer, repo: REPO.into(), env: Env::Dev, version: Some(version(minor)), pcrs: build(of).pcrs }
}

/// A record of build 1, release 1.5.0, two of whose three maintainers must sign the next.
pub(super) fn record() -> Rules<'static> {
    let policy = Policy {
        repo: Some(REPO.into()),
        release_pubkeys: PEOPLE[..3].iter().copied().collect(),
        env: Some(Env::Dev),
        threshold: Some(2),
        ..Policy::default()
    };
    let current = Build { pcrs: build(1).pcrs, version: Some(version(5)), since: UnixSecs(1) };
    Rules { pcr4: pcr(4), policy, version: current.version.clone(), current: Some(current), pending: &[] }
}

pub(super) fn shown(releases: &[Release]) -> Shown {
    Shown::new(Some(REPO.into()), releases.to_vec())
}

#[track_caller]
fn check(rules: &Rules<'_>, of: Measured, releases: &[Release], expected: Result<Basis, Code>) {
    let verdict = judge(rules, &of, &shown(releases), NOW).map_err(|refusal| refusal.code);
    assert_eq!(verdict, expected);
}

fn with(change: impl FnOnce(&mut Policy)) -> Rules<'static> {
    let mut rules = record();
    change(&mut rules.policy);
    rules
}

#[test]
fn same_build_gets_its_record_without_signatures() {
    check(&record(), build(1), &[], Ok(Basis::Same));
    let other_machine = Measured { pcr4: pcr(5), ..build(1) };
    check(&record(), other_machine, &[], Err(Code::PcrMismatch));
    let revoked = with(|policy| policy.revoked = vec![Revoked::Version(version(5))]);
    check(&revoked, build(1), &[], Err(Code::Revoked));
    let newer = with(|policy| policy.min_version = Some(version(6)));
    check(&newer, build(1), &[], Err(Code::VersionTooOld));
}

#[test]
fn signed_release_gets_the_record() {
    let signed = [release(0, 2, 6), release(2, 2, 6)];
    check(&record(), build(2), &signed, Ok(Basis::Release(version(6))));
    // The same version built again counts; so does a silent `input.ref`.
    let again = [release(0, 2, 5), release(1, 2, 5)];
    check(&record(), build(2), &again, Ok(Basis::Release(version(5))));
    let silent = judge(&record(), &build(2), &Shown::new(None, signed.to_vec()), NOW);
    assert_eq!(silent, Ok(Basis::Release(version(6))));
}

#[test]
fn build_that_too_few_maintainers_signed_is_refused() {
    let missing = Err(Code::ReleaseMissing);
    check(&record(), build(2), &[], missing.clone());
    check(&record(), build(2), &[release(0, 2, 6)], missing.clone());
    // Twice the same maintainer; a stranger; another build.
    check(&record(), build(2), &[release(0, 2, 6), release(0, 2, 6)], missing.clone());
    check(&record(), build(2), &[release(0, 2, 6), release(4, 2, 6)], missing.clone());
    check(&record(), build(2), &[release(4, 2, 6), release(5, 2, 6)], missing.clone());
    check(&record(), build(2), &[release(0, 3, 6), release(1, 3, 6)], missing.clone());
    check(&record(), build(2), &[release(0, 2, 6), release(1, 3, 6)], missing);
}

#[test]
fn release_for_something_else_is_refused() {
    let changed = |change: fn(&mut Release)| {
        [0, 1].map(|signer| {
            let mut release = release(signer, 2, 6);
            change(&mut release);
            release
        })
    };
    let other_repo = changed(|release| release.repo = "https://example.com/other".into());
    check(&record(), build(2), &other_repo, Err(Code::RefMismatch));
    let other_env = changed(|release| release.env = Env::Prod);
    check(&record(), build(2), &other_env, Err(Code::ReleaseInvalid));
    let silent = changed(|release| release.version = None);
    check(&record(), build(2), &silent, Err(Code::ReleaseInvalid));
    let disagreeing = [release(0, 2, 6), release(1, 2, 7)];
    check(&record(), build(2), &disagreeing, Err(Code::ReleaseInvalid));
    let claimed = Shown::new(Some("https://example.com/other".into()), vec![]);
    let verdict = judge(&record(), &build(2), &claimed, NOW).unwrap_err();
    assert_eq!(verdict.code, Code::RefMismatch);
}

#[test]
fn old_and_revoked_releases_are_refused() {
    let old = [release(0, 2, 4), release(1, 2, 4)];
    check(&record(), build(2), &old, Err(Code::VersionTooOld));
    let signed = [release(0, 2, 6), release(1, 2, 6)];
    let newer = with(|policy| policy.min_version = Some(version(7)));
    check(&newer, build(2), &signed, Err(Code::VersionTooOld));
    let by_version = with(|policy| policy.revoked = vec![Revoked::Version(version(6))]);
    check(&by_version, build(2), &signed, Err(Code::Revoked));
    let by_image = with(|policy| policy.revoked = vec![Revoked::Pcr0(pcr(2))]);
    check(&by_image, build(2), &signed, Err(Code::Revoked));
}

#[test]
fn record_without_maintainers_belongs_to_one_build() {
    let unsigned = with(|policy| *policy = Policy::default());
    check(&unsigned, build(1), &[], Ok(Basis::Same));
    check(&unsigned, build(2), &[release(0, 2, 6), release(1, 2, 6)], Err(Code::PcrMismatch));
}

#[test]
fn policy_that_got_in_unchecked_does_not_open_anything() {
    let nobody = with(|policy| policy.threshold = Some(0));
    check(&nobody, build(2), &[], Err(Code::ReleaseMissing));
}

#[test]
fn delay_counts_from_when_the_release_was_first_shown_here() {
    let rules = with(|policy| policy.min_delay_secs = 100);
    let signed = [release(0, 2, 6), release(1, 2, 6)];
    let refusal = judge(&rules, &build(2), &shown(&signed), NOW).unwrap_err();
    assert_eq!(refusal.code, Code::DelayPending);
    assert_eq!(
        (refusal.unknown.as_slice(), refusal.not_before),
        (&[version(6)][..], Some(UnixSecs(1_000_100)))
    );
    let pending = |first_seen| [Pending { pcrs: build(2).pcrs, version: Some(version(6)), first_seen }];
    let young = pending(UnixSecs(999_901));
    let refusal = judge(&Rules { pending: &young, ..rules.clone() }, &build(2), &shown(&signed), NOW);
    let refusal = refusal.unwrap_err();
    assert_eq!((refusal.unknown.len(), refusal.not_before), (0, Some(UnixSecs(1_000_001))));
    let old = pending(UnixSecs(999_900));
    let rules = Rules { pending: &old, ..rules };
    check(&rules, build(2), &signed, Ok(Basis::Release(version(6))));
    // What waited is this release of this build, and no other.
    check(&rules, build(3), &[release(0, 3, 6), release(1, 3, 6)], Err(Code::DelayPending));
    check(&rules, build(2), &[release(0, 2, 7), release(1, 2, 7)], Err(Code::DelayPending));
    // The build that has the record waits for nothing.
    check(&rules, build(1), &[], Ok(Basis::Same));
}

#[test]
fn registers_of_zero_are_nobodys() {
    let zero = Measured { pcrs: [Pcr::ZERO; 3], pcr4: pcr(4) };
    let mut rules = record();
    rules.current = Some(Build { pcrs: zero.pcrs, version: None, since: UnixSecs(0) });
    check(&rules, zero, &[], Err(Code::PcrMismatch));
}

fn any_release() -> impl Strategy<Value = Release> {
    let parts = (0..6_usize, 1..4_u8, prop::option::weighted(0.9, 3..9_u64), any::<[bool; 2]>());
    parts.prop_map(|(signer, of, minor, [same_repo, same_env])| Release {
        repo: if same_repo { REPO.into() } else { "other".into() },
        env: if same_env { Env::Dev } else { Env::Prod },
        version: minor.map(version),
        ..release(signer, of, 0)
    })
}

/// Release `minor` of build `of`, which was first seen so many seconds ago.
pub(super) fn pending(of: u8, minor: u64, age_secs: u64) -> Pending {
    let first_seen = NOW.minus_secs(age_secs);
    Pending { pcrs: build(of).pcrs, version: Some(version(minor)), first_seen }
}

fn any_pending() -> impl Strategy<Value = Pending> {
    (1..4_u8, 3..9_u64, 0..200_u64).prop_map(|(of, minor, age)| pending(of, minor, age))
}

pub(super) fn any_policy() -> impl Strategy<Value = Policy> {
    let revoked = prop_oneof![
        (3..9_u64).prop_map(|minor| Revoked::Version(version(minor))),
        (1..4_u8).prop_map(|n| Revoked::Pcr0(pcr(n))),
    ];
    let parts = (
        0..5_usize,
        prop::option::of(0..5_u32),
        prop_oneof![Just(0), Just(100)],
        prop::option::weighted(0.3, 3..9_u64),
        prop::collection::vec(revoked, 0..2),
    );
    parts.prop_map(|(maintainers, threshold, min_delay_secs, oldest, revoked)| Policy {
        repo: Some(REPO.into()),
        release_pubkeys: PEOPLE[..maintainers.min(4)].iter().copied().collect(),
        env: Some(Env::Dev),
        threshold,
        min_delay_secs,
        min_version: oldest.map(version),
        revoked,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_but_a_signed_release_that_is_due_gets_anothers_record(
        policy in any_policy(),
        pending in prop::collection::vec(any_pending(), 0..4),
        releases in prop::collection::vec(any_release(), 0..10),
        of in 1..4_u8,
    ) {
        let rules = Rules { policy, pending: &pending, ..record() };
        let verdict = judge(&rules, &build(of), &shown(&releases), NOW);
        let policy = &rules.policy;
        match verdict {
            Err(_) => {}
            Ok(Basis::Same) => {
                prop_assert_eq!(of, 1);
                prop_assert!(!policy.revokes(&pcr(1), Some(&version(5))));
            }
            Ok(Basis::Release(signed)) => {
                let counts = |release: &&Release| {
                    policy.release_pubkeys.contains(&release.signer)
                        && release.pcrs == build(of).pcrs
                        && release.repo == REPO
                        && release.env == Env::Dev
                        && release.version.as_ref() == Some(&signed)
                };
                let signers: BTreeSet<_> = releases.iter().filter(counts).map(|r| r.signer).collect();
                prop_assert!(signers.len() >= policy.signers_wanted().max(1));
                prop_assert!(signed >= version(5) && policy.min_version.as_ref().is_none_or(|min| signed >= *min));
                prop_assert!(!policy.revokes(&pcr(of), Some(&signed)));
                let is_due = |pending: &Pending| {
                    pending.pcrs == build(of).pcrs
                        && pending.version.as_ref() == Some(&signed)
                        && pending.first_seen.plus_secs(policy.min_delay_secs) <= NOW
                };
                prop_assert!(policy.min_delay_secs == 0 || pending.iter().any(is_due));
            }
        }
    }

    #[test]
    fn one_signature_more_never_turns_yes_into_no(
        policy in any_policy(),
        pending in prop::collection::vec(any_pending(), 0..4),
        releases in prop::collection::vec(any_release(), 0..10),
        more in any_release(),
        of in 1..4_u8,
    ) {
        let rules = Rules { policy, pending: &pending, ..record() };
        if judge(&rules, &build(of), &shown(&releases), NOW).is_ok() {
            let releases = [releases, vec![more]].concat();
            prop_assert!(judge(&rules, &build(of), &shown(&releases), NOW).is_ok());
        }
    }
}

use attestation::Pcr;
use nostr::key::Keys;
use proptest::prelude::*;
use protocol::nec::PolicyApproval;
use protocol::rpc::keycrux::RELEASE_PUBKEYS_MAX;

use super::super::tests::{NOW, PEOPLE, REPO, any_policy, build, record, release, shown, version};
use super::super::{Rules, judge};
use super::*;

/// Two of the first three people.
fn held() -> Policy {
    record().policy
}

fn people(range: std::ops::Range<usize>) -> BTreeSet<PublicKey> {
    PEOPLE[range].iter().copied().collect()
}

fn with(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = held();
    change(&mut policy);
    policy
}

#[track_caller]
fn check(held: &Policy, new: &Policy, expected: Option<Weaker>) {
    assert_eq!(weaker(held, new), expected);
    let verdict = judge_change(held, new, &Shown::default()).map_err(|refusal| refusal.code);
    assert_eq!(verdict, expected.map_or(Ok(()), |_| Err(Code::PolicyWeaker)));
}

#[test]
fn each_field_may_be_tightened_and_not_loosened() {
    check(&held(), &held(), None);
    let pairs: [(Policy, Policy, Weaker); 5] = [
        (with(|p| p.min_delay_secs = 60), held(), Weaker::Delay),
        (with(|p| p.min_version = Some(version(6))), held(), Weaker::MinVersion),
        (
            with(|p| p.min_version = Some(version(6))),
            with(|p| p.min_version = Some(version(5))),
            Weaker::MinVersion,
        ),
        (with(|p| p.revoked = vec![Revoked::Version(version(6))]), held(), Weaker::Revoked),
        (with(|p| p.revoked = vec![Revoked::Pcr0(Pcr::from_bytes([2; 48]))]), held(), Weaker::Revoked),
    ];
    for (strict, lax, weaker) in pairs {
        check(&lax, &strict, None);
        check(&strict, &lax, Some(weaker));
    }
    check(&held(), &with(|p| p.repo = Some("https://example.com/other".into())), Some(Weaker::Repo));
    check(&held(), &with(|p| p.env = Some(Env::Prod)), Some(Weaker::Env));
    // What is not said is what it means.
    check(&with(|p| p.env = Some(Env::Prod)), &with(|p| p.env = None), None);
}

#[test]
fn signers_are_compared_as_who_could_sign_without_whom() {
    let of = |range: std::ops::Range<usize>, threshold: Option<u32>| {
        with(|policy| {
            policy.release_pubkeys = people(range);
            policy.threshold = threshold;
        })
    };
    let held = of(0..3, Some(2));
    // Fewer who may, or more who must.
    check(&held, &of(0..2, Some(2)), None);
    check(&held, &of(0..3, Some(3)), None);
    check(&held, &of(0..3, None), None);
    check(&held, &of(0..3, Some(1)), Some(Weaker::Signers));
    check(&held, &of(0..1, Some(1)), Some(Weaker::Signers));
    // A fourth is harmless only if one more must sign.
    check(&held, &of(0..4, Some(2)), Some(Weaker::Signers));
    check(&held, &of(0..4, Some(3)), None);
    check(&held, &of(1..4, Some(2)), Some(Weaker::Signers));
    check(&held, &of(1..4, Some(3)), None);
    check(&held, &of(3..6, None), Some(Weaker::Signers));
}

#[test]
fn revoked_version_may_be_dropped_once_it_is_too_old() {
    let revoked = with(|p| p.revoked = vec![Revoked::Version(version(6))]);
    check(&revoked, &with(|p| p.min_version = Some(version(7))), None);
    check(&revoked, &with(|p| p.min_version = Some(version(6))), Some(Weaker::Revoked));
    let image = with(|p| p.revoked = vec![Revoked::Pcr0(Pcr::from_bytes([2; 48]))]);
    check(&image, &with(|p| p.min_version = Some(version(7))), Some(Weaker::Revoked));
}

#[test]
fn record_of_one_build_stays_one() {
    check(&Policy::default(), &held(), Some(Weaker::Follows));
    check(&held(), &Policy::default(), None);
    check(&Policy::default(), &Policy::default(), None);
    // There is nobody whose approval could count.
    let approvals = (0..3).map(|signer| approval(signer, &Policy::default(), &held())).collect();
    let shown = Shown::default().with_approvals(approvals);
    assert!(judge_change(&Policy::default(), &held(), &shown).is_err());
}

fn approval(signer: usize, from: &Policy, to: &Policy) -> PolicyApproval {
    let change = PolicyChange { from: from.digest().unwrap(), to: to.digest().unwrap() };
    PolicyApproval { signer: PEOPLE[signer], repo: REPO.into(), env: Env::Dev, change }
}

#[test]
fn as_many_maintainers_as_a_release_needs_may_loosen_a_policy() {
    let (held, new) = (with(|p| p.min_delay_secs = 60), held());
    let check = |approvals: Vec<PolicyApproval>, expected: bool| {
        let shown = Shown::default().with_approvals(approvals);
        assert_eq!(judge_change(&held, &new, &shown).is_ok(), expected);
    };
    let by = |signer| approval(signer, &held, &new);
    let spoilt = |change: &dyn Fn(&mut PolicyApproval)| {
        let mut approval = by(1);
        change(&mut approval);
        approval
    };
    check(vec![by(0), by(1)], true);
    check(vec![by(2), by(4), by(1)], true);
    check(vec![by(0)], false);
    check(vec![by(0), by(0)], false);
    check(vec![by(0), by(4)], false);
    check(vec![by(0), spoilt(&|a| a.repo = "other".into())], false);
    check(vec![by(0), spoilt(&|a| a.env = Env::Prod)], false);
    check(vec![by(0), spoilt(&|a| a.change.to = [0; 32])], false);
    // Of an earlier time, when another policy was in force.
    check(vec![by(0), spoilt(&|a| a.change.from = [0; 32])], false);
    // Who is to be a maintainer has no say yet.
    let more = Policy { release_pubkeys: people(0..5), ..new.clone() };
    let newcomers = [0, 3, 4].map(|signer| approval(signer, &held, &more)).to_vec();
    assert!(judge_change(&held, &more, &Shown::default().with_approvals(newcomers)).is_err());
}

#[test]
fn longest_lists_are_compared() {
    let many = |count: usize| {
        with(|policy| {
            policy.release_pubkeys = (0..count).map(|_| Keys::generate().public_key()).collect();
            policy.threshold = None;
        })
    };
    check(&many(RELEASE_PUBKEYS_MAX), &many(RELEASE_PUBKEYS_MAX), Some(Weaker::Signers));
}

/// A policy that could be in force, of any of the people.
fn usable_policy() -> impl Strategy<Value = Policy> {
    let keys = prop::collection::btree_set(0..6_usize, 1..5);
    (any_policy(), keys, prop::option::of(1..5_u32)).prop_map(|(policy, keys, threshold)| {
        let release_pubkeys: BTreeSet<_> = keys.into_iter().map(|at| PEOPLE[at]).collect();
        let threshold = threshold.map(|wanted| wanted.min(u32::try_from(release_pubkeys.len()).unwrap()));
        Policy { release_pubkeys, threshold, ..policy }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The point of it all: no change that goes without approval lets a build in that was kept out.
    #[test]
    fn policy_that_is_not_weaker_lets_nothing_in_that_was_kept_out(
        held in usable_policy(),
        new in usable_policy(),
        signers in prop::collection::btree_set(0..6_usize, 0..6),
        minor in 3..9_u64,
        age in prop_oneof![Just(None), (0..200_u64).prop_map(Some)],
        of in 1..4_u8,
    ) {
        prop_assert!(held.check().is_ok() && new.check().is_ok());
        let releases: Vec<_> = signers.into_iter().map(|signer| release(signer, of, minor)).collect();
        let pending = age.map(|age| super::super::tests::pending(of, minor, age));
        let pending = pending.as_slice();
        let admits = |policy: &Policy| {
            let rules = Rules { policy: policy.clone(), pending, ..record() };
            judge(&rules, &build(of), &shown(&releases), NOW).is_ok()
        };
        if weaker(&held, &new).is_none() && admits(&new) {
            prop_assert!(admits(&held), "{held:?} {new:?}");
        }
    }

    /// And it is not stricter than it must be: of whoever is said to be able to sign alone, some are.
    #[test]
    fn signers_that_are_said_to_be_too_few_are(held in usable_policy(), new in usable_policy()) {
        if !signers_suffice(&held, &new) {
            let added = new.release_pubkeys.difference(&held.release_pubkeys);
            let others = new.release_pubkeys.intersection(&held.release_pubkeys);
            let worst: BTreeSet<_> = added.chain(others).take(new.signers_wanted()).collect();
            let of_held = worst.into_iter().filter(|key| held.release_pubkeys.contains(key)).count();
            prop_assert!(of_held < held.signers_wanted());
        }
    }

    #[test]
    fn approvals_more_never_turn_yes_into_no(
        held in usable_policy(),
        new in usable_policy(),
        signers in prop::collection::vec(0..6_usize, 0..6),
        more in 0..6_usize,
    ) {
        let approvals: Vec<_> = signers.iter().map(|signer| approval(*signer, &held, &new)).collect();
        let judge = |approvals| judge_change(&held, &new, &Shown::default().with_approvals(approvals)).is_ok();
        if judge(approvals.clone()) {
            prop_assert!(judge([approvals, vec![approval(more, &held, &new)]].concat()));
        }
    }
}

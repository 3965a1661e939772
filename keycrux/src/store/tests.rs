mod ages;
mod lineages;
mod people;

use std::collections::BTreeSet;

use protocol::rpc::keycrux::{Build, Identity, Material, Policy, SecretData, Share, ShareBytes};
use quorum::{Answer, Boot, Epoch, MemberId, PeerReply, PeerRequest, Reply, Size, Stamp, Stamped};

use super::*;
use people::{Machine, NOW, signed_policy};

fn alone(limits: Limits) -> Store {
    let size = Size::new(1, 1).unwrap();
    let mut store = Store::new(limits, Joining::new(size, MemberId([1; 32]), Boot([1; 32])));
    store.advance_join();
    assert!(store.origin().is_some());
    store
}

fn data(text: &str) -> SecretData {
    SecretData::new(text.into())
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> Code {
    outcome.unwrap_err().code
}

fn epoch(round: u64) -> Epoch {
    Epoch { round, holder: [7; 16] }
}

/// Writes a record as its holder would.
fn write(
    store: &mut Store,
    caller: &Caller,
    body: Body,
    epoch: Epoch,
    seq: u64,
) -> Result<Reply<Body>, Failure> {
    let group = store.origin().unwrap().view.group;
    let identity = body.identity.clone();
    let body = Some(Stamped { stamp: Stamp { epoch, seq }, value: body });
    store.advance(
        caller,
        &identity,
        Advance { epoch, group, body, head: None, lease_ms: lease(epoch, seq) },
        NOW,
    )
}

fn lease(epoch: Epoch, seq: u64) -> Stamped<u64> {
    Stamped { stamp: Stamp { epoch, seq }, value: 60_000 }
}

fn body(machine: &Machine, policy: &Policy, material: Material) -> Body {
    let identity = Identity::new(machine.build.pcr4, machine.build.pcrs, policy);
    let build = Build { pcrs: machine.build.pcrs, version: machine.version.clone(), since: NOW };
    Body { identity, policy: policy.clone(), lineage: vec![build], material, shown: vec![] }
}

#[test]
fn full_store_takes_no_more_and_evicts_nobody() {
    let limits = Limits { per_instance_max: 20_000, ..Limits::default() };
    let mut store = alone(limits);
    let machine = Machine::signed("one", "1.0.0");
    let caller = machine.caller();
    let identity = |n: u64| {
        // Each with another maintainer besides, so that each is another record.
        let mut policy = signed_policy(1);
        let mut other = [0; 32];
        other[24..].copy_from_slice(&(n + 1).to_be_bytes());
        policy.release_pubkeys.insert(nostr::key::PublicKey::from_byte_array(other));
        Identity::new(machine.build.pcr4, machine.build.pcrs, &policy)
    };
    let found = |store: &mut Store, n: u64| {
        let policy = identity(n).founding_policy();
        let new = body(&machine, &policy, Material::Data(data("x")));
        write(store, &caller, new, epoch(1), 1)
    };
    for n in 0..10_000 {
        found(&mut store, n).unwrap();
    }
    assert_eq!(store.len(), 10_000);
    assert_eq!(code(found(&mut store, 10_000)), Code::Full);
    let stranger = Machine::unsigned("stranger").caller();
    assert_eq!(code(store.set(&stranger, data("x"), None, NOW)), Code::Full);
    assert_eq!(store.len(), 10_000);
    for n in [0, 5_000, 9_999] {
        store.lease(&caller, &identity(n), epoch(2), NOW).unwrap();
    }
}

#[test]
fn one_machine_has_so_many_records_and_others_are_not_kept_out() {
    let mut store = alone(Limits { per_instance_max: 2, ..Limits::default() });
    for seed in ["a", "b"] {
        store.set(&Machine::unsigned(seed).caller(), data(seed), None, NOW).unwrap();
    }
    let third = Machine::unsigned("c");
    assert_eq!(code(store.set(&third.caller(), data("c"), None, NOW)), Code::InstanceFull);
    let elsewhere = third.on("i-0elsewhere");
    store.set(&elsewhere.caller(), data("c"), None, NOW).unwrap();
    assert_eq!(store.has(&third.build.pcr4).count, 2);
    assert_eq!(store.has(&elsewhere.build.pcr4).count, 1);
}

#[test]
fn data_has_a_size() {
    let mut store = alone(Limits::default());
    let caller = Machine::unsigned("a").caller();
    assert_eq!(code(store.set(&caller, data(&"x".repeat(1_025)), None, NOW)), Code::DataTooLarge);
    assert_eq!(code(store.set(&caller, data(""), None, NOW)), Code::DataTooLarge);
    assert!(store.is_empty());
    store.set(&caller, data(&"x".repeat(1_024)), None, NOW).unwrap();
}

#[test]
fn unused_records_are_forgotten_and_used_ones_are_not() {
    let limits = Limits { ttl_secs: 100, ..Limits::default() };
    let mut store = alone(limits);
    let (used, unused) = (Machine::unsigned("used").caller(), Machine::unsigned("unused").caller());
    for caller in [&used, &unused] {
        store.set(caller, data("x"), None, NOW).unwrap();
    }
    let machine = Machine::signed("leased", "1.0.0");
    let leased = body(&machine, &signed_policy(1), Material::Data(data("y")));
    let identity = leased.identity.clone();
    write(&mut store, &machine.caller(), leased, epoch(1), 1).unwrap();
    store.tick(Duration::from_secs(60));
    // The time of day does not count: a host may set it.
    store.get(&used, None, NOW.plus_secs(1_000_000)).unwrap();
    store.tick(Duration::from_secs(99));
    assert_eq!(store.sweep(), 0);
    store.tick(Duration::from_secs(100));
    assert_eq!(store.sweep(), 2);
    assert_eq!(store.get(&used, None, NOW).unwrap(), data("x"));
    assert!(store.get(&unused, None, NOW).is_err());
    assert!(store.entry(identity.record_id()).is_none_or(|entry| entry.body.is_none()));
}

#[test]
fn set_from_another_build_leaves_the_record_alone() {
    let mut store = alone(Limits::default());
    let owner = Machine::signed("owner", "1.2.0");
    store.set(&owner.caller(), data("secret"), Some(signed_policy(1)), NOW).unwrap();
    let check = |store: &mut Store, caller: Caller, policy: Option<Policy>, expected: Option<Code>| {
        let outcome = store.set(&caller, data("overwritten"), policy, NOW).map_err(|failure| failure.code);
        assert_eq!(outcome.err(), expected);
        assert_eq!(store.get(&owner.caller(), None, NOW).unwrap(), data("secret"));
    };
    let policy = || Some(signed_policy(1));
    check(&mut store, Machine::unsigned("rogue").caller(), policy(), Some(Code::ReleaseMissing));
    check(&mut store, Machine::signed("older", "1.1.0").caller(), policy(), Some(Code::VersionTooOld));
    let mut before = owner.clone();
    before.made_at = before.made_at.minus_secs(1);
    check(&mut store, before.caller(), policy(), Some(Code::RecordNewer));
    // A record of its own is what anybody may have.
    check(&mut store, Machine::unsigned("rogue").caller(), None, None);
    let updated = Machine::signed("newer", "1.3.0");
    store.set(&updated.caller(), data("moved on"), policy(), NOW).unwrap();
    assert_eq!(store.get(&updated.caller(), None, NOW).unwrap(), data("moved on"));
    assert_eq!(code(store.get(&owner.caller(), None, NOW)), Code::VersionTooOld);
}

#[test]
fn two_records_that_could_be_inherited_are_none() {
    let mut store = alone(Limits::default());
    let (one, other) = (signed_policy(1), signed_policy(2));
    let builder = Machine::signed("builder", "1.0.0");
    store.set(&builder.caller(), data("one"), Some(one.clone()), NOW).unwrap();
    store.set(&builder.caller(), data("other"), Some(other), NOW).unwrap();
    let heir = Machine::signed("heir", "1.1.0");
    assert_eq!(code(store.get(&heir.caller(), None, NOW)), Code::RecordAmbiguous);
    let identity = Identity::new(heir.build.pcr4, heir.build.pcrs, &one);
    assert_eq!(store.get(&heir.caller(), Some(&identity), NOW).unwrap(), data("one"));
}

#[test]
fn policy_that_its_author_does_not_meet_is_refused() {
    let mut store = alone(Limits::default());
    let rogue = Machine::unsigned("rogue").caller();
    assert_eq!(code(store.set(&rogue, data("x"), Some(signed_policy(1)), NOW)), Code::ReleaseMissing);
    let nonsense = Policy { threshold: Some(9), ..signed_policy(1) };
    assert_eq!(code(store.set(&rogue, data("x"), Some(nonsense), NOW)), Code::PolicyInvalid);
    assert!(store.is_empty());
}

#[test]
fn nobody_founds_a_record_under_anothers_name() {
    let mut store = alone(Limits::default());
    let victim = Machine::signed("victim", "1.0.0");
    let identity = Identity::new(victim.build.pcr4, victim.build.pcrs, &signed_policy(1));
    let rogue = Machine::unsigned("rogue");
    assert_eq!(code(store.lease(&rogue.caller(), &identity, epoch(1), NOW)), Code::ReleaseMissing);
    let mut forged = body(&rogue, &Policy::default(), Material::Data(data("mine")));
    forged.identity = identity;
    assert_eq!(code(write(&mut store, &rogue.caller(), forged, epoch(1), 1)), Code::ReleaseMissing);
    assert!(store.is_empty());
}

#[test]
fn holder_may_change_its_policy_to_one_that_it_meets() {
    let mut store = alone(Limits::default());
    let machine = Machine::signed("a", "1.0.0");
    let first = body(&machine, &signed_policy(2), Material::Data(data("x")));
    write(&mut store, &machine.caller(), first.clone(), epoch(1), 1).unwrap();
    let stricter = Body { policy: Policy { min_delay_secs: 60, ..signed_policy(2) }, ..first.clone() };
    write(&mut store, &machine.caller(), stricter, epoch(1), 2).unwrap();
    let foreign = Body {
        policy: Policy {
            release_pubkeys: BTreeSet::from([people::stranger()]),
            threshold: None,
            ..signed_policy(2)
        },
        ..first.clone()
    };
    assert_eq!(code(write(&mut store, &machine.caller(), foreign, epoch(1), 3)), Code::ReleaseMissing);
    // The next release waits now.
    let next = Machine::signed("b", "1.1.0");
    let identity = first.identity.clone();
    assert_eq!(code(store.lease(&next.caller(), &identity, epoch(2), NOW)), Code::DelayPending);
    assert_eq!(code(store.lease(&next.caller(), &identity, epoch(2), NOW.plus_secs(59))), Code::DelayPending);
    store.lease(&next.caller(), &identity, epoch(2), NOW.plus_secs(60)).unwrap();
}

#[test]
fn policy_of_a_record_does_not_get_weaker_without_its_maintainers() {
    let mut store = alone(Limits::default());
    let machine = Machine::signed("a", "1.0.0");
    let strict = Policy { min_delay_secs: 60, ..signed_policy(2) };
    let first = body(&machine, &strict, Material::Data(data("x")));
    write(&mut store, &machine.caller(), first.clone(), epoch(1), 1).unwrap();
    let lax = Body { policy: signed_policy(2), ..first.clone() };
    assert_eq!(code(write(&mut store, &machine.caller(), lax.clone(), epoch(1), 2)), Code::PolicyWeaker);
    // Nor in the step in which the next build takes over, which they signed as a build.
    let next = Machine::signed("b", "1.1.0");
    let later = NOW.plus_secs(60);
    assert_eq!(code(store.lease(&next.caller(), &first.identity, epoch(2), NOW)), Code::DelayPending);
    store.lease(&next.caller(), &first.identity, epoch(2), later).unwrap();
    let mut taken = lax.clone();
    taken.lineage.push(Build { pcrs: next.build.pcrs, version: next.version.clone(), since: later });
    let group = store.origin().unwrap().view.group;
    let body = Some(Stamped { stamp: Stamp { epoch: epoch(2), seq: 1 }, value: taken });
    let advance = Advance { epoch: epoch(2), group, body, head: None, lease_ms: lease(epoch(2), 1) };
    assert_eq!(code(store.advance(&next.caller(), &first.identity, advance, later)), Code::PolicyWeaker);
    let held = |store: &Store| store.entry(first.identity.record_id()).unwrap().body.clone().unwrap().value;
    assert_eq!(held(&store), first);
    // Two of the three say that it may.
    let approving = |by: usize| machine.caller_with_approvals(by, &strict, &lax.policy);
    let write_in_3 = |store: &mut Store, caller: &Caller| {
        store.lease(caller, &first.identity, epoch(3), NOW).unwrap();
        write(store, caller, lax.clone(), epoch(3), 1)
    };
    assert_eq!(code(write_in_3(&mut store, &approving(1))), Code::PolicyWeaker);
    write_in_3(&mut store, &approving(2)).unwrap();
    assert_eq!(held(&store).policy, lax.policy);
}

#[test]
fn first_policy_is_no_weaker_than_the_records_name() {
    let mut store = alone(Limits::default());
    let machine = Machine::signed("a", "1.0.0");
    let mut first = body(&machine, &signed_policy(2), Material::Data(data("x")));
    first.policy = signed_policy(1);
    assert_eq!(code(write(&mut store, &machine.caller(), first, epoch(1), 1)), Code::PolicyWeaker);
    let unsigned = Machine::unsigned("b");
    let mut exact = body(&unsigned, &Policy::default(), Material::Data(data("x")));
    exact.policy = signed_policy(1);
    let refused = write(&mut store, &unsigned.caller(), exact, epoch(1), 1);
    assert_eq!(code(refused), Code::ReleaseMissing);
    assert!(store.is_empty());
}

#[test]
fn set_does_not_make_a_policy_weaker() {
    let mut store = alone(Limits::default());
    let owner = Machine::signed("owner", "1.2.0");
    let strict = Policy { min_delay_secs: 60, ..signed_policy(1) };
    store.set(&owner.caller(), data("secret"), Some(strict.clone()), NOW).unwrap();
    let set = store.set(&owner.caller(), data("lax"), Some(signed_policy(1)), NOW);
    assert_eq!(code(set), Code::PolicyWeaker);
    assert_eq!(store.get(&owner.caller(), None, NOW).unwrap(), data("secret"));
    let stricter = Policy { min_delay_secs: 61, ..strict };
    store.set(&owner.caller(), data("stricter"), Some(stricter), NOW).unwrap();
    assert_eq!(store.get(&owner.caller(), None, NOW).unwrap(), data("stricter"));
}

#[test]
fn check_tells_of_the_only_record_of_a_machine_or_of_the_one_that_is_named() {
    let mut store = alone(Limits::default());
    let machine = Machine::signed("a", "1.0.0");
    let shown = machine.caller().shown;
    let ask = |store: &mut Store, which: Which<'_>| store.check(&machine.build, &shown, which, NOW);
    assert_eq!(code(ask(&mut store, Which::Only)), Code::NotFound);
    let genesis = |byte| nostr::event::EventId::from_byte_array([byte; 32]);
    for byte in [1, 2] {
        let mut fresh = body(&machine, &signed_policy(1), Material::Data(data("x")));
        fresh.identity = fresh.identity.of_genesis(genesis(byte));
        write(&mut store, &machine.caller(), fresh.clone(), epoch(1), 1).unwrap();
        let told = ask(&mut store, Which::Genesis(genesis(byte))).unwrap();
        assert_eq!((told.allowed, told.record), (true, fresh.identity.record_id()));
        assert_eq!(ask(&mut store, Which::Named(&fresh.identity)).unwrap(), told);
        if byte == 1 {
            assert_eq!(ask(&mut store, Which::Only).unwrap(), told);
        }
    }
    assert_eq!(code(ask(&mut store, Which::Only)), Code::RecordAmbiguous);
    assert_eq!(code(ask(&mut store, Which::Genesis(genesis(3)))), Code::NotFound);
    let elsewhere = machine.on("i-0elsewhere");
    let told = store.check(&elsewhere.build, &shown, Which::Genesis(genesis(1)), NOW);
    assert_eq!(code(told), Code::NotFound);
}

#[test]
fn record_never_gets_older() {
    let mut store = alone(Limits::default());
    let newer = Machine::signed("newer", "1.1.0");
    let held = body(&newer, &signed_policy(1), Material::Data(data("x")));
    write(&mut store, &newer.caller(), held.clone(), epoch(1), 1).unwrap();
    let mut older = held;
    older.lineage[0].version = "1.0.0".parse().ok();
    assert_eq!(code(write(&mut store, &newer.caller(), older, epoch(1), 2)), Code::LineageInvalid);
}

#[test]
fn members_tell_each_other_everything_but_shares() {
    let machine = Machine::signed("a", "1.0.0");
    let share = |seq, x| {
        let dealing = Stamp { epoch: epoch(1), seq };
        Material::Split {
            threshold: 2,
            shares: vec![Share { dealing, x, bytes: ShareBytes::new(vec![x; 4]) }],
        }
    };
    let mut store = alone(Limits::default());
    let split = body(&machine, &signed_policy(1), share(1, 3));
    write(&mut store, &machine.caller(), split.clone(), epoch(1), 1).unwrap();
    // Without a share, what is there stays; a new dealing stands beside the old one.
    let keep = Body { material: split.material.without_shares(), ..split.clone() };
    write(&mut store, &machine.caller(), keep, epoch(1), 2).unwrap();
    let again = Body { material: share(2, 3), ..split.clone() };
    let identity = split.identity.clone();
    write(&mut store, &machine.caller(), again, epoch(1), 3).unwrap();
    let Answer::Promised(entry) = store.lease(&machine.caller(), &identity, epoch(2), NOW).unwrap().answer
    else {
        panic!("not promised");
    };
    let Material::Split { shares, .. } = entry.body.unwrap().value.material else { panic!("not split") };
    assert_eq!(shares.iter().map(|share| share.dealing.seq).collect::<Vec<_>>(), [1, 2]);

    let origin = store.origin().unwrap().clone();
    let incarnation = quorum::Incarnation { count: 1, boot: Boot([2; 32]) };
    let join = PeerRequest::Join { member: MemberId([2; 32]), incarnation, group: origin.view.group };
    let answer = store.answer_peer(join, None);
    let PeerReply::Joined { entries, .. } = answer.reply else { panic!("not joined") };
    let told = entries[&identity.record_id()].body.as_ref().unwrap();
    assert_eq!(told.value.material, Material::Split { threshold: 2, shares: vec![] });
    assert_eq!(entries[&identity.record_id()].promised, epoch(2));
    assert!(answer.notes.contains_key(&identity.record_id()));
}

#[test]
fn store_that_has_not_joined_gives_and_takes_nothing() {
    let size = Size::new(3, 2).unwrap();
    let mut store = Store::new(Limits::default(), Joining::new(size, MemberId([1; 32]), Boot([1; 32])));
    let machine = Machine::signed("a", "1.0.0");
    let identity = Identity::new(machine.build.pcr4, machine.build.pcrs, &signed_policy(1));
    assert_eq!(code(store.lease(&machine.caller(), &identity, epoch(1), NOW)), Code::NotJoined);
    assert_eq!(code(store.head(identity.record_id())), Code::NotJoined);
}

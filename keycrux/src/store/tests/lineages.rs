//! Who becomes the build that a record belongs to: nobody on somebody's word.

use protocol::nec::{PolicyChange, Version, approval, release};

use super::people::{keys, release_events};
use super::*;

fn lineage_of(store: &Store, identity: &Identity) -> Vec<Build> {
    let body = store.entry(identity.record_id()).and_then(|entry| entry.body.as_ref());
    body.map(|body| body.value.lineage.clone()).unwrap_or_default()
}

fn build(machine: &Machine) -> Build {
    Build { pcrs: machine.build.pcrs, version: machine.version.clone(), since: NOW }
}

fn with(first: &Body, lineage: &[&Machine]) -> Body {
    Body { lineage: lineage.iter().copied().map(build).collect(), ..first.clone() }
}

/// A renewal, by which a key store sees that what was written before it is settled.
fn renew(store: &mut Store, caller: &Caller, identity: &Identity, epoch: Epoch, seq: u64) {
    let group = store.origin().unwrap().view.group;
    let advance = Advance { epoch, group, body: None, head: None, lease_ms: lease(epoch, seq) };
    store.advance(caller, identity, advance, NOW).unwrap();
}

#[test]
fn founder_is_alone_in_the_lineage() {
    let mut store = alone(Limits::default());
    let (founder, other) = (Machine::signed("a", "1.0.0"), Machine::signed("b", "0.9.0"));
    let rogue = Machine::unsigned("rogue");
    let first = body(&founder, &signed_policy(1), Material::Data(data("x")));
    for lineage in [vec![], vec![&rogue], vec![&other], vec![&other, &founder], vec![&founder, &rogue]] {
        let written = write(&mut store, &founder.caller(), with(&first, &lineage), epoch(1), 1);
        assert_eq!(code(written), Code::LineageInvalid, "{}", lineage.len());
    }
    // Nor may it make its version up.
    let mut newer = first.clone();
    newer.lineage[0].version = "9.0.0".parse().ok();
    assert_eq!(code(write(&mut store, &founder.caller(), newer, epoch(1), 1)), Code::LineageInvalid);
    let mut none = first.clone();
    none.lineage[0].version = None;
    assert_eq!(code(write(&mut store, &founder.caller(), none, epoch(1), 1)), Code::LineageInvalid);
    assert!(store.is_empty());
    write(&mut store, &founder.caller(), first, epoch(1), 1).unwrap();
}

#[test]
fn holder_adds_itself_and_nobody_else_and_leaves_nobody_out() {
    let mut store = alone(Limits::default());
    let (founder, next) = (Machine::signed("a", "1.0.0"), Machine::signed("b", "1.1.0"));
    let (rogue, signed) = (Machine::unsigned("rogue"), Machine::signed("c", "1.2.0"));
    let first = body(&founder, &signed_policy(1), Material::Data(data("x")));
    let identity = first.identity.clone();
    write(&mut store, &founder.caller(), first.clone(), epoch(1), 1).unwrap();
    renew(&mut store, &founder.caller(), &identity, epoch(1), 2);
    store.lease(&next.caller(), &identity, epoch(2), NOW).unwrap();
    let refused = [
        vec![&founder, &rogue],
        vec![&founder, &next, &rogue],
        vec![&next],
        vec![&rogue, &next],
        vec![&founder, &signed],
    ];
    for lineage in refused {
        let written = write(&mut store, &next.caller(), with(&first, &lineage), epoch(2), 1);
        assert_eq!(code(written), Code::LineageInvalid);
        assert_eq!(lineage_of(&store, &identity), [build(&founder)]);
    }
    // What was found is written back as it is, and then with oneself.
    write(&mut store, &next.caller(), first.clone(), epoch(2), 1).unwrap();
    write(&mut store, &next.caller(), with(&first, &[&founder, &next]), epoch(2), 2).unwrap();
    assert_eq!(lineage_of(&store, &identity), [build(&founder), build(&next)]);
}

/// Written here and nowhere else, before its writer died: whoever comes next did not find it.
#[test]
fn last_one_that_was_never_settled_may_be_left_out() {
    let (founder, lost) = (Machine::signed("a", "1.0.0"), Machine::signed("b", "1.1.0"));
    let next = Machine::signed("c", "1.1.0");
    for is_settled in [false, true] {
        let mut store = alone(Limits::default());
        let first = body(&founder, &signed_policy(1), Material::Data(data("x")));
        let identity = first.identity.clone();
        write(&mut store, &founder.caller(), first.clone(), epoch(1), 1).unwrap();
        renew(&mut store, &founder.caller(), &identity, epoch(1), 2);
        write(&mut store, &lost.caller(), with(&first, &[&founder, &lost]), epoch(2), 2).unwrap();
        if is_settled {
            renew(&mut store, &lost.caller(), &identity, epoch(2), 3);
        }
        let written = write(&mut store, &next.caller(), with(&first, &[&founder, &next]), epoch(3), 2);
        assert_eq!(written.is_err(), is_settled);
    }
}

/// A key store that was away follows if the body shows who has the record since.
#[test]
fn store_that_was_away_believes_what_is_shown_and_nothing_else() {
    let mut store = alone(Limits::default());
    let (founder, missed) = (Machine::signed("a", "1.0.0"), Machine::signed("b", "1.1.0"));
    let (next, rogue) = (Machine::signed("c", "1.2.0"), Machine::unsigned("rogue"));
    let strict = Policy { min_delay_secs: 60, ..signed_policy(2) };
    let first = body(&founder, &strict, Material::Data(data("x")));
    let identity = first.identity.clone();
    write(&mut store, &founder.caller(), first.clone(), epoch(1), 1).unwrap();
    renew(&mut store, &founder.caller(), &identity, epoch(1), 2);
    let lax = signed_policy(2);
    let change = PolicyChange { from: strict.digest().unwrap(), to: lax.digest().unwrap() };
    let approvals = keys().iter().take(2).map(|by| {
        approval::draft(people::REPO, protocol::nec::Env::Dev, &change, NOW).sign(by).unwrap().into_event()
    });
    // It missed the next release, and a policy that is weaker, which maintainers approved.
    let mut newer = with(&first, &[&founder, &missed]);
    newer.policy = lax.clone();
    assert_eq!(code(write(&mut store, &missed.caller(), newer.clone(), epoch(2), 1)), Code::DelayPending);
    let later = |store: &mut Store, caller: &Caller, body: Body, epoch: Epoch| {
        let group = store.origin().unwrap().view.group;
        let value = Stamped { stamp: Stamp { epoch, seq: 1 }, value: body };
        let lease_ms = lease(epoch, 1);
        let advance = Advance { epoch, group, body: Some(value), head: None, lease_ms };
        store.advance(caller, &identity, advance, NOW.plus_secs(61))
    };
    assert_eq!(code(later(&mut store, &missed.caller(), newer.clone(), epoch(2))), Code::PolicyWeaker);
    newer.shown = approvals.collect();
    // Whoever comes after it writes back what it found elsewhere.
    store.lease(&next.caller(), &identity, epoch(3), NOW).unwrap_err();
    let unshown = later(&mut store, &next.caller(), newer.clone(), epoch(3));
    assert_eq!(code(unshown), Code::LineageInvalid);
    newer.shown.extend(release_events(&missed));
    let mut forged = newer.clone();
    forged.lineage[1] = build(&rogue);
    assert_eq!(code(later(&mut store, &next.caller(), forged, epoch(3))), Code::LineageInvalid);
    later(&mut store, &next.caller(), newer.clone(), epoch(3)).unwrap();
    assert_eq!(lineage_of(&store, &identity), [build(&founder), build(&missed)]);
    assert_eq!(store.entry(identity.record_id()).unwrap().body.as_ref().unwrap().value.policy, lax);
}

/// However bodies are written, by whomever: the build that gets the record without showing anything is one
/// that enough maintainers signed.
#[test]
fn no_write_makes_an_unsigned_build_the_one_that_has_the_record() {
    let signed: Vec<Machine> =
        (0..4).map(|n| Machine::signed(&format!("signed {n}"), &format!("1.{n}.0"))).collect();
    let rogues: Vec<Machine> = (0..2).map(|n| Machine::unsigned(&format!("rogue {n}"))).collect();
    let all: Vec<&Machine> = signed.iter().chain(&rogues).collect();
    let callers: Vec<Caller> = all.iter().map(|machine| machine.caller()).collect();
    let mut state = 7_u64;
    let mut random = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % end
    };
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..60 {
        let mut store = alone(Limits::default());
        let first = body(&signed[0], &signed_policy(2), Material::Data(data("x")));
        let identity = first.identity.clone();
        for round in 1..40 {
            let who = random(all.len());
            let mut lineage = lineage_of(&store, &identity);
            for _ in 0..[0, 0, 0, 1, 2][random(5)] {
                drop(lineage.pop());
            }
            for _ in 0..[0, 1, 1, 1, 2][random(5)] {
                let whom = if random(2) == 0 { who } else { random(all.len()) };
                let mut added = build(all[whom]);
                if random(4) == 0 {
                    added.version = format!("1.{}.0", random(9)).parse::<Version>().ok();
                }
                lineage.push(added);
            }
            let new = Body { lineage, ..first.clone() };
            match write(&mut store, &callers[who], new, epoch(round), 1) {
                Ok(_) => taken += 1,
                Err(_) => refused += 1,
            }
            if random(2) == 0 {
                let group = store.origin().unwrap().view.group;
                let (epoch, lease_ms) = (epoch(round), lease(epoch(round), 2));
                let advance = Advance { epoch, group, body: None, head: None, lease_ms };
                drop(store.advance(&callers[who], &identity, advance, NOW));
            }
            if let Some(last) = lineage_of(&store, &identity).last() {
                let is_signed = |one: &Machine| one.build.pcrs == last.pcrs && one.version == last.version;
                assert!(signed.iter().any(is_signed), "{last:?}");
            }
            for rogue in &callers[signed.len()..] {
                assert!(store.lease(rogue, &identity, epoch(1_000), NOW).is_err());
            }
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
}

#[test]
fn body_of_before_changes_nothing_and_is_no_fault() {
    let mut store = alone(Limits::default());
    let (founder, next) = (Machine::signed("a", "1.0.0"), Machine::signed("b", "1.1.0"));
    let first = body(&founder, &signed_policy(1), Material::Data(data("x")));
    let identity = first.identity.clone();
    write(&mut store, &founder.caller(), first.clone(), epoch(1), 1).unwrap();
    write(&mut store, &next.caller(), with(&first, &[&founder, &next]), epoch(2), 5).unwrap();
    write(&mut store, &next.caller(), first, epoch(2), 4).unwrap();
    assert_eq!(lineage_of(&store, &identity), [build(&founder), build(&next)]);
}

#[test]
fn names_of_records_and_what_bodies_show_are_bounded() {
    let mut store = alone(Limits::default());
    let machine = Machine::signed("a", "1.0.0");
    let mut policy = signed_policy(1);
    policy.release_pubkeys.extend((0..16).map(|_| nostr::key::Keys::generate().public_key()));
    let identity = Identity::new(machine.build.pcr4, machine.build.pcrs, &policy);
    assert_eq!(code(store.lease(&machine.caller(), &identity, epoch(1), NOW)), Code::ParamsInvalid);
    let long = Policy { repo: Some("r".repeat(257)), ..signed_policy(1) };
    let identity = Identity::new(machine.build.pcr4, machine.build.pcrs, &long);
    assert_eq!(code(store.lease(&machine.caller(), &identity, epoch(1), NOW)), Code::ParamsInvalid);
    let mut first = body(&machine, &signed_policy(1), Material::Data(data("x")));
    let one = release::build(
        &nostr::key::Keys::generate(),
        people::REPO,
        "1.0.0",
        &machine.build.pcrs,
        protocol::nec::Env::Dev,
        NOW,
    );
    first.shown = vec![one.unwrap().into_event(); 17];
    assert_eq!(code(write(&mut store, &machine.caller(), first, epoch(1), 1)), Code::ParamsInvalid);
    assert!(store.is_empty());
}

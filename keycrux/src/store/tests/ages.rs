//! What is forgotten, when, and what never is; and how one that joins is told of it all.

use protocol::rpc::keycrux::UNWRITTEN_SECS;
use quorum::{Head, Incarnation};

use super::*;

const JOINER: MemberId = MemberId([2; 32]);

/// All pages that a member is told; each is what fits into an event.
fn pages(store: &mut Store) -> Vec<protocol::rpc::keycrux::PeerAnswer> {
    let group = store.origin().unwrap().view.group;
    let incarnation = Incarnation { count: 1, boot: Boot([2; 32]) };
    let (mut after, mut pages) = (None, Vec::new());
    loop {
        let answer = store.answer_peer(PeerRequest::Join { member: JOINER, incarnation, group }, after);
        let result = serde_json::to_value(&answer).unwrap();
        let reply = protocol::rpc::Reply::new("ab".repeat(32), Ok(result));
        let bytes = serde_json::to_vec(&reply).unwrap().len();
        assert!(bytes < protocol::rpc::MESSAGE_BYTES_MAX, "{bytes} bytes in one answer");
        after = answer.more_after;
        pages.push(answer);
        if after.is_none() {
            return pages;
        }
    }
}

fn told(pages: Vec<protocol::rpc::keycrux::PeerAnswer>) -> BTreeMap<RecordId, Entry<Body>> {
    let entries = pages.into_iter().map(|page| match page.reply {
        PeerReply::Joined { entries, .. } => entries,
        PeerReply::Hello(_) | PeerReply::Superseded | PeerReply::NotServing => panic!("not joined"),
    });
    entries.flatten().collect()
}

fn lease_of(machine: &Machine, policy: &Policy) -> Identity {
    Identity::new(machine.build.pcr4, machine.build.pcrs, policy)
}

/// As many leases alone as a store takes, from as many machines as that needs.
#[test]
fn leases_alone_are_bounded_and_are_told_in_pages_that_fit() {
    let mut store = alone(Limits::default());
    let machines = UNWRITTEN_MAX / UNWRITTEN_PER_INSTANCE_MAX;
    for n in 0..machines {
        let machine = Machine::signed("one", "1.0.0").on(&format!("i-0{n}"));
        let caller = machine.caller();
        for m in 0..=UNWRITTEN_PER_INSTANCE_MAX {
            let fresh = nostr::event::EventId::from_byte_array([u8::try_from(m).unwrap(); 32]);
            let identity = lease_of(&machine, &signed_policy(1)).of_genesis(fresh);
            let opened = store.lease(&caller, &identity, epoch(1), NOW);
            if m < UNWRITTEN_PER_INSTANCE_MAX {
                opened.unwrap();
            } else {
                let is_last = n + 1 == machines;
                assert_eq!(code(opened), if is_last { Code::Full } else { Code::InstanceFull });
            }
        }
    }
    let one_more = Machine::signed("one", "1.0.0").on("i-0more");
    let identity = lease_of(&one_more, &signed_policy(1));
    assert_eq!(code(store.lease(&one_more.caller(), &identity, epoch(1), NOW)), Code::Full);
    // Who writes at once needs no room among them.
    let written = body(&one_more, &signed_policy(1), Material::Data(data("x")));
    write(&mut store, &one_more.caller(), written, epoch(1), 1).unwrap();
    let pages = pages(&mut store);
    assert!(pages.len() > 4, "{} pages", pages.len());
    assert_eq!(told(pages).len(), UNWRITTEN_MAX + 1);
    // They live for minutes; what was written stays.
    store.tick(Duration::from_secs(UNWRITTEN_SECS - 1));
    assert_eq!(store.sweep(), 0);
    store.tick(Duration::from_secs(UNWRITTEN_SECS));
    assert_eq!(store.sweep(), UNWRITTEN_MAX);
    assert_eq!(told(self::pages(&mut store)).len(), 1);
}

#[test]
fn head_needs_a_body() {
    let mut store = alone(Limits::default());
    let machine = Machine::signed("a", "1.0.0");
    let identity = lease_of(&machine, &signed_policy(1));
    let group = store.origin().unwrap().view.group;
    let head = Some(Stamped {
        stamp: Stamp { epoch: epoch(1), seq: 2 },
        value: Head { generation: 1, digest: [1; 32] },
    });
    let advance =
        |body| Advance { epoch: epoch(1), group, body, head: head.clone(), lease_ms: lease(epoch(1), 2) };
    let refused = store.advance(&machine.caller(), &identity, advance(None), NOW);
    assert_eq!(code(refused), Code::BodyMissing);
    assert!(store.is_empty());
    let first = body(&machine, &signed_policy(1), Material::Data(data("x")));
    let first = Stamped { stamp: Stamp { epoch: epoch(1), seq: 1 }, value: first };
    store.advance(&machine.caller(), &identity, advance(Some(first)), NOW).unwrap();
    assert_eq!(store.head(identity.record_id()).unwrap().head, head);
}

#[test]
fn forgotten_record_keeps_its_epoch_and_head() {
    let mut store = alone(Limits { ttl_secs: 100, ..Limits::default() });
    let machine = Machine::signed("a", "1.0.0");
    let first = body(&machine, &signed_policy(1), Material::Data(data("the secret")));
    let identity = first.identity.clone();
    let record = identity.record_id();
    write(&mut store, &machine.caller(), first, epoch(5), 1).unwrap();
    let group = store.origin().unwrap().view.group;
    let stamp = Stamp { epoch: epoch(5), seq: 2 };
    let head = Some(Stamped { stamp, value: Head { generation: 7, digest: [1; 32] } });
    let advance =
        Advance { epoch: epoch(5), group, body: None, head: head.clone(), lease_ms: lease(epoch(5), 2) };
    store.advance(&machine.caller(), &identity, advance, NOW).unwrap();
    store.tick(Duration::from_secs(100));
    assert_eq!(store.sweep(), 1);
    let known = store.head(record).unwrap();
    assert_eq!((known.promised, &known.head), (epoch(5), &head));
    assert!(known.lineage.is_empty());
    // An older epoch gets nowhere, a newer one finds the head, and one that joins is told of both.
    let older = store.lease(&machine.caller(), &identity, epoch(4), NOW).unwrap();
    assert_eq!(older.answer, Answer::Refused { promised: epoch(5) });
    let newer = store.lease(&machine.caller(), &identity, epoch(6), NOW).unwrap();
    let Answer::Promised(entry) = newer.answer else { panic!("not promised") };
    assert!(entry.body.is_none());
    assert_eq!(entry.head, head);
    let told = told(pages(&mut store));
    assert_eq!((told[&record].promised, &told[&record].head), (epoch(6), &head));
    // And so it is after the lease alone ran out, too.
    store.tick(Duration::from_secs(100 + UNWRITTEN_SECS));
    store.sweep();
    assert_eq!(store.head(record).unwrap().promised, epoch(6));
    assert!(store.is_empty());
}

#[test]
fn age_is_told_and_not_made_longer() {
    let mut store = alone(Limits { ttl_secs: 100, ..Limits::default() });
    let machine = Machine::signed("a", "1.0.0");
    let first = body(&machine, &signed_policy(1), Material::Data(data("x")));
    let record = first.identity.record_id();
    write(&mut store, &machine.caller(), first, epoch(1), 1).unwrap();
    store.tick(Duration::from_secs(70));
    let page = pages(&mut store).remove(0);
    assert_eq!(page.notes[&record].left_secs, 30);
    // One that has run for an hour takes it over as it is.
    let noted = super::super::notes::Noted::told(page.notes[&record].clone(), 3_600, 100);
    assert_eq!(noted.until_secs, 3_630);
    let mut longer = page.notes[&record].clone();
    longer.left_secs = u64::MAX;
    assert_eq!(super::super::notes::Noted::told(longer, 3_600, 100).until_secs, 3_700);
}

#[test]
fn large_stores_are_told_in_pages() {
    let mut store = alone(Limits { per_instance_max: 1_000, ..Limits::default() });
    let long = || Material::Data(data(&"x".repeat(1_024)));
    for n in 1..=3 {
        let machine = Machine::signed("a", "1.0.0");
        write(&mut store, &machine.caller(), body(&machine, &signed_policy(n), long()), epoch(1), 1).unwrap();
    }
    for seed in 0..60 {
        let machine = Machine::unsigned(&format!("{seed}"));
        let big = body(&machine, &Policy::default(), long());
        write(&mut store, &machine.caller(), big, epoch(1), 1).unwrap();
    }
    let pages = pages(&mut store);
    assert!(pages.len() > 1, "{} pages", pages.len());
    assert_eq!(told(pages).len(), 63);
}

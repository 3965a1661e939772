//! Receipts (NIP-57, appendix E) and their outbox.

use nostr::types::url::RelayUrl;
use nwc::lightning::NodeEvent;
use nwc::service::Notice;
use serde_json::Value;
use units::UnixSecs;

use super::{LATER, RELAY, plain_zap, sender, zap_request};
use crate::support::node::hash_of;
use crate::support::{NOW, Setup, World, person};

#[test]
fn attack_29_one_zap_request_gets_one_receipt_however_often_it_is_paid() {
    let world = World::new();
    let (attacker, payee) = (person(0), person(3));
    let raw = plain_zap(payee);
    let spelt_anew = raw.replacen('{', "{  ", 1);
    for text in [&raw, &raw, &spelt_anew, &raw] {
        let bolt11 = world.zap(payee, text).unwrap();
        world.pay_text(attacker, bolt11.text(), LATER);
    }
    assert_eq!(world.balance(payee), 4 * 21_000, "every payment stands");
    assert_eq!(world.receipts(LATER).len(), 1);
    world.audit();
}

#[test]
fn attack_29_receipts_that_wait_are_bounded_and_payments_are_not() {
    let mut setup = Setup::new();
    setup.limits.open_per_key = 10_000;
    let world = World::with(setup);
    let (spammer, honest) = (person(3), person(4));
    let pay = |to, n: usize| {
        let raw = zap_request(to, &[&["relays", RELAY], &["e", &format!("{n:064x}")]]);
        let bolt11 = world.zap(to, &raw).unwrap();
        world.pay_text(person(0), bolt11.text(), LATER);
    };
    (0..105).for_each(|n| pay(spammer, n));
    assert_eq!(world.wallet().receipts_waiting().unwrap(), 100);
    assert_eq!(world.balance(spammer), 105 * 21_000);
    // Its oldest were given up, its newest are there.
    let newest = format!("{:064x}", 104);
    assert!(world.receipts(LATER).iter().any(|receipt| receipt.request.contains(&newest)));
    assert!(!world.receipts(LATER).iter().any(|receipt| receipt.request.contains(&format!("{:064x}", 4))));
    // Others are not crowded out: of the first two that are published one is the honest payee's, although a hundred
    // waited before it, and again when its second one comes.
    for n in 0..2 {
        pay(honest, n);
        let next = world.wallet().due_receipts(LATER, 2).unwrap();
        let payees: Vec<_> = next.iter().map(|receipt| receipt.payee).collect();
        assert_eq!(payees, [spammer, honest]);
    }
    let next = world.wallet().due_receipts(LATER, 5).unwrap();
    assert_eq!(next.iter().filter(|receipt| receipt.payee == honest).count(), 2);
    world.audit();
}

#[test]
fn attack_29_many_payees_crowd_out_only_whoever_has_most() {
    let world = World::new();
    let (honest, late) = (person(3), person(4));
    let pay = |to| world.pay_text(person(0), world.zap(to, &plain_zap(to)).unwrap().text(), LATER);
    pay(honest);
    // Fifty keys of one spammer fill the outbox, a hundred receipts each.
    let raw = rusqlite::Connection::open(world.dir.path().join("wallet.db")).unwrap();
    raw.execute_batch(
        "INSERT INTO zap_receipt (invoice_id, request_id, payee, next_at)
         WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 4999)
         SELECT 1000000 + n, 'r' || n, CAST(printf('%032d', n % 50) AS BLOB), 1 FROM n",
    )
    .unwrap();
    pay(late);
    let left = "SELECT count(*) FROM zap_receipt WHERE next_at IS NOT NULL AND invoice_id >= 1000000";
    assert_eq!(
        raw.query_row(left, [], |row| row.get::<_, u32>(0)).unwrap(),
        4_999,
        "the spammer's gives way"
    );
    let payees: Vec<_> = world.receipts(LATER).iter().map(|receipt| receipt.payee).collect();
    assert_eq!(payees, [honest, late], "the oldest of all and the newest are there");
}

#[test]
fn receipt_carries_what_was_paid() {
    let world = World::new();
    let bob = person(2);
    let id = "ab".repeat(32);
    let raw = zap_request(bob, &[&["relays", RELAY, "ws://b.example"], &["e", &id], &["k", "1"]]);
    let bolt11 = world.zap(bob, &raw).unwrap();
    assert_eq!(world.receipts(LATER), [], "nothing is told before it is paid");
    let notices = world.pay_text(person(0), bolt11.text(), LATER);
    assert!(matches!(notices.as_slice(), [_, Notice::Zap, _]), "{notices:?}");
    let [receipt] = world.receipts(LATER).try_into().unwrap();
    assert_eq!(receipt.paid_at, LATER, "created_at is the time of the payment");
    // An internal zap has a real preimage.
    assert_eq!(hash_of(&receipt.preimage), bolt11.payment_hash());
    let relays: Vec<_> = receipt.relays.iter().map(RelayUrl::as_str_without_trailing_slash).collect();
    assert_eq!(relays, [RELAY, "ws://b.example"]);
    let preimage = hex::encode(receipt.preimage.as_bytes());
    let expected: Vec<Vec<String>> = [
        vec!["p", &bob.to_hex()],
        vec!["P", &sender().public_key().to_hex()],
        vec!["e", &id],
        vec!["k", "1"],
        vec!["bolt11", bolt11.text()],
        vec!["description", &raw],
        vec!["preimage", &preimage],
    ]
    .into_iter()
    .map(|tag| tag.into_iter().map(str::to_owned).collect())
    .collect();
    assert_eq!(receipt.tags().unwrap(), expected);
    // The payee finds the zap with its payment.
    let seen = world.lookup(bob, bolt11.payment_hash()).unwrap();
    assert_eq!(seen.metadata.unwrap().as_map()["nostr"], serde_json::from_str::<Value>(&raw).unwrap());
}

#[test]
fn receipt_of_a_zap_over_lightning_waits_in_the_same_outbox() {
    let (world, node) = World::on_lightning();
    let bob = person(2);
    let bolt11 = world.zap(bob, &plain_zap(bob)).unwrap();
    let hash = bolt11.payment_hash();
    let amount = bolt11.amount().unwrap();
    let event = |event| world.wallet().on_node_event(event, &*node, LATER).unwrap();
    event(NodeEvent::Claimable { payment_hash: hash, amount, deadline: None });
    assert_eq!(world.receipts(LATER), [], "claimed is not paid");
    event(NodeEvent::Received { payment_hash: hash, amount });
    event(NodeEvent::Received { payment_hash: hash, amount });
    let [receipt] = world.receipts(LATER).try_into().unwrap();
    assert_eq!((receipt.paid_at, hash_of(&receipt.preimage)), (LATER, hash));
}

#[test]
fn receipt_survives_a_crash_and_stays_the_same() {
    let mut world = World::new();
    let bob = person(2);
    let bolt11 = world.zap(bob, &plain_zap(bob)).unwrap();
    world.pay_text(person(0), bolt11.text(), LATER);
    let before = world.receipts(LATER);
    world.crash_at(LATER).unwrap();
    let after = world.receipts(LATER);
    assert_eq!(before, after);
    // Published, but the program ended before it was written down: the same event again.
    assert_eq!(before[0].tags(), after[0].tags());
    world.wallet().receipt_tried(&after[0], after[0].relays.clone()).unwrap();
    world.crash_at(LATER).unwrap();
    assert_eq!(world.receipts(UnixSecs(u64::MAX / 2)), [], "what is done stays done");
    world.audit();
}

#[test]
fn receipt_is_tried_again_at_the_relays_that_lack_it_and_given_up_in_the_end() {
    let world = World::new();
    let bob = person(2);
    let raw = zap_request(bob, &[&["relays", "wss://a.example", "wss://b.example"]]);
    world.pay_text(person(0), world.zap(bob, &raw).unwrap().text(), NOW);
    let [first] = world.receipts(NOW).try_into().unwrap();
    let a = first.relays[0].clone();
    world.wallet().receipt_begun(&first, NOW).unwrap();
    world.wallet().receipt_tried(&first, vec![a]).unwrap();
    assert_eq!(world.receipts(NOW.plus_secs(4)), []);
    assert_eq!(world.wallet().next_receipt_at().unwrap(), Some(NOW.plus_secs(5)));
    let mut now = NOW.plus_secs(5);
    let mut waits = Vec::new();
    while let Some(receipt) = world.receipts(now).pop() {
        assert_eq!(receipt.relays, first.relays[1..], "the other one has it");
        world.wallet().receipt_begun(&receipt, now).unwrap();
        world.wallet().receipt_tried(&receipt, Vec::new()).unwrap();
        let Some(next) = world.wallet().next_receipt_at().unwrap() else { break };
        waits.push(next.secs_since(now));
        now = next;
    }
    assert_eq!(waits, [30, 120, 600, 3_600, 7_200, 43_200]);
    assert_eq!(world.wallet().receipts_waiting().unwrap(), 0);
}

#[test]
fn receipt_goes_to_ten_relays_at_most_each_once() {
    let world = World::new();
    let bob = person(2);
    let many: Vec<String> = (0..40).map(|n| format!("wss://r{}.example", n / 2)).collect();
    let tag: Vec<&str> = ["relays", "nonsense", "https://x.example"]
        .into_iter()
        .chain(many.iter().map(String::as_str))
        .collect();
    world.pay_text(person(0), world.zap(bob, &zap_request(bob, &[&tag])).unwrap().text(), NOW);
    let relays = world.receipts(NOW).pop().unwrap().relays;
    let expected: Vec<_> =
        (0..10).map(|n| RelayUrl::parse(&format!("wss://r{n}.example")).unwrap()).collect();
    assert_eq!(relays, expected);
}

#[test]
fn attempt_that_ends_with_the_program_counts() {
    let mut world = World::new();
    let bob = person(2);
    world.pay_text(person(0), world.zap(bob, &plain_zap(bob)).unwrap().text(), NOW);
    let [receipt] = world.receipts(NOW).try_into().unwrap();
    world.wallet().receipt_begun(&receipt, NOW).unwrap();
    world.crash_at(NOW).unwrap();
    assert_eq!(world.receipts(NOW.plus_secs(4)), [], "it is not dialled again at once");
    assert_eq!(world.receipts(NOW.plus_secs(5)), [receipt]);
}

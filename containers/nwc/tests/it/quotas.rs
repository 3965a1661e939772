//! What one stranger uses up is the strangers' part, never what belongs to others or to the house.

use std::sync::Arc;

use nostr::event::EventId;
use nostr::nips::nip19::ToBech32;
use nwc::config::Limits;
use nwc::lightning::NodeEvent;
use nwc::service::{Asked, Door, InvoiceQuery, RequestEvent, Scheme};
use protocol::nwc::*;
use units::{Msat, UnixSecs};

use crate::support::node::{foreign_invoice, hash_of};
use crate::support::{NOW, ScriptedNode, Setup, World, assert_refused, outcome, person};

/// The server that the wallet is a built-in of.
const DAEMON: u32 = 50;

fn world(change: impl FnOnce(&mut Limits)) -> (World, Arc<ScriptedNode>) {
    let node = Arc::new(ScriptedNode::default());
    let mut setup = Setup { node: Some(Arc::clone(&node)), ..Setup::new() };
    change(&mut setup.limits);
    (World::with(setup), node)
}

fn make(msat: i64) -> Request {
    Request::MakeInvoice(MakeInvoice::of(Msat::new(msat)))
}

fn made(handled: nwc::service::Handled) -> Transaction {
    let Ok(ResultBody::MakeInvoice(made)) = outcome(handled) else { panic!("no invoice") };
    made
}

fn make_for(world: &World, asker: u32, payee: u32, now: UnixSecs) -> Result<Transaction, WalletError> {
    let invoice = MakeInvoice::of(Msat::new(1_000));
    world.call(person(asker), &MakeInvoiceFor { pubkey: person(payee), invoice, zap_request: None }, now)
}

fn make_over_http(world: &World, payee: u32) -> bool {
    let query = InvoiceQuery::parse("amount=1000").unwrap();
    let npub = person(payee).to_bech32().unwrap();
    world.wallet().pay_offer_invoice(&Asked { local: &npub, host: None }, &query, NOW).is_ok()
}

#[test]
fn attack_25_dust_opens_no_wallets() {
    let (world, node) = world(|limits| limits.first_msat_min = 1_000);
    assert_refused(world.invoice_at(person(1), 999, NOW), ErrorCode::PaymentFailed, "at least 1000 msat");
    // Whoever asks for somebody else learns of it when it is paid, from here or from outside.
    let invoice = MakeInvoice::of(Msat::new(999));
    let asked = MakeInvoiceFor { pubkey: person(1), invoice, zap_request: None };
    let dust = world.call(person(0), &asked, NOW).unwrap();
    assert_refused(world.pay(person(0), &dust), ErrorCode::PaymentFailed, "at least 1000 msat");
    let event =
        NodeEvent::Claimable { payment_hash: dust.payment_hash, amount: Msat::new(999), deadline: None };
    world.wallet().on_node_event(event, node.as_ref(), NOW).unwrap();
    assert_eq!((node.claimed(), node.rejected()), (vec![], vec![dust.payment_hash]));
    // After the first payment any amount will do.
    world.give(person(1), 1_000);
    world.give(person(1), 1);
    world.assert_unmoved(&[person(1)], &[1_001]);
}

#[test]
fn attack_25_the_same_money_through_many_keys_takes_one_place() {
    let (world, _) = world(|limits| (limits.wallets_max, limits.first_msat_min) = (3, 100));
    world.give(person(1), 150);
    // Each key passes on all but dust.
    for n in 1..30 {
        let left = 150 - i64::from(n);
        world.pay(person(n), &world.invoice(person(n + 1), left)).unwrap();
    }
    assert_eq!(world.balance(person(2)), 1);
    world.give(person(40), 100);
    // What holds money takes a place.
    assert_refused(world.invoice_at(person(41), 100, NOW), ErrorCode::PaymentFailed, "as many wallets");
    world.audit();
}

#[test]
fn attack_25_wallets_of_strangers_leave_room_for_the_houses() {
    let (world, _) = world(|limits| (limits.wallets_max, limits.first_msat_min) = (2, 1_000));
    world.give(person(1), 5_000);
    assert_refused(world.invoice_at(person(2), 1_000, NOW), ErrorCode::PaymentFailed, "as many wallets");
    // A container that somebody launches is paid all the same, however little it costs.
    let launch = made(world.handle_of_house(person(3), 1, make(10)));
    world.pay(person(1), &launch).unwrap();
    world.assert_unmoved(&[person(1), person(3)], &[4_990, 10]);
}

#[test]
fn attack_25_invoices_of_strangers_leave_room_for_holders_and_the_house() {
    let (world, _) = world(|limits| {
        (limits.open_per_key, limits.open_unfunded, limits.open_total) = (100, 12, 16);
        limits.first_msat_min = 1_000;
    });
    let (holder, emptied) = (person(1), person(2));
    world.give(holder, 10_000);
    world.give(emptied, 1_000);
    world.pay(emptied, &world.invoice(holder, 1_000)).unwrap();
    // Keys that cost nothing, each with a first invoice: the oldest of them gives way once it had its minute.
    let at = |n: u32| NOW.plus_secs(u64::from(n) * 6);
    let of_strangers: Vec<_> =
        (0..30).map(|n| (100 + n, world.invoice_at(person(100 + n), 1_000, at(n)).unwrap())).collect();
    let is_open = |(payee, made): &(u32, Transaction)| {
        let found = world.lookup(person(*payee), made.payment_hash);
        found.is_ok_and(|found| found.state == Some(TransactionState::Pending))
    };
    assert_eq!(
        of_strangers.iter().map(is_open).collect::<Vec<_>>(),
        [vec![false; 18], vec![true; 12]].concat()
    );
    let refused = |result| assert_refused(result, ErrorCode::RateLimited, "unpaid invoices");
    // Who was emptied has no more standing than they: a second one takes nobody's place.
    world.invoice_at(emptied, 1_000, at(30)).unwrap();
    refused(world.invoice_at(emptied, 1_000, at(30)));
    // Who holds money has places of its own.
    for _ in 0..16 {
        world.invoice_at(holder, 1_000, at(30)).unwrap();
    }
    refused(world.invoice_at(holder, 1_000, at(30)));
    assert!(is_open(&of_strangers[29]));
    // The house goes on, for itself and for containers that were never paid.
    for event in 1..=8 {
        made(world.handle_of_house(person(DAEMON), event, make(10)));
        made(world.handle_of_house(person(60 + u32::from(event)), 100 + event, make(10)));
    }
    let one_more = outcome(world.handle_of_house(person(DAEMON), 99, make(10)));
    assert_refused(one_more, ErrorCode::RateLimited, "unpaid invoices");
    world.audit();
}

#[test]
fn attack_25_nobody_blocks_the_address_of_another() {
    let (mut world, _) = world(|limits| limits.open_per_key = 4);
    let (victim, friend) = (1, 2);
    world.give(person(victim), 5_000);
    world.give(person(friend), 5_000);
    // Strangers with keys use up half of what is for keys.
    let by_strangers = (100..120).filter(|n| make_for(&world, *n, victim, NOW).is_ok()).count();
    assert_eq!(by_strangers, 2);
    // Somebody over HTTP uses up what is for HTTP.
    assert_eq!((0..20).filter(|_| make_over_http(&world, victim)).count(), 4);
    world.reopen().unwrap();
    make_for(&world, friend, victim, NOW).unwrap();
    make_for(&world, friend, victim, NOW).unwrap();
    assert_refused(make_for(&world, friend, victim, NOW), ErrorCode::RateLimited, "unpaid invoices");
    // None of it is the victim's own.
    for _ in 0..4 {
        world.invoice(person(victim), 5);
    }
    let fifth = world.invoice_at(person(victim), 5, NOW);
    assert_refused(fifth, ErrorCode::RateLimited, "unpaid invoices");
    world.audit();
}

#[test]
fn attack_25_hold_invoices_between_wallets_here_take_no_channel() {
    let (world, node) = world(|limits| {
        (limits.in_flight_total, limits.in_flight_per_key) = (3, 10);
        (limits.holds_total, limits.holds_per_key) = (4, 4);
    });
    let (payer, payee, honest) = (person(1), person(2), person(3));
    for person in [payer, payee, honest] {
        world.give(person, 1_000_000);
    }
    let hold = |n: u8| {
        let preimage = Preimage::from_bytes([n; 32]);
        let terms = MakeHoldInvoice {
            payment_hash: hash_of(&preimage),
            invoice: MakeInvoice::of(Msat::new(1_000)),
            min_cltv_expiry_delta: None,
        };
        world.call(payee, &terms, NOW).unwrap()
    };
    let lock_in = |invoice: &Transaction| {
        let request = Request::PayInvoice(PayInvoice::of(invoice.invoice.clone().unwrap()));
        world.handle(payer, request, NOW)
    };
    for n in 1..=4 {
        assert!(lock_in(&hold(n)).waits_for().is_some());
    }
    assert_refused(outcome(lock_in(&hold(5))), ErrorCode::RateLimited, "hold invoices");
    // All four lie in the books; the channels are free, for payments and for hold invoices from outside.
    for seed in 10..13 {
        let (invoice, ..) = foreign_invoice(seed, Msat::new(1_000), NOW);
        let handled = world.handle(honest, Request::PayInvoice(PayInvoice::of(invoice)), NOW);
        assert!(handled.waits_for().is_some(), "{handled:?}");
    }
    let outside = hold(6);
    let event = NodeEvent::Claimable {
        payment_hash: outside.payment_hash,
        amount: outside.amount,
        deadline: Some(1_000_000),
    };
    let payee_has_another = world.wallet().on_node_event(event, node.as_ref(), NOW).unwrap();
    assert_eq!(payee_has_another.outcome, nwc::service::NodeOutcome::Accepted);
    world.audit();
}

#[test]
fn requests_that_wait_for_one_payment_are_bounded_and_so_are_those_that_join() {
    let (world, node) = world(|limits| (limits.waiting_per_payment, limits.waiting_total) = (3, 2));
    for payer in [1, 2, 3] {
        world.give(person(payer), 1_000_000);
    }
    let ask = |payer, event, seed| {
        let (invoice, ..) = foreign_invoice(seed, Msat::new(5), NOW);
        world.handle_event(person(payer), event, Request::PayInvoice(PayInvoice::of(invoice)), NOW)
    };
    for event in 1..=3 {
        assert!(ask(1, event, 1).waits_for().is_some());
    }
    assert_refused(outcome(ask(1, 4, 1)), ErrorCode::RateLimited, "look it up instead");
    assert!(ask(1, 3, 1).waits_for().is_some(), "one that waits already goes on waiting");
    assert!(ask(2, 5, 2).waits_for().is_some());
    // Those that join are bounded in all; the first of a payment is none of them.
    assert_refused(outcome(ask(1, 6, 1)), ErrorCode::RateLimited, "look it up instead");
    assert_eq!((node.handed_over().len(), world.balance(person(3))), (2, 1_000_000));
    // The house does not wait for strangers.
    let (invoice, hash, preimage) = foreign_invoice(4, Msat::new(5), NOW);
    let request = Request::PayInvoice(PayInvoice::of(invoice));
    assert!(world.handle_of_house(person(3), 7, request).waits_for().is_some());
    // The same event is taken once there is room.
    let settled = NodeEvent::PaymentSettled { payment_hash: hash, preimage, fee: Msat::ZERO };
    world.wallet().on_node_event(settled, node.as_ref(), NOW).unwrap();
    let (_, hash, preimage) = foreign_invoice(1, Msat::new(5), NOW);
    let settled = NodeEvent::PaymentSettled { payment_hash: hash, preimage, fee: Msat::ZERO };
    let report = world.wallet().on_node_event(settled, node.as_ref(), NOW).unwrap();
    assert_eq!(report.notices.len(), 3 + 1, "those who waited, and the notification");
    assert!(ask(3, 6, 3).waits_for().is_some());
    world.audit();
}

#[test]
fn attack_25_a_file_that_others_filled_does_not_stop_the_house() {
    const BOUND: u32 = 4_000_000;
    let (mut world, _) = world(|limits| {
        (limits.books_bytes_max, limits.answers_per_key) = (BOUND, 100_000);
        (limits.open_per_key, limits.open_total) = (100_000, 100_000);
    });
    let (rich, container, daemon) = (person(1), person(2), person(DAEMON));
    world.give(rich, 10_000);
    world.give(container, 5_000);
    let service = world.service();
    let mut events = 0_u64;
    let mut ask = |world: &World, client, door, request, now| {
        events += 1;
        let mut event = [0; 32];
        event[..8].copy_from_slice(&events.to_be_bytes());
        let event = EventId::from_byte_array(event);
        let event = RequestEvent { event, client, service, scheme: Scheme::Nip44, signed_at: now };
        outcome(world.wallet().handle_event(&event, door, request, now))
    };
    // Somebody with money asks for long invoices, as many as there may be, and comes back for more when what was
    // remembered of it is forgotten.
    let note = serde_json::json!({ "note": "x".repeat(3_000) });
    let long = MakeInvoice {
        metadata: Metadata::new(note.as_object().unwrap().clone()),
        expiry_secs: Some(86_400),
        ..MakeInvoice::of(Msat::new(1))
    };
    let mut now = NOW;
    for _ in 0..24 {
        while ask(&world, rich, Door::Public, Request::MakeInvoice(long.clone()), now).is_ok() {}
        now = now.plus_secs(1_500);
    }
    while ask(&world, rich, Door::Public, Request::MakeInvoice(long.clone()), now).is_ok() {}
    // Somebody else with little makes one and is paid: the rich one's give way.
    let little = ask(&world, person(3), Door::Public, make(1), now);
    let Ok(ResultBody::MakeInvoice(little)) = little else { panic!("{little:?}") };
    let pay = Request::PayInvoice(PayInvoice::of(little.invoice.unwrap()));
    ask(&world, container, Door::Public, pay, now).unwrap();
    while ask(&world, rich, Door::Public, Request::MakeInvoice(long.clone()), now).is_ok() {}
    // The server is paid all the same, for much longer than its reserve would last.
    for round in 0..1_500 {
        now = now.plus_secs(20);
        let asked = ask(&world, daemon, Door::House, make(1), now);
        let Ok(ResultBody::MakeInvoice(invoice)) = asked else { panic!("{round}: {asked:?}") };
        let pay = Request::PayInvoice(PayInvoice::of(invoice.invoice.unwrap()));
        ask(&world, container, Door::House, pay, now).unwrap();
        if round % 250 == 0 {
            let more = ask(&world, rich, Door::Public, Request::MakeInvoice(long.clone()), now);
            assert_refused(more, ErrorCode::RateLimited, "unpaid invoices");
        }
    }
    let file = std::fs::metadata(world.dir.path().join("wallet.db")).unwrap().len();
    assert!(file <= u64::from(BOUND), "{file}");
    world.assert_unmoved(&[rich, container, daemon], &[10_000, 3_499, 1_500]);
    world.audit();
    world.reopen_at(now).unwrap();
    world.audit();
}

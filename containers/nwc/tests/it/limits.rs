//! Bounds on what strangers can make the wallet hold.

use std::sync::{Arc, Barrier};
use std::thread;

use nwc::config::Limits;
use nwc::lightning::NodeEvent;
use nwc::service::NodeOutcome;
use protocol::nwc::*;
use units::Msat;

use crate::support::node::foreign_invoice;
use crate::support::{NOW, ScriptedNode, Setup, World, assert_refused, outcome, person};

fn world(change: impl FnOnce(&mut Limits)) -> (World, Arc<ScriptedNode>) {
    let node = Arc::new(ScriptedNode::default());
    let mut setup = Setup { node: Some(Arc::clone(&node)), ..Setup::new() };
    change(&mut setup.limits);
    (World::with(setup), node)
}

fn claimable(world: &World, node: &ScriptedNode, invoice: &Transaction) -> NodeOutcome {
    let event =
        NodeEvent::Claimable { payment_hash: invoice.payment_hash, amount: invoice.amount, deadline: None };
    world.wallet().on_node_event(event, node, NOW).unwrap().outcome
}

#[test]
fn attack_25_no_more_wallets_are_opened_than_allowed() {
    // The faucet's wallet is one of them.
    let (world, node) = world(|limits| limits.wallets_max = 2);
    let last = world.invoice(person(2), 5);
    let one_too_many = world.invoice(person(3), 5);
    world.give(person(1), 100);
    assert_refused(world.pay(person(0), &last), ErrorCode::PaymentFailed, "as many wallets");
    assert_eq!(claimable(&world, &node, &one_too_many), NodeOutcome::Rejected);
    assert_refused(world.invoice_at(person(9), 5, NOW), ErrorCode::PaymentFailed, "as many wallets");
    // Who has a wallet goes on using it.
    world.give(person(1), 100);
    assert_eq!(world.balance(person(1)), 200);
    world.audit();
}

#[test]
fn attack_27_racing_receives_do_not_breach_the_balance_cap() {
    let (world, node) = world(|limits| limits.balance_max = Msat::new(1_000_000_010));
    let payee = person(0);
    // The faucet's wallet has 1,000,000,000; 64 payments of one each from outside race for the last ten.
    let invoices: Vec<Transaction> = (0..64).map(|_| world.invoice(payee, 1)).collect();
    let start = Barrier::new(64);
    let claimed = thread::scope(|scope| {
        let tasks: Vec<_> = invoices
            .iter()
            .map(|invoice| {
                let (world, node, start) = (&world, &node, &start);
                scope.spawn(move || {
                    start.wait();
                    claimable(world, node, invoice)
                })
            })
            .collect();
        let outcomes: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
        outcomes.iter().filter(|outcome| **outcome == NodeOutcome::Claimed).count()
    });
    assert_eq!((claimed, node.claimed().len(), node.rejected().len()), (10, 10, 54));
    for hash in node.claimed() {
        let event = NodeEvent::Received { payment_hash: hash, amount: Msat::new(1) };
        world.wallet().on_node_event(event, node.as_ref(), NOW).unwrap();
    }
    assert_eq!(world.balance(payee), 1_000_000_010);
    assert_refused(world.invoice_at(payee, 1, NOW), ErrorCode::PaymentFailed, "1000000010 msat");
    world.audit();
}

#[test]
fn attack_27_racing_internal_payments_do_not_breach_the_balance_cap() {
    let (world, _) = world(|limits| limits.balance_max = Msat::new(1_000_000_000));
    let payee = person(1);
    world.give(payee, 999_999_990);
    let invoices: Vec<Transaction> = (0..64).map(|_| world.invoice(payee, 1)).collect();
    let start = Barrier::new(64);
    world.give(person(2), 10);
    let paid = thread::scope(|scope| {
        let tasks: Vec<_> = invoices
            .iter()
            .map(|invoice| {
                let (world, start) = (&world, &start);
                scope.spawn(move || {
                    start.wait();
                    world.pay(person(2), invoice).is_ok()
                })
            })
            .collect();
        tasks.into_iter().map(|task| task.join().unwrap()).filter(|paid| *paid).count()
    });
    assert_eq!((paid, world.balance(payee)), (10, 1_000_000_000));
    world.audit();
}

#[test]
fn attack_25_a_payer_cannot_fill_the_nodes_channels() {
    let (world, node) = world(|limits| (limits.in_flight_per_key, limits.in_flight_total) = (2, 3));
    for payer in [1, 2] {
        world.give(person(payer), 1_000_000);
    }
    let pay = |payer, seed| {
        let (invoice, ..) = foreign_invoice(seed, Msat::new(1_000), NOW);
        world.handle(person(payer), Request::PayInvoice(PayInvoice::of(invoice)), NOW)
    };
    for seed in [1, 2] {
        assert!(pay(1, seed).waits_for().is_some());
    }
    assert_refused(outcome(pay(1, 3)), ErrorCode::RateLimited, "on their way");
    assert!(pay(2, 4).waits_for().is_some());
    assert_refused(outcome(pay(2, 5)), ErrorCode::RateLimited, "on their way");
    // One that is known already is joined all the same.
    assert!(pay(1, 1).waits_for().is_some());
    assert_eq!(node.handed_over().len(), 3);
    world.audit();
}

#[test]
fn invoices_that_others_ask_for_expire_sooner() {
    let (world, _) = world(|limits| limits.anon_expiry_max_secs = 120);
    let terms = MakeInvoice { expiry_secs: Some(3_600), ..MakeInvoice::of(Msat::new(5)) };
    // So do those of a key that was never paid, which costs nothing either.
    assert_eq!(world.call(person(1), &terms, NOW).unwrap().expires_at, Some(NOW.plus_secs(120)));
    world.give(person(1), 5);
    let own = world.call(person(1), &terms, NOW).unwrap();
    assert_eq!(own.expires_at, Some(NOW.plus_secs(3_600)));
    let others = MakeInvoiceFor { pubkey: person(1), invoice: terms, zap_request: None };
    assert_eq!(world.call(person(2), &others, NOW).unwrap().expires_at, Some(NOW.plus_secs(120)));
}

#[test]
fn history_and_replies_are_as_long_as_configured() {
    let (world, _) = world(|limits| (limits.history_max, limits.reply_bytes_max) = (20, 16_000));
    for n in 0..20 {
        let terms = MakeInvoice { description: Some("x".repeat(600)), ..MakeInvoice::of(Msat::new(1 + n)) };
        world.pay(person(0), &world.call(person(1), &terms, NOW).unwrap()).unwrap();
    }
    let list = |offset| {
        let wanted = ListTransactions { offset: Some(offset), ..ListTransactions::default() };
        world.handle(person(1), Request::ListTransactions(wanted), NOW)
    };
    let text = list(0).text().unwrap();
    assert!(text.len() <= 16_100, "{}", text.len());
    assert!(!ListTransactions::parse_reply(&text).unwrap().transactions.is_empty());
    assert!(outcome(list(20)).is_ok());
    assert_refused(outcome(list(21)), ErrorCode::Other, "at most 20");
}

#[test]
fn attack_25_keys_without_money_fill_their_part_of_the_file_and_no_more() {
    let (world, _) = world(|limits| {
        limits.books_bytes_max = 2_000_000;
        (limits.open_per_key, limits.open_unfunded, limits.open_total) = (100_000, 100_000, 100_000);
    });
    world.give(person(1), 1_000);
    let own = world.invoice(person(1), 7);
    let text = serde_json::json!({ "note": "x".repeat(4_000) });
    let terms = MakeInvoice {
        metadata: Metadata::new(text.as_object().unwrap().clone()),
        ..MakeInvoice::of(Msat::new(5))
    };
    let flood = (0..1_000).find_map(|_| world.call(person(9), &terms, NOW).err());
    assert_eq!(flood.expect("it all fits").code, ErrorCode::RateLimited);
    // The others go on: who has been paid, as far as its part reaches, and the house.
    let pay = Request::PayInvoice(PayInvoice::of(own.invoice.unwrap()));
    outcome(world.handle_event(person(0), 1, pay, NOW)).unwrap();
    assert_eq!(world.balance(person(1)), 1_007);
    let make = || Request::MakeInvoice(MakeInvoice::of(Msat::new(3)));
    outcome(world.handle_event(person(1), 2, make(), NOW)).unwrap();
    // Another stranger is not refused because this one has much: it gives way.
    outcome(world.handle_event(person(8), 3, make(), NOW)).unwrap();
    let more = (0..5).find_map(|_| world.call(person(9), &terms, NOW).err());
    assert_eq!(more.expect("it all fits").code, ErrorCode::RateLimited);
    assert!(!world.wallet().store().is_stopped());
    world.audit();
    // When their invoices have expired, there is room again.
    world.call(person(9), &terms, NOW.plus_secs(700)).unwrap();
    world.audit();
}

#[test]
fn attack_25_a_key_has_so_many_requests_remembered_and_no_more() {
    let (world, _) = world(|limits| limits.answers_per_key = 10);
    let make = |event, now| {
        outcome(world.handle_event(
            person(1),
            event,
            Request::MakeInvoice(MakeInvoice::of(Msat::new(3))),
            now,
        ))
    };
    for event in 0..10 {
        make(event, NOW).unwrap();
    }
    assert_refused(make(10, NOW), ErrorCode::RateLimited, "wait some minutes");
    let others = Request::MakeInvoice(MakeInvoice::of(Msat::new(3)));
    outcome(world.handle_event(person(2), 100, others, NOW)).unwrap();
    // Those from before can come back no more.
    make(10, NOW.plus_secs(1_201)).unwrap();
}

#[test]
fn attack_25_invoices_that_expire_at_once_do_not_pile_up() {
    let (world, _) = world(|limits| limits.open_total = 5);
    let terms = MakeInvoice { expiry_secs: Some(1), ..MakeInvoice::of(Msat::new(5)) };
    let made: Vec<_> =
        (0..20).map(|n| world.call(person(1), &terms, NOW.plus_secs(2 * n)).unwrap().payment_hash).collect();
    let known = made.iter().filter(|hash| world.lookup(person(1), **hash).is_ok()).count();
    assert!(known <= 7, "{known} are kept");
}

#[test]
fn an_invoice_for_another_tells_nothing_of_its_balance() {
    let (world, _) = world(|limits| limits.balance_max = Msat::new(1_000_000_000));
    world.give(person(1), 999_999_990);
    let terms = MakeInvoice::of(Msat::new(11));
    assert_refused(world.call(person(1), &terms, NOW), ErrorCode::PaymentFailed, "may not hold");
    let asked = MakeInvoiceFor { pubkey: person(1), invoice: terms, zap_request: None };
    world.call(person(2), &asked, NOW).unwrap();
}

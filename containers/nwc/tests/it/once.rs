//! An event is acted on once, and what is said to it stays said.

use nwc::lightning::{CannotPay, Dispatch, NodeEvent};
use nwc::service::{Answer, Notice};
use protocol::nwc::*;
use units::Msat;

use crate::support::node::foreign_invoice;
use crate::support::{NOW, World, assert_refused, outcome, person};

fn again(text: &str) -> Answer {
    Answer::Again(text.to_owned())
}

#[test]
fn attack_22_an_event_that_comes_again_after_a_restart_gets_its_answer_and_pays_nothing() {
    let mut world = World::new();
    let (alice, bob) = (person(1), person(2));
    world.give(alice, 10_000);
    let invoice = world.invoice(bob, 4_000);
    let request = Request::PayInvoice(PayInvoice::of(invoice.invoice.unwrap()));
    let first = world.handle_event(alice, 1, request.clone(), NOW).text().unwrap();
    for crash in [false, true] {
        if crash {
            world.crash_at(NOW).unwrap();
        } else {
            world.reopen().unwrap();
        }
        let repeated = world.handle_event(alice, 1, request.clone(), NOW);
        assert_eq!((repeated.answer, repeated.notices), (again(&first), vec![]));
        world.assert_unmoved(&[alice, bob], &[6_000, 4_000]);
    }
}

#[test]
fn attack_22_an_event_that_was_refused_is_not_obeyed_later() {
    let world = World::new();
    let (alice, bob) = (person(1), person(2));
    let invoice = world.invoice(bob, 4_000);
    let request = Request::PayInvoice(PayInvoice::of(invoice.invoice.clone().unwrap()));
    let refused = world.handle_event(alice, 1, request.clone(), NOW);
    let text = refused.text().unwrap();
    assert_refused(outcome(refused), ErrorCode::InsufficientBalance, "balance");
    // Topped up: a relay that delivers the old event again spends nothing.
    world.give(alice, 4_000);
    assert_eq!(world.handle_event(alice, 1, request.clone(), NOW).answer, again(&text));
    world.assert_unmoved(&[alice, bob], &[4_000, 0]);
    // The payer itself asks in a new event.
    assert!(outcome(world.handle_event(alice, 2, request, NOW)).is_ok());
    world.assert_unmoved(&[alice, bob], &[0, 4_000]);
}

#[test]
fn bug_g_an_invoice_asked_for_twice_in_one_event_is_made_once() {
    let mut world = World::new();
    let request = Request::MakeInvoice(MakeInvoice::of(Msat::new(5)));
    let first = world.handle_event(person(1), 1, request.clone(), NOW).text().unwrap();
    // Many other events do not push it out of the memory.
    for n in 2..=200 {
        world.handle_event(person(3), n, request.clone(), NOW);
    }
    world.reopen().unwrap();
    assert_eq!(world.handle_event(person(1), 1, request, NOW).answer, again(&first));
    let unpaid = ListTransactions { unpaid: Some(true), ..ListTransactions::default() };
    assert_eq!(world.list(person(1), unpaid).len(), 1);
}

#[test]
fn attack_09_events_that_wait_for_one_payment_are_all_answered_when_it_is_decided() {
    for settles in [true, false] {
        let (mut world, node) = World::on_lightning();
        let alice = person(1);
        world.give(alice, 200_000);
        let (invoice, hash, preimage) = foreign_invoice(1, Msat::new(100_000), NOW);
        let request = Request::PayInvoice(PayInvoice::of(invoice));
        for event in [1, 2, 1] {
            assert_eq!(
                world.handle_event(alice, event, request.clone(), NOW).answer,
                Answer::WhenSettled(hash),
                "{event}"
            );
        }
        assert_eq!(node.handed_over().len(), 1);
        // A restart forgets nobody who waits.
        world.reopen().unwrap();
        let event = if settles {
            NodeEvent::PaymentSettled { payment_hash: hash, preimage: preimage.clone(), fee: Msat::new(1) }
        } else {
            NodeEvent::PaymentFailed {
                payment_hash: hash,
                attempt: node.attempt(hash),
                reason: "no route".to_owned(),
            }
        };
        let report = world.wallet().on_node_event(event, node.as_ref(), NOW).unwrap();
        let late: Vec<_> = report
            .notices
            .iter()
            .filter_map(|notice| match notice {
                Notice::Late(answer) => Some(answer.clone()),
                Notice::Wallet { .. } | Notice::Zap => None,
            })
            .collect();
        assert_eq!(late.iter().map(|answer| answer.to.event.as_bytes()[0]).collect::<Vec<_>>(), [1, 2]);
        for answer in late {
            assert_eq!(answer.to.client, alice);
            assert_eq!(PayInvoice::parse_reply(&answer.text).is_ok(), settles);
            let event = answer.to.event.as_bytes()[0];
            assert_eq!(world.handle_event(alice, event, request.clone(), NOW).answer, again(&answer.text));
        }
        world.audit();
    }
}

#[test]
fn a_payment_that_the_node_refuses_answers_everybody_who_joined_it() {
    let (world, node) = World::on_lightning();
    let alice = person(1);
    world.give(alice, 200_000);
    let (invoice, ..) = foreign_invoice(1, Msat::new(100_000), NOW);
    let request = Request::PayInvoice(PayInvoice::of(invoice));
    let (entered, is_entered) = std::sync::mpsc::sync_channel(0);
    let (leave, may_leave) = std::sync::mpsc::sync_channel::<()>(0);
    node.pause_in_next_payment(entered, may_leave);
    node.next(Dispatch::Refused(CannotPay("the node is not running".into())));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| world.handle_event(alice, 1, request.clone(), NOW));
        is_entered.recv().unwrap();
        assert!(world.handle_event(alice, 2, request.clone(), NOW).waits_for().is_some());
        leave.send(()).unwrap();
        let first = first.join().unwrap();
        let [Notice::Late(joined)] = first.notices.as_slice() else { panic!("{first:?}") };
        assert_eq!(joined.to.event.as_bytes()[0], 2);
        assert_refused(outcome(first), ErrorCode::PaymentFailed, "not running");
    });
    world.assert_unmoved(&[alice], &[200_000]);
}

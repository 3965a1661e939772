//! What the node remembers at a start, and reports that cannot be booked.

use ledger::Account;
use nwc::lightning::{Dispatch, Fate, NodeEvent};
use nwc::service::{NodeOutcome, NodeReport, Notice};
use protocol::nwc::*;
use units::Msat;

use super::AMOUNT;
use crate::support::node::foreign_invoice;
use crate::support::{NOW, World, person};

const START: i64 = 200_000;
const RESERVE: i64 = 10_000;

/// A payment may or may not have been handed over, the program ends, and the node remembers this of it.
/// Returns the world and the text of the late answer, if one came.
fn after_restart(fate: impl FnOnce(Preimage) -> Fate) -> (World, PaymentHash, Option<String>) {
    let (mut world, node) = World::on_lightning();
    world.give(person(1), START);
    let (invoice, hash, preimage) = foreign_invoice(1, Msat::new(AMOUNT), NOW);
    node.next(Dispatch::Unknown("the connection was reset".to_owned()));
    let request = Request::PayInvoice(PayInvoice::of(invoice));
    assert!(world.handle_event(person(1), 1, request.clone(), NOW).waits_for().is_some());
    node.remembers(hash, fate(preimage));
    world.reopen().unwrap();
    let told = world.wallet().upkeep(NOW).unwrap();
    let late = told.into_iter().find_map(|notice| match notice {
        Notice::Late(answer) => Some(answer.text),
        Notice::Wallet { .. } | Notice::Zap => None,
    });
    assert_eq!(world.handle_event(person(1), 1, request, NOW).text(), late, "and asking again gets the same");
    world.audit();
    (world, hash, late)
}

fn accounts(world: &World) -> (i64, i64) {
    (world.balance(person(1)), world.account(Account::Hold))
}

#[test]
fn attack_18_a_payment_that_arrived_while_the_wallet_was_down_is_booked_at_its_start() {
    let (world, hash, late) = after_restart(|preimage| Fate::Settled { preimage, fee: Msat::new(3) });
    assert_eq!(PayInvoice::parse_reply(&late.unwrap()).unwrap().fees_paid, Msat::new(3));
    assert_eq!(accounts(&world), (START - AMOUNT - 3, 0));
    assert_eq!(world.lookup(person(1), hash).unwrap().state, Some(TransactionState::Settled));
}

#[test]
fn attack_18_a_fate_that_cannot_be_booked_keeps_no_wallet_from_starting() {
    let (mut world, hash, late) =
        after_restart(|preimage| Fate::Settled { preimage, fee: Msat::new(i64::MAX) });
    assert_eq!(late, None);
    assert_eq!(accounts(&world), (START - AMOUNT - RESERVE, AMOUNT + RESERVE), "nothing half done");
    // It goes on, also through the next start.
    world.reopen().unwrap();
    world.give(person(2), 7);
    assert_eq!(world.lookup(person(1), hash).unwrap().state, Some(TransactionState::Pending));
    world.audit();
}

#[test]
fn attack_18_money_comes_back_at_the_start_only_where_the_node_is_certain() {
    for (fate, says) in [
        (Fate::Failed { reason: "no route".to_owned() }, "no route"),
        (Fate::NeverSent, "before it was sent"),
    ] {
        let (world, hash, late) = after_restart(|_| fate);
        let Err(CallError::Wallet(error)) = PayInvoice::parse_reply(&late.unwrap()) else { panic!() };
        assert!(error.code == ErrorCode::PaymentFailed && error.message.contains(says), "{error}");
        assert_eq!(accounts(&world), (START, 0));
        assert_eq!(world.lookup(person(1), hash).unwrap().state, Some(TransactionState::Failed));
    }
    for fate in [Fate::UnderWay, Fate::Unknown] {
        let (world, _, late) = after_restart(|_| fate);
        assert_eq!((late, accounts(&world)), (None, (START - AMOUNT - RESERVE, AMOUNT + RESERVE)));
    }
}

#[test]
fn a_proof_that_is_none_settles_nothing_at_the_start() {
    let (world, _, late) =
        after_restart(|_| Fate::Settled { preimage: Preimage::from_bytes([9; 32]), fee: Msat::ZERO });
    assert_eq!((late, accounts(&world)), (None, (START - AMOUNT - RESERVE, AMOUNT + RESERVE)));
}

#[test]
fn a_payment_locked_in_here_is_none_of_the_nodes_business() {
    let (mut world, node) = World::on_lightning();
    world.give(person(1), START);
    let preimage = Preimage::from_bytes([7; 32]);
    let hash = crate::support::node::hash_of(&preimage);
    let invoice = MakeInvoice::of(Msat::new(5_000));
    let terms = MakeHoldInvoice { payment_hash: hash, invoice, min_cltv_expiry_delta: None };
    let made = world.call(person(2), &terms, NOW).unwrap();
    let pay = Request::PayInvoice(PayInvoice::of(made.invoice.unwrap()));
    assert!(world.handle(person(1), pay, NOW).waits_for().is_some());
    node.remembers(hash, Fate::NeverSent);
    world.reopen().unwrap();
    assert_eq!(accounts(&world), (START - 5_000, 5_000));
    world.call(person(2), &SettleHoldInvoice { preimage }, NOW).unwrap();
    world.assert_unmoved(&[person(1), person(2)], &[START - 5_000, 5_000]);
}

#[test]
fn a_payment_on_its_way_does_not_count_twice_against_the_house() {
    let (world, node) = World::on_lightning();
    let alice = person(1);
    // Alice is paid 200,000 from outside, and the node has just that.
    let invoice = world.invoice(alice, START);
    for event in [
        NodeEvent::Claimable { payment_hash: invoice.payment_hash, amount: invoice.amount, deadline: None },
        NodeEvent::Received { payment_hash: invoice.payment_hash, amount: invoice.amount },
    ] {
        world.wallet().on_node_event(event, node.as_ref(), NOW).unwrap();
    }
    node.has(START);
    let pay = |seed, msat| {
        let (invoice, ..) = foreign_invoice(seed, Msat::new(msat), NOW);
        world.handle(alice, Request::PayInvoice(PayInvoice::of(invoice)), NOW)
    };
    assert!(pay(1, AMOUNT).waits_for().is_some());
    // The money has left the node's side of the channel, and may still come back.
    node.has_besides(START - AMOUNT - 5, AMOUNT + 5);
    world.wallet().upkeep(NOW).unwrap();
    assert!(*world.wallet().solvent().borrow());
    assert!(pay(2, 5).waits_for().is_some(), "payments go on");
    // What the node says is in flight counts only as far as the books know of it.
    node.has_besides(0, 1_000_000);
    world.wallet().upkeep(NOW).unwrap();
    assert!(!*world.wallet().solvent().borrow());
    let state = world.wallet().solvency().unwrap();
    assert_eq!(state.assets.msat() - crate::support::FAUCET_MSAT, AMOUNT + RESERVE + 5 + RESERVE);
}

#[test]
fn money_that_no_wallet_can_be_given_waits_in_suspense_and_holds_nothing_up() {
    let (world, node) = World::on_lightning();
    let alice = person(1);
    let open = world.invoice(alice, 1_000);
    let cancelled = world.invoice(alice, 1_000);
    assert!(world.wallet().cancel_invoice(alice, cancelled.payment_hash, NOW).unwrap());
    let (_, unknown, _) = foreign_invoice(9, Msat::new(1_000), NOW);
    let received = |payment_hash, msat| {
        let event = NodeEvent::Received { payment_hash, amount: Msat::new(msat) };
        world.wallet().on_node_event(event, node.as_ref(), NOW).unwrap()
    };
    for hash in [open.payment_hash, cancelled.payment_hash, unknown] {
        assert_eq!(received(hash, 1_000).outcome, NodeOutcome::Suspended);
        assert_eq!(received(hash, 1_000), NodeReport::default(), "once");
        assert_eq!(received(hash, 1_001), NodeReport::default(), "once, whatever is said of it later");
    }
    assert_eq!((world.account(Account::Suspense), world.account(Account::NodeLightning)), (3_000, -3_000));
    assert_eq!(world.balance(alice), 0);
    // What nobody can book is none of the next report's business.
    for msat in [0, -5, i64::MIN] {
        assert_eq!(received(unknown, msat), NodeReport::default());
    }
    let claimed = world.invoice(alice, 2_000);
    let locked =
        NodeEvent::Claimable { payment_hash: claimed.payment_hash, amount: claimed.amount, deadline: None };
    world.wallet().on_node_event(locked, node.as_ref(), NOW).unwrap();
    // Beyond what an amount can be: the books refuse, the wallet goes on.
    assert_eq!(received(claimed.payment_hash, i64::MAX).outcome, NodeOutcome::Unbooked);
    assert_eq!(received(claimed.payment_hash, 2_000).outcome, NodeOutcome::Done);
    world.assert_unmoved(&[alice], &[2_000]);
}

/// The files of a wallet as they are now, put back later.
fn copy_of(world: &mut World) -> tempfile::TempDir {
    let copy = tempfile::TempDir::new().unwrap();
    world.close();
    for file in ["wallet.db", "wallet.keys"] {
        std::fs::copy(world.dir.path().join(file), copy.path().join(file)).unwrap();
    }
    world.reopen().unwrap();
    copy
}

#[test]
fn attack_22_a_request_replayed_after_a_restore_pays_at_most_once() {
    let (mut world, node) = World::on_lightning();
    let (alice, bob) = (person(1), person(2));
    world.give(alice, START);
    let inside = world.invoice(bob, 4_000);
    let (outside, hash, preimage) = foreign_invoice(1, Msat::new(AMOUNT), NOW);
    let copy = copy_of(&mut world);
    let requests = [inside.invoice.unwrap(), outside].map(|text| Request::PayInvoice(PayInvoice::of(text)));
    world.handle_event(alice, 1, requests[0].clone(), NOW);
    world.handle_event(alice, 2, requests[1].clone(), NOW);
    let settled = NodeEvent::PaymentSettled { payment_hash: hash, preimage, fee: Msat::new(3) };
    world.wallet().on_node_event(settled.clone(), node.as_ref(), NOW).unwrap();
    let paid = [START - 4_000 - AMOUNT - 3, 4_000];
    world.assert_unmoved(&[alice, bob], &paid);
    // The copy is put back: its books know of neither payment, the node of the one that it made.
    world.close();
    world.dir = copy;
    world.reopen().unwrap();
    world.assert_unmoved(&[alice, bob], &[START, 0]);
    // Both events come again, twice. The node knows the hash, and does not say that it sends once more.
    node.next(Dispatch::Unknown("this payment exists".to_owned()));
    for _ in 0..2 {
        world.handle_event(alice, 1, requests[0].clone(), NOW);
        assert!(world.handle_event(alice, 2, requests[1].clone(), NOW).waits_for().is_some());
    }
    let held = START - 4_000 - AMOUNT - RESERVE;
    assert_eq!((world.balance(alice), world.account(Account::Hold)), (held, AMOUNT + RESERVE));
    // Once before the restore, once after it, and joined since.
    assert_eq!(node.handed_over().len(), 2);
    // It tells again how the one payment ended: that is the end of this one, too.
    for _ in 0..2 {
        world.wallet().on_node_event(settled.clone(), node.as_ref(), NOW).unwrap();
    }
    world.assert_unmoved(&[alice, bob], &paid);
    assert_eq!(world.account(Account::NodeLightning), AMOUNT + 3);
}

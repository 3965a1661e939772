//! What things cost, and that the house can pay what it owes.

use std::fs;
use std::sync::Arc;

use ledger::Account;
use nwc::lightning::{Dispatch, NodeEvent};
use nwc::service::{FeeReserve, Fees, Handled, HoldingFee, PaymentFee};
use protocol::nwc::*;
use units::{Msat, UnixSecs};

use crate::support::node::foreign_invoice;
use crate::support::{FAUCET_MSAT, NOW, ScriptedNode, Setup, World, assert_refused, outcome, person};

const DAY: u32 = 86_400;

fn with_fees(payment: PaymentFee, holding: Option<HoldingFee>) -> (World, Arc<ScriptedNode>) {
    let node = Arc::new(ScriptedNode::default());
    let fees = Fees { reserve: FeeReserve::default(), payment, holding };
    (World::with(Setup { node: Some(Arc::clone(&node)), fees, ..Setup::new() }), node)
}

fn pay_foreign(world: &World, seed: u8, msat: i64) -> (Handled, PaymentHash, Preimage) {
    let (invoice, hash, preimage) = foreign_invoice(seed, Msat::new(msat), NOW);
    (world.handle(person(1), Request::PayInvoice(PayInvoice::of(invoice)), NOW), hash, preimage)
}

#[test]
fn attack_26_fees_are_rounded_up_and_the_payee_gets_the_whole_amount() {
    let (world, _) = with_fees(PaymentFee { base: Msat::ZERO, share_ppm: 1 }, None);
    // A millionth of a millisatoshi is still a millisatoshi.
    let (before, fees) = (world.balance(person(0)), world.account(Account::ServiceFee));
    let paid = world.pay(person(0), &world.invoice(person(2), 1)).unwrap();
    assert_eq!(paid.fees_paid, Msat::new(1));
    assert_eq!(
        (world.balance(person(0)), world.balance(person(2)), world.account(Account::ServiceFee)),
        (before - 2, 1, fees + 1)
    );
    // Split into dust, the same money pays more, never less.
    for _ in 0..10 {
        world.pay(person(0), &world.invoice(person(2), 100)).unwrap();
    }
    assert_eq!(world.account(Account::ServiceFee), fees + 11);
    world.audit();
}

#[test]
fn the_fee_of_a_payment_is_part_of_what_must_be_covered() {
    let (world, _) = with_fees(PaymentFee { base: Msat::new(10), share_ppm: 0 }, None);
    let alice = person(1);
    world.give(alice, 1_000);
    assert_refused(
        world.pay(alice, &world.invoice(person(2), 991)),
        ErrorCode::InsufficientBalance,
        "balance",
    );
    world.pay(alice, &world.invoice(person(2), 990)).unwrap();
    world.assert_unmoved(&[alice, person(2)], &[0, 990]);
}

#[test]
fn a_payment_over_lightning_pays_routing_and_the_house_and_a_failed_one_nothing() {
    let (world, node) = with_fees(PaymentFee { base: Msat::new(1_000), share_ppm: 4_000 }, None);
    world.give(person(1), 1_000_000);
    let start = world.account(Account::ServiceFee);
    let (_, hash, preimage) = pay_foreign(&world, 1, 100_000);
    assert_eq!(world.account(Account::Hold), 100_000 + 10_000 + 1_400);
    let settled = NodeEvent::PaymentSettled { payment_hash: hash, preimage, fee: Msat::new(7) };
    world.wallet().on_node_event(settled, node.as_ref(), NOW).unwrap();
    assert_eq!(world.balance(person(1)), 1_000_000 - 100_000 - 7 - 1_400);
    assert_eq!(world.account(Account::ServiceFee), start + 1_400);
    assert_eq!(world.lookup(person(1), hash).unwrap().fees_paid, Msat::new(1_407));
    world.audit();
    let (_, hash, _) = pay_foreign(&world, 2, 100_000);
    let failed = NodeEvent::PaymentFailed {
        payment_hash: hash,
        attempt: node.attempt(hash),
        reason: "no route".to_owned(),
    };
    world.wallet().on_node_event(failed, node.as_ref(), NOW).unwrap();
    assert_eq!((world.account(Account::ServiceFee), world.account(Account::Hold)), (start + 1_400, 0));
    world.audit();
}

#[test]
fn the_holding_fee_is_charged_once_a_period_and_never_below_zero() {
    let holding = HoldingFee { amount: Msat::new(1_000), period_secs: DAY };
    let (mut world, _) = with_fees(PaymentFee::default(), Some(holding));
    let (rich, poor) = (person(1), person(2));
    world.give(rich, 5_000);
    world.give(poor, 300);
    let charged = |world: &World| world.account(Account::ServiceFee);
    let days = |n: u64| NOW.plus_secs(n * u64::from(DAY));
    // The time before the fee is free, and so is the rest of the period in which it begins.
    world.wallet().upkeep(NOW).unwrap();
    assert_eq!(charged(&world), 0);
    for _ in 0..3 {
        world.wallet().upkeep(days(1)).unwrap();
        world.assert_unmoved(&[rich, poor, person(0)], &[4_000, 0, FAUCET_MSAT - 5_300]);
        world.reopen_at(days(1)).unwrap();
    }
    assert_eq!(charged(&world), 1_300);
    // Periods in which the wallet was not there are not made up for.
    world.wallet().upkeep(days(5)).unwrap();
    world.assert_unmoved(&[rich, poor], &[3_000, 0]);
}

#[test]
fn a_round_of_holding_fees_that_a_crash_cut_short_goes_on_where_it_was() {
    let holding = HoldingFee { amount: Msat::new(10), period_secs: DAY };
    let (mut world, _) = with_fees(PaymentFee::default(), Some(holding));
    // More wallets than are charged in one transaction.
    for n in 1..=200 {
        world.give(person(n), 100);
    }
    world.wallet().upkeep(NOW).unwrap();
    let tomorrow = NOW.plus_secs(u64::from(DAY));
    world.wallet().upkeep(tomorrow).unwrap();
    // As if it had ended after the first transaction.
    world.close();
    let raw = rusqlite::Connection::open(world.dir.path().join("wallet.db")).unwrap();
    raw.execute("UPDATE meta SET value = '5' WHERE name = 'holding_cursor'", []).unwrap();
    drop(raw);
    world.reopen_at(tomorrow).unwrap();
    world.wallet().upkeep(tomorrow).unwrap();
    for n in 1..=200 {
        assert_eq!(world.balance(person(n)), 90, "{n}");
    }
    assert_eq!(world.account(Account::ServiceFee), 2_000);
    world.audit();
}

#[test]
fn attack_28_what_the_node_must_keep_is_not_counted_as_money_to_pay_with() {
    let mut setup = Setup::new();
    setup.faucet = None;
    let node = Arc::new(ScriptedNode::default());
    setup.node = Some(Arc::clone(&node));
    let world = World::with(setup);
    // Alice is paid 200,000 from outside.
    let invoice = world.invoice(person(1), 200_000);
    let hash = invoice.payment_hash;
    for event in [
        NodeEvent::Claimable { payment_hash: hash, amount: invoice.amount, deadline: None },
        NodeEvent::Received { payment_hash: hash, amount: invoice.amount },
    ] {
        world.wallet().on_node_event(event, node.as_ref(), NOW).unwrap();
    }
    // Of 230,000 in channels 30,001 are reserves and money for anchors: the node reports the rest.
    node.has(199_999);
    let solvent = world.wallet().solvent();
    world.wallet().upkeep(NOW).unwrap();
    assert!(!*solvent.borrow(), "the operator is told");
    let state = world.wallet().solvency().unwrap();
    assert_eq!((state.liabilities, state.assets), (Msat::new(200_000), Msat::new(199_999)));
    let refused = pay_foreign(&world, 1, 5);
    assert_refused(outcome(refused.0), ErrorCode::Other, "the operator has been told");
    assert_eq!((node.handed_over(), world.balance(person(1))), (vec![], 200_000));
    // Between accounts of the house money still moves, and comes in: neither changes what is owed in all
    // beyond what there is.
    world.pay(person(1), &world.invoice(person(2), 1_000)).unwrap();
    node.has(200_000);
    world.wallet().upkeep(NOW).unwrap();
    assert!(*solvent.borrow());
    assert!(pay_foreign(&world, 2, 5).0.waits_for().is_some());
    world.audit();
}

#[test]
fn attack_31_books_that_are_older_than_the_node_stop_payments_to_the_outside() {
    let (mut world, node) = World::on_lightning();
    let faucet_is_real = FAUCET_MSAT;
    world.give(person(1), 500_000);
    // A backup of the books; then a payment leaves.
    let backup = tempfile::TempDir::new().unwrap();
    world.close();
    for file in ["wallet.db", "wallet.keys"] {
        fs::copy(world.dir.path().join(file), backup.path().join(file)).unwrap();
    }
    world.reopen().unwrap();
    let (_, hash, preimage) = pay_foreign(&world, 1, 300_000);
    let settled = NodeEvent::PaymentSettled { payment_hash: hash, preimage, fee: Msat::ZERO };
    world.wallet().on_node_event(settled.clone(), node.as_ref(), NOW).unwrap();
    assert_eq!(world.balance(person(1)), 200_000);
    world.close();
    // Only the books come back: the node has the 300,000 no more.
    world.dir = backup;
    node.has(-300_000);
    world.reopen().unwrap();
    assert!(!*world.wallet().solvent().borrow());
    assert_eq!(world.wallet().solvency().unwrap().assets, Msat::new(faucet_is_real - 300_000));
    assert_refused(outcome(pay_foreign(&world, 2, 5).0), ErrorCode::Other, "payments to the outside");
    // Nor is the payment made again, though the books do not know of it.
    assert_refused(outcome(pay_foreign(&world, 1, 300_000).0), ErrorCode::Other, "payments to the outside");
    assert_eq!(node.handed_over().len(), 1);
    let report = world.wallet().on_node_event(settled, node.as_ref(), NOW).unwrap();
    assert_eq!(report, nwc::service::NodeReport::default(), "news of it invents nothing");
    world.assert_unmoved(&[person(1)], &[500_000]);
}

#[test]
fn attack_31_a_node_that_is_older_than_the_books_frees_nothing() {
    let (mut world, node) = World::on_lightning();
    world.give(person(1), 500_000);
    node.next(Dispatch::Sent);
    let (_, hash, _) = pay_foreign(&world, 1, 300_000);
    // The node's own store is restored: it knows of no payment, and never tells of its end.
    world.reopen_at(UnixSecs(NOW.0 + 30 * 86_400)).unwrap();
    assert_eq!((world.balance(person(1)), world.account(Account::Hold)), (190_000, 310_000));
    assert_eq!(pay_foreign(&world, 1, 300_000).0.waits_for(), Some(hash), "joined, not sent again");
    assert_eq!(node.handed_over().len(), 1);
    world.audit();
}

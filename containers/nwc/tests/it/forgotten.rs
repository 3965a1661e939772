//! What is left when rows have gone: of retries, of expiries, of failures; and how little of what is plain.

use ledger::Account;
use nwc::lightning::NodeEvent;
use nwc::service::{Answer, NodeOutcome};
use protocol::nwc::*;
use units::{Msat, UnixSecs};

use crate::support::node::foreign_invoice;
use crate::support::{NOW, ScriptedNode, Setup, World, assert_refused, outcome, person};

const DAY: u64 = 86_400;
const AMOUNT: Msat = Msat::new(5_000);

/// A wallet on Lightning that keeps so many rows of a key and nothing of the journal.
fn forgetful(items: u32) -> (World, std::sync::Arc<ScriptedNode>) {
    let (world, node) = World::on_lightning();
    let mut setup = world.setup.clone();
    (setup.limits.history_items_max, setup.limits.journal_max) = (items, 1);
    (World::with(setup), node)
}

fn pay(world: &World, who: u32, invoice: &str, now: UnixSecs) -> Answer {
    world.handle(person(who), Request::PayInvoice(PayInvoice::of(invoice)), now).answer
}

fn carried(world: &World) -> i64 {
    rusqlite::Connection::open(world.dir.path().join("wallet.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM ledger_carried WHERE key GLOB 'payment/*'", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn attack_25_retries_leave_no_keys_behind() {
    let (mut world, node) = forgetful(1_000);
    world.give(person(1), 100_000);
    let (invoice, payment_hash, preimage) = foreign_invoice(1, AMOUNT, NOW.plus_secs(DAY));
    for n in 1..=20 {
        let now = NOW.plus_secs(n);
        assert_eq!(pay(&world, 1, &invoice, now), Answer::WhenSettled(payment_hash));
        // What was carried forward before the end of the attempt, and after it.
        world.wallet().upkeep(now).unwrap();
        let attempt = node.attempt(payment_hash);
        let failed = NodeEvent::PaymentFailed { payment_hash, attempt, reason: "no route".to_owned() };
        world.wallet().on_node_event(failed, node.as_ref(), now).unwrap();
        if n % 2 == 0 {
            world.wallet().upkeep(now).unwrap();
        }
        world.audit();
        // Those of this attempt, and those of the gift.
        assert!(carried(&world) <= 4, "{} keys after {n} attempts", carried(&world));
    }
    world.reopen_at(NOW.plus_secs(30)).unwrap();
    // The last of them arrived after all, and that once.
    let settled = NodeEvent::PaymentSettled { payment_hash, preimage, fee: Msat::new(3) };
    for outcome in [NodeOutcome::Done, NodeOutcome::Nothing] {
        let report = world.wallet().on_node_event(settled.clone(), node.as_ref(), NOW.plus_secs(31)).unwrap();
        assert_eq!(report.outcome, outcome);
        world.assert_unmoved(&[person(1)], &[94_997]);
    }
}

#[test]
fn attack_09_paid_once_holds_for_the_invoice_of_a_retry() {
    let (world, node) = forgetful(0);
    world.give(person(1), 100_000);
    let (first, payment_hash, preimage) = foreign_invoice(1, AMOUNT, NOW);
    // Its maker gives another with the same hash, which can be paid for a week.
    let (second, same, _) = foreign_invoice(1, AMOUNT, NOW.plus_secs(7 * DAY));
    assert_eq!(payment_hash, same);
    assert_eq!(pay(&world, 1, &first, NOW), Answer::WhenSettled(payment_hash));
    let attempt = node.attempt(payment_hash);
    let report = |event| world.wallet().on_node_event(event, node.as_ref(), NOW).unwrap().outcome;
    let failed = NodeEvent::PaymentFailed { payment_hash, attempt, reason: "no route".to_owned() };
    assert_eq!(report(failed), NodeOutcome::Done);
    assert_eq!(pay(&world, 1, &second, NOW), Answer::WhenSettled(payment_hash));
    let expires_at = world.lookup(person(1), payment_hash).unwrap().expires_at;
    assert_eq!(expires_at, Some(NOW.plus_secs(7 * DAY + 600)));
    let settled = NodeEvent::PaymentSettled { payment_hash, preimage, fee: Msat::new(3) };
    assert_eq!(report(settled), NodeOutcome::Done);
    world.wallet().upkeep(NOW).unwrap();
    assert!(world.lookup(person(1), payment_hash).is_err(), "its row went");
    // More than a day later, when what has expired is forgotten.
    let later = NOW.plus_secs(3 * DAY);
    world.wallet().upkeep(later).unwrap();
    let again = world.handle(person(1), Request::PayInvoice(PayInvoice::of(&*second)), later);
    assert_refused(outcome(again), ErrorCode::PaymentFailed, "paid before");
    assert_eq!(node.handed_over().len(), 2);
    world.assert_unmoved(&[person(1)], &[94_997]);
}

#[test]
fn attack_25_an_invoice_from_outside_that_never_expires_is_not_remembered_for_ever() {
    let (world, node) = forgetful(0);
    world.give(person(1), 100_000);
    let (invoice, ..) = foreign_invoice(1, AMOUNT, NOW.plus_secs(400 * DAY));
    let asked = world.handle(person(1), Request::PayInvoice(PayInvoice::of(&*invoice)), NOW);
    assert_refused(outcome(asked), ErrorCode::PaymentFailed, "more than a year");
    assert_eq!(node.handed_over(), []);
    world.assert_unmoved(&[person(1)], &[100_000]);
}

#[test]
fn attack_09_an_older_failure_is_not_charged_for_a_newer_one_whose_row_went() {
    let (world, node) = forgetful(2);
    let (alice, bob) = (person(1), person(2));
    world.give(alice, 100_000);
    world.give(bob, 100_000);
    let (invoice, payment_hash, preimage) = foreign_invoice(1, AMOUNT, NOW.plus_secs(9 * DAY));
    let report = |event, now| world.wallet().on_node_event(event, node.as_ref(), now).unwrap().outcome;
    for (who, now) in [(1, NOW), (2, NOW.plus_secs(1))] {
        assert_eq!(pay(&world, who, &invoice, now), Answer::WhenSettled(payment_hash));
        let attempt = node.attempt(payment_hash);
        let failed = NodeEvent::PaymentFailed { payment_hash, attempt, reason: "no route".to_owned() };
        assert_eq!(report(failed, now), NodeOutcome::Done);
    }
    // Bob goes on, and so loses his failure; what Alice has is no more than is kept.
    let later = NOW.plus_secs(2 * DAY);
    for n in 0..3 {
        let small = world.invoice_at(person(9), 1, later.plus_secs(n)).unwrap();
        world.pay_at(bob, &small, later.plus_secs(n)).unwrap();
    }
    world.wallet().upkeep(later.plus_secs(9)).unwrap();
    assert!(world.lookup(bob, payment_hash).is_err() && world.lookup(alice, payment_hash).is_ok());
    let settled =
        || NodeEvent::PaymentSettled { payment_hash, preimage: preimage.clone(), fee: Msat::new(3) };
    assert_eq!(report(settled(), later), NodeOutcome::Nothing, "whose it was is not known");
    world.assert_unmoved(&[alice, bob], &[100_000, 99_997]);
    // If Alice tries again, it is hers.
    assert_eq!(pay(&world, 1, &invoice, later.plus_secs(10)), Answer::WhenSettled(payment_hash));
    assert_eq!(report(settled(), later.plus_secs(11)), NodeOutcome::Done);
    world.assert_unmoved(&[alice, bob], &[94_997, 99_997]);
    assert_eq!(world.account(Account::Hold), 0);
}

#[test]
fn attack_25_plain_payments_leave_room_for_strangers_in_a_small_file() {
    let mut setup = Setup::new();
    // The smallest there is, and every other bound as it is shipped.
    setup.limits.books_bytes_max = 2_000_000;
    let world = World::with(setup);
    world.give(person(1), 10_000);
    for n in 0..1_400_u64 {
        let now = NOW.plus_secs(n);
        let (payer, payee) = if n % 2 == 0 { (person(1), person(2)) } else { (person(2), person(1)) };
        let invoice = world.invoice_at(payee, 1, now).unwrap();
        world.pay_at(payer, &invoice, now).unwrap();
        if n % 100 == 0 {
            world.wallet().upkeep(now).unwrap();
        }
    }
    world.invoice_at(person(9), 5, NOW.plus_secs(1_400)).unwrap();
    assert_eq!((world.balance(person(1)), world.balance(person(2))), (10_000, 0));
    world.audit();
}

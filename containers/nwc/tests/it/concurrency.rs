//! Many at once: what fits succeeds, nothing else does.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use protocol::nwc::*;
use units::Msat;

use crate::support::{NOW, Setup, World, person};

const TASKS: usize = 64;

/// Runs `task` on 64 threads that start together, and returns what they return.
fn at_once<T: Send>(task: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(TASKS);
    thread::scope(|scope| {
        let run = |index| {
            start.wait();
            task(index)
        };
        let threads: Vec<_> = (0..TASKS).map(|index| scope.spawn(move || run(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn attack_01_64_payments_beyond_the_balance_exactly_what_fits_succeeds() {
    let world = World::new();
    let (alice, bob) = (person(1), person(2));
    world.give(alice, 10_999);
    let invoices: Vec<Transaction> = (0..TASKS).map(|_| world.invoice(bob, 1_000)).collect();
    let results = at_once(|index| world.pay(alice, &invoices[index]).map_err(|error| error.code));
    let paid = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(paid, 10);
    assert!(
        results
            .iter()
            .flat_map(|result| result.as_ref().err())
            .all(|code| *code == ErrorCode::InsufficientBalance)
    );
    world.assert_unmoved(&[alice, bob], &[999, 10_000]);
}

#[test]
fn attack_02_64_requests_to_pay_one_invoice_pay_it_once() {
    let world = World::new();
    let (alice, bob) = (person(1), person(2));
    world.give(alice, 100_000);
    let invoice = world.invoice(bob, 1_000);
    let proofs = at_once(|_| world.pay(alice, &invoice).unwrap());
    assert!(proofs.iter().all(|paid| *paid == proofs[0]));
    world.assert_unmoved(&[alice, bob], &[99_000, 1_000]);
}

#[test]
fn attack_09_64_payers_of_one_invoice_exactly_one_pays() {
    let world = World::new();
    let payee = person(100);
    for n in 0..TASKS {
        world.give(person(1 + u32::try_from(n).unwrap()), 1_000);
    }
    let invoice = world.invoice(payee, 1_000);
    let results =
        at_once(|n| world.pay(person(1 + u32::try_from(n).unwrap()), &invoice).map_err(|error| error.code));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        results.iter().flat_map(|result| result.as_ref().err()).all(|code| *code == ErrorCode::PaymentFailed)
    );
    assert_eq!(world.balance(payee), 1_000);
    world.audit();
}

#[test]
fn attack_02_64_payments_over_lightning_beyond_the_balance_hand_over_exactly_what_fits() {
    let (world, node) = World::on_lightning();
    let alice = person(1);
    // Each takes 5,000 and a reserve of 10,000.
    world.give(alice, 15_000 * 7 + 14_999);
    let invoices: Vec<String> = (0..TASKS)
        .map(|n| crate::support::node::foreign_invoice(u8::try_from(n + 1).unwrap(), Msat::new(5_000), NOW).0)
        .collect();
    at_once(|n| world.handle(alice, Request::PayInvoice(PayInvoice::of(invoices[n].clone())), NOW));
    let handed_over: BTreeSet<_> = node.handed_over().iter().map(|(hash, ..)| *hash).collect();
    assert_eq!((handed_over.len(), node.handed_over().len()), (7, 7));
    assert_eq!((world.balance(alice), world.account(ledger::Account::Hold)), (14_999, 105_000));
    world.audit();
}

#[test]
fn attack_27_64_invoices_against_a_limit_do_not_exceed_it() {
    let mut setup = Setup::new();
    setup.limits.open_per_key = 10;
    let world = World::with(setup);
    let made = at_once(|_| world.invoice_at(person(0), 5, NOW).is_ok());
    assert_eq!(made.iter().filter(|made| **made).count(), 10);
    world.audit();
}

#[test]
fn money_in_a_ring_of_64_is_conserved() {
    let world = World::new();
    let people: Vec<_> = (1..=u32::try_from(TASKS).unwrap()).map(person).collect();
    for person in &people {
        world.give(*person, 1_000);
    }
    at_once(|n| {
        for round in 0..10 {
            let invoice = world.invoice(people[(n + 1 + round) % TASKS], 100 + i64::try_from(n).unwrap());
            let _paid_or_poor = world.pay(people[n], &invoice);
            assert!(world.balance(people[n]) >= 0);
        }
    });
    let total: i64 = people.iter().map(|person| world.balance(*person)).sum();
    assert_eq!(total, 1_000 * i64::try_from(TASKS).unwrap());
    world.audit();
}

#[test]
fn reads_do_not_wait_for_writes() {
    let (world, node) = World::on_lightning();
    world.give(person(1), 500);
    // A writer in another process holds the file: writes wait, reads do not.
    let raw = rusqlite::Connection::open(world.dir.path().join("wallet.db")).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| world.invoice(person(1), 5));
        let reads = scope.spawn(|| {
            assert_eq!(world.balance(person(1)), 500);
            assert_eq!(world.list(person(1), ListTransactions::default()).len(), 1);
        });
        reads.join().unwrap();
        assert!(!waiting.is_finished());
        raw.execute_batch("COMMIT").unwrap();
        waiting.join().unwrap();
    });
    assert_eq!(node.handed_over(), []);
    world.audit();
}

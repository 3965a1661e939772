//! History is bounded: what is finished goes after a while, and nothing can be done twice for want of it.

use ledger::Account;
use nwc::lightning::NodeEvent;
use nwc::service::{Answer, Fees, HoldingFee, NodeOutcome, Notice};
use protocol::nwc::*;
use std::sync::Arc;
use units::{Msat, UnixSecs};

use crate::support::node::foreign_invoice;
use crate::support::{FAUCET_MSAT, NOW, ScriptedNode, Setup, World, assert_refused, outcome, person};

/// A wallet that keeps little.
fn forgetful(items: u32) -> (World, Arc<ScriptedNode>) {
    let node = Arc::new(ScriptedNode::default());
    let mut setup = Setup { node: Some(Arc::clone(&node)), ..Setup::new() };
    (setup.limits.history_items_max, setup.limits.journal_max) = (items, 1);
    (World::with(setup), node)
}

fn list(world: &World, of: u32) -> Transactions {
    world.call(person(of), &ListTransactions::default(), NOW).unwrap()
}

fn noted(msat: i64) -> MakeInvoice {
    let note = serde_json::json!({ "note": "x".repeat(4_000) });
    MakeInvoice {
        metadata: Metadata::new(note.as_object().unwrap().clone()),
        ..MakeInvoice::of(Msat::new(msat))
    }
}

#[test]
fn attack_25_two_keys_that_pay_each_other_for_ever_fill_nothing() {
    const BOUND: u32 = 2_000_000;
    let mut setup = Setup::new();
    (setup.limits.books_bytes_max, setup.limits.journal_max) = (BOUND, 100);
    let mut world = World::with(setup);
    world.give(person(1), 10_000);
    // Each leaves more than 8,000 bytes: without compaction the file is full after some two hundred.
    for n in 0..1_500_u64 {
        let now = NOW.plus_secs(n);
        let (payer, payee) = if n % 2 == 0 { (person(1), person(2)) } else { (person(2), person(1)) };
        let invoice = world.call(payee, &noted(1), now).unwrap();
        let pay = PayInvoice { metadata: noted(1).metadata, ..PayInvoice::of(invoice.invoice.unwrap()) };
        world.call(payer, &pay, now).unwrap();
        if n % 25 == 0 {
            world.wallet().upkeep(now).unwrap();
        }
        if n % 500 == 0 {
            world.audit();
        }
    }
    let file = std::fs::metadata(world.dir.path().join("wallet.db")).unwrap().len();
    assert!(file <= u64::from(BOUND), "{file}");
    assert_eq!((world.balance(person(1)), world.balance(person(2))), (10_000, 0));
    // Others go on, strangers too, and the file is opened again.
    world.invoice_at(person(9), 5, NOW.plus_secs(1_500)).unwrap();
    world.give(person(3), 7);
    world.reopen_at(NOW.plus_secs(1_501)).unwrap();
    assert_eq!(world.balance(person(3)), 7);
    world.audit();
}

#[test]
fn the_oldest_of_a_key_goes_and_says_so_and_balances_stay() {
    let (mut world, _) = forgetful(5);
    for n in 0..12 {
        let invoice = world.invoice_at(person(1), 100 + n, NOW.plus_secs(n.unsigned_abs())).unwrap();
        world.pay_at(person(0), &invoice, NOW.plus_secs(20)).unwrap();
    }
    let quiet = world.invoice_at(person(1), 7, NOW.plus_secs(30)).unwrap();
    world.give(person(2), 50);
    assert_eq!(list(&world, 1).forgotten_until, None);
    let before = [0, 1, 2].map(|n| world.balance(person(n)));
    world.wallet().upkeep(NOW.plus_secs(40)).unwrap();
    let page = list(&world, 1);
    let amounts: Vec<i64> = page.transactions.iter().map(|it| it.amount.msat()).collect();
    assert_eq!(amounts, [111, 110, 109, 108, 107]);
    assert_eq!(page.forgotten_until, Some(NOW.plus_secs(6)));
    // Whoever has little loses nothing, and what is open stays.
    assert_eq!((list(&world, 2).transactions.len(), list(&world, 2).forgotten_until), (1, None));
    assert_eq!(world.lookup(person(1), quiet.payment_hash).unwrap().state, Some(TransactionState::Pending));
    world.audit();
    world.reopen_at(NOW.plus_secs(41)).unwrap();
    assert_eq!([0, 1, 2].map(|n| world.balance(person(n))), before);
    assert_eq!(before.iter().sum::<i64>(), FAUCET_MSAT, "the faucet was filled once");
    world.audit();
}

#[test]
fn what_is_older_than_configured_goes() {
    let mut setup = Setup::new();
    setup.limits.history_days = 10;
    let world = World::with(setup);
    world.give(person(1), 5);
    let (nine, eleven) = (NOW.plus_secs(9 * 86_400), NOW.plus_secs(11 * 86_400));
    world.wallet().upkeep(nine).unwrap();
    assert_eq!(list(&world, 1).transactions.len(), 1);
    world.wallet().upkeep(eleven).unwrap();
    assert_eq!((list(&world, 1).transactions.len(), list(&world, 1).forgotten_until), (0, Some(NOW)));
    assert_eq!(world.balance(person(1)), 5);
    world.audit();
}

#[test]
fn attack_09_an_invoice_of_ours_whose_rows_went_is_not_paid_again() {
    let (world, _) = forgetful(0);
    let (alice, bob) = (person(1), person(2));
    world.give(alice, 10_000);
    let invoice = world.invoice(bob, 4_000);
    world.pay(alice, &invoice).unwrap();
    world.wallet().upkeep(NOW).unwrap();
    assert_eq!(list(&world, 1).transactions, []);
    assert_refused(world.pay(alice, &invoice), ErrorCode::PaymentFailed, "not made here");
    world.assert_unmoved(&[alice, bob], &[6_000, 4_000]);
}

#[test]
fn attack_09_an_invoice_from_outside_whose_rows_went_is_not_paid_again() {
    let (mut world, node) = forgetful(0);
    let alice = person(1);
    world.give(alice, 100_000);
    let (invoice, payment_hash, preimage) = foreign_invoice(1, Msat::new(5_000), NOW);
    let ask = |world: &World, now| world.handle(alice, Request::PayInvoice(PayInvoice::of(&*invoice)), now);
    assert_eq!(ask(&world, NOW).answer, Answer::WhenSettled(payment_hash));
    // What is on its way stays, whatever the bounds say.
    world.wallet().upkeep(NOW).unwrap();
    assert_eq!(world.account(Account::Hold), 15_000);
    world.audit();
    let settled =
        || NodeEvent::PaymentSettled { payment_hash, preimage: preimage.clone(), fee: Msat::new(3) };
    let report = |world: &World| world.wallet().on_node_event(settled(), node.as_ref(), NOW).unwrap().outcome;
    assert_eq!(report(&world), NodeOutcome::Done);
    world.wallet().upkeep(NOW.plus_secs(1)).unwrap();
    assert!(world.lookup(alice, payment_hash).is_err(), "its row went");
    world.reopen_at(NOW.plus_secs(2)).unwrap();
    for _ in 0..2 {
        assert_refused(outcome(ask(&world, NOW.plus_secs(2))), ErrorCode::PaymentFailed, "paid before");
        assert_eq!(report(&world), NodeOutcome::Nothing);
        world.assert_unmoved(&[alice], &[94_997]);
    }
    assert_eq!(node.handed_over().len(), 1);
    // Long after, the hash is forgotten, too: the invoice has expired.
    world.wallet().upkeep(NOW.plus_secs(2 * 86_400)).unwrap();
    assert_refused(outcome(ask(&world, NOW.plus_secs(2 * 86_400))), ErrorCode::PaymentFailed, "expired");
    assert_eq!(node.handed_over().len(), 1);
}

#[test]
fn attack_09_whoever_failed_is_not_charged_for_a_payment_of_another_whose_row_went() {
    let (world, node) = forgetful(0);
    let (alice, bob) = (person(1), person(2));
    world.give(alice, 100_000);
    world.give(bob, 100_000);
    let (invoice, payment_hash, preimage) = foreign_invoice(1, Msat::new(5_000), NOW);
    let pay = |who| world.handle(who, Request::PayInvoice(PayInvoice::of(&*invoice)), NOW);
    let report = |event| world.wallet().on_node_event(event, node.as_ref(), NOW).unwrap().outcome;
    assert_eq!(pay(alice).answer, Answer::WhenSettled(payment_hash));
    let attempt = node.attempt(payment_hash);
    let failed = NodeEvent::PaymentFailed { payment_hash, attempt, reason: "no route".to_owned() };
    assert_eq!(report(failed), NodeOutcome::Done);
    assert_eq!(pay(bob).answer, Answer::WhenSettled(payment_hash));
    let settled =
        || NodeEvent::PaymentSettled { payment_hash, preimage: preimage.clone(), fee: Msat::new(3) };
    assert_eq!(report(settled()), NodeOutcome::Done);
    world.wallet().upkeep(NOW).unwrap();
    assert!(world.lookup(bob, payment_hash).is_err(), "its row went");
    assert_eq!(report(settled()), NodeOutcome::Nothing);
    world.assert_unmoved(&[alice, bob], &[100_000, 94_997]);
    assert_refused(outcome(pay(alice)), ErrorCode::PaymentFailed, "paid before");
    world.audit();
}

#[test]
fn attack_14_money_received_whose_rows_went_is_neither_credited_nor_claimed_again() {
    let (world, node) = forgetful(0);
    let invoice = world.invoice(person(1), 4_000);
    let payment_hash = invoice.payment_hash;
    let amount = Msat::new(4_000);
    let report = |event| world.wallet().on_node_event(event, node.as_ref(), NOW).unwrap().outcome;
    let claimable = || NodeEvent::Claimable { payment_hash, amount, deadline: None };
    let received = || NodeEvent::Received { payment_hash, amount };
    assert_eq!(report(claimable()), NodeOutcome::Claimed);
    world.wallet().upkeep(NOW).unwrap();
    assert_eq!(report(received()), NodeOutcome::Done);
    world.wallet().upkeep(NOW).unwrap();
    assert!(world.lookup(person(1), payment_hash).is_err(), "its row went");
    assert_eq!((report(received()), report(claimable())), (NodeOutcome::Nothing, NodeOutcome::Rejected));
    assert_eq!((world.balance(person(1)), world.account(Account::NodeLightning)), (4_000, -4_000));
    // Its hash is not used again while the node may still speak of it.
    let hold =
        MakeHoldInvoice { payment_hash, invoice: MakeInvoice::of(amount), min_cltv_expiry_delta: None };
    assert_refused(world.call(person(1), &hold, NOW), ErrorCode::Other, "payment_hash exists");
    world.audit();
}

#[test]
fn attack_02_a_budget_is_not_renewed_by_forgetting() {
    let (world, _) = forgetful(2);
    world.give(person(1), 100_000);
    let wanted = CreateConnection {
        max_amount: Some(Msat::new(10_000)),
        budget_renewal: Some(BudgetRenewal::Daily),
        ..CreateConnection::of(person(5), "app", &[Method::PayInvoice])
    };
    let service = world.call(person(1), &wanted, NOW).unwrap().wallet_pubkey;
    let pay = |event: u8, msat, now| {
        let invoice = world.invoice_at(person(9), msat, now).unwrap().invoice.unwrap();
        outcome(world.handle_at(person(5), service, event, Request::PayInvoice(PayInvoice::of(invoice)), now))
    };
    for event in 0..8 {
        pay(event, 1_000, NOW).unwrap();
    }
    world.wallet().upkeep(NOW).unwrap();
    assert_eq!(list(&world, 1).transactions.len(), 2);
    assert_refused(pay(20, 2_001, NOW), ErrorCode::QuotaExceeded, "2000 msat");
    pay(21, 2_000, NOW).unwrap();
    world.wallet().upkeep(NOW).unwrap();
    assert_refused(pay(22, 1, NOW), ErrorCode::QuotaExceeded, "budget");
    // The next day it is renewed.
    pay(23, 1, UnixSecs((NOW.0 / 86_400 + 1) * 86_400)).unwrap();
    world.audit();
}

#[test]
fn one_side_of_a_payment_may_go_before_the_other() {
    for (forgets, keeps) in [(1, 2), (2, 1)] {
        let (mut world, _) = forgetful(3);
        world.give(person(1), 10_000);
        let shared = world.invoice(person(2), 10);
        world.pay(person(1), &shared).unwrap();
        // One of the two goes on paying or being paid, and so loses its side of it.
        for n in 0..6 {
            let later = NOW.plus_secs(1 + n);
            let invoice =
                world.invoice_at(if forgets == 1 { person(3) } else { person(2) }, 1, later).unwrap();
            world.pay_at(if forgets == 1 { person(1) } else { person(0) }, &invoice, later).unwrap();
        }
        world.wallet().upkeep(NOW.plus_secs(9)).unwrap();
        world.audit();
        assert!(world.lookup(person(forgets), shared.payment_hash).is_err(), "{forgets} forgot");
        assert!(world.lookup(person(keeps), shared.payment_hash).is_ok(), "{keeps} did not");
        world.reopen_at(NOW.plus_secs(10)).unwrap();
        // The other side goes later, and nothing of either is left behind.
        world.wallet().upkeep(NOW.plus_secs(500 * 86_400)).unwrap();
        world.audit();
        let raw = rusqlite::Connection::open(world.dir.path().join("wallet.db")).unwrap();
        let left: i64 = raw
            .query_row("SELECT count(*) FROM ledger_carried WHERE key <> 'faucet'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 0, "keys of rows that are gone");
    }
}

#[test]
fn upkeep_that_fails_later_loses_no_notice() {
    let mut setup = Setup::new();
    let fee = HoldingFee { amount: Msat::new(1), period_secs: 3_600 };
    setup.fees = Fees { holding: Some(fee), ..Fees::default() };
    let world = World::with(setup);
    world.give(person(1), 10_000);
    world.wallet().upkeep(NOW).unwrap();
    let hold = MakeHoldInvoice {
        payment_hash: crate::support::node::hash_of(&Preimage::from_bytes([3; 32])),
        invoice: MakeInvoice::of(Msat::new(5)),
        min_cltv_expiry_delta: Some(1),
    };
    let bolt11 = world.call(person(2), &hold, NOW).unwrap().invoice.unwrap();
    let paying = world.handle_event(person(1), 1, Request::PayInvoice(PayInvoice::of(bolt11)), NOW);
    assert!(paying.waits_for().is_some());
    let raw = rusqlite::Connection::open(world.dir.path().join("wallet.db")).unwrap();
    raw.execute_batch("CREATE TRIGGER broken BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'broken'); END")
        .unwrap();
    let late = NOW.plus_secs(4_000);
    let notices = world.wallet().upkeep(late).unwrap();
    assert!(matches!(notices.as_slice(), [Notice::Late(_)]), "{notices:?}");
    // Without anything to send, the fault is told.
    assert!(world.wallet().upkeep(late).is_err());
}

#[test]
fn attack_13_one_hash_is_not_used_in_both_directions() {
    let (world, node) = World::on_lightning();
    world.give(person(1), 1_000_000);
    let (invoice, payment_hash, _) = foreign_invoice(1, Msat::new(5_000), NOW);
    let pay = || world.handle(person(1), Request::PayInvoice(PayInvoice::of(&*invoice)), NOW);
    let hold = MakeHoldInvoice {
        payment_hash,
        invoice: MakeInvoice::of(Msat::new(5_000)),
        min_cltv_expiry_delta: None,
    };
    // First in, then out.
    world.call(person(2), &hold, NOW).unwrap();
    assert_refused(outcome(pay()), ErrorCode::PaymentFailed, "payment_hash");
    assert_eq!(node.handed_over(), []);
    world.assert_unmoved(&[person(1)], &[1_000_000]);
    // First out, then in.
    let (world, _) = World::on_lightning();
    world.give(person(1), 1_000_000);
    let paying = world.handle(person(1), Request::PayInvoice(PayInvoice::of(&*invoice)), NOW);
    assert!(paying.waits_for().is_some());
    assert_refused(world.call(person(2), &hold, NOW), ErrorCode::Other, "payment_hash exists");
    world.audit();
}

#[test]
fn attack_25_very_many_fresh_keys_displace_no_history_of_who_holds_money() {
    let mut setup = Setup::new();
    setup.limits.books_bytes_max = 2_000_000;
    setup.limits.first_msat_min = 1_000;
    let world = World::with(setup);
    for n in 0..40 {
        let invoice = world.invoice_at(person(1), 10_000, NOW.plus_secs(n)).unwrap();
        world.pay_at(person(0), &invoice, NOW.plus_secs(n)).unwrap();
    }
    // A satoshi goes through keys that have a row or two each: together twice what there is room for.
    world.give(person(10_000), 1_000);
    let mut now = NOW;
    for n in 0..800 {
        now = now.plus_secs(1);
        let invoice = world.invoice_at(person(10_001 + n), 1_000, now).unwrap();
        world.pay_at(person(10_000 + n), &invoice, now).unwrap();
        if n % 25 == 0 {
            world.wallet().upkeep(now).unwrap();
        }
    }
    world.wallet().upkeep(now).unwrap();
    let count = |sql: &str| -> i64 {
        let raw = rusqlite::Connection::open(world.dir.path().join("wallet.db")).unwrap();
        raw.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let (bytes, items) = (count("SELECT bytes FROM history_size"), count("SELECT items FROM history_size"));
    assert!((700_000..=1_000_000).contains(&bytes) && items < 1_600, "{bytes} bytes, {items} items");
    for who in [0, 1] {
        let all = ListTransactions { limit: Some(100), ..ListTransactions::default() };
        let kept = world.call(person(who), &all, now).unwrap();
        assert_eq!(kept.forgotten_until, None, "{who}");
    }
    assert_eq!(count("SELECT items FROM history_of ORDER BY items DESC LIMIT 1"), 41);
    world.audit();
}

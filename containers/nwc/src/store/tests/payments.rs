//! Steps of payments and invoices, with their money.

use super::*;

#[test]
fn a_hold_moves_amount_and_reserve_and_a_failure_returns_both() {
    let (_dir, store) = store();
    let held = hold(&store, new_payment(1, 60_000, 10_000)).unwrap();
    assert_eq!((held.state, held.attempt), (PaymentState::Held, 1));
    assert_eq!(balances(&store), [30_000, 0, 70_000]);
    store.audit().unwrap();
    let current = held.clone();
    assert!(store.write(move |tx| payment::fail(tx, &current, "no route", NOW)).unwrap());
    assert_eq!(balances(&store), [100_000, 0, 0]);
    let again = hold(&store, new_payment(1, 60_000, 10_000)).unwrap();
    assert_eq!((again.id, again.attempt, again.state), (held.id, 2, PaymentState::Held));
    assert_eq!(balances(&store), [30_000, 0, 70_000]);
    store.audit().unwrap();
}

#[test]
fn a_hold_beyond_the_balance_leaves_no_row() {
    let (_dir, store) = store();
    assert!(matches!(hold(&store, new_payment(1, 90_001, 10_000)), Err(HoldError::Insufficient)));
    assert!(matches!(hold(&store, new_payment(1, i64::MAX, 10_000)), Err(HoldError::Overflow)));
    let found = store.read(|view| payment::sent_by_hash(view, preimage(1).1)).unwrap();
    assert_eq!(found, None);
    hold(&store, new_payment(1, 90_000, 10_000)).unwrap();
    assert_eq!(balances(&store), [0, 0, 100_000]);
}

#[test]
fn the_same_payment_is_not_begun_twice() {
    let (_dir, store) = store();
    hold(&store, new_payment(1, 10, 0)).unwrap();
    assert!(matches!(hold(&store, new_payment(1, 10, 0)), Err(HoldError::Exists)));
    assert_eq!(balances(&store), [99_990, 0, 10]);
    // Another payer of the same hash is stopped by the schema.
    give(&store, "bob", BOB, 10).unwrap();
    let other = NewPayment { payer: BOB, ..new_payment(1, 10, 0) };
    assert!(matches!(hold(&store, other), Err(HoldError::Store(StoreError::Sqlite(_)))));
    assert_eq!(balances(&store), [99_990, 10, 10]);
    store.audit().unwrap();
}

#[test]
fn a_payment_that_failed_does_not_come_back_beside_anothers_with_its_hash() {
    let (_dir, store) = store();
    let failed = hold(&store, new_payment(1, 10, 0)).unwrap();
    let current = failed.clone();
    assert!(store.write(move |tx| payment::fail(tx, &current, "no route", NOW)).unwrap());
    give(&store, "bob", BOB, 10).unwrap();
    hold(&store, NewPayment { payer: BOB, ..new_payment(1, 10, 0) }).unwrap();
    // Neither as another attempt nor as one that arrives late.
    assert!(matches!(hold(&store, new_payment(1, 10, 0)), Err(HoldError::Store(StoreError::Sqlite(_)))));
    let late = store.write(move |tx| {
        let failed = payment::reload(tx, &failed)?;
        payment::settle_external(tx, failed, preimage(1).0, Msat::ZERO, NOW)
    });
    assert!(matches!(late, Err(StoreError::Sqlite(_))), "{late:?}");
    assert_eq!(balances(&store), [100_000, 0, 10]);
    store.audit().unwrap();
}

#[test]
fn a_payment_is_dispatched_once() {
    let (_dir, store) = store();
    let held = hold(&store, new_payment(1, 10, 0)).unwrap();
    let first = held.clone();
    store.write(move |tx| payment::dispatch(tx, &first)).unwrap();
    let dispatched = store.read(|view| payment::live_by_hash(view, held.payment_hash)).unwrap().unwrap();
    assert_eq!(dispatched.state, PaymentState::Dispatched);
    let again = store.write(move |tx| payment::dispatch(tx, &dispatched));
    assert!(matches!(again, Err(StoreError::Inconsistent(_))), "{again:?}");
    // Not even with a stale row in hand: the schema knows the state.
    let stale = store.write(move |tx| payment::dispatch(tx, &held));
    assert!(matches!(stale, Err(StoreError::Sqlite(_))), "{stale:?}");
}

#[test]
fn only_what_was_never_dispatched_is_released_at_start() {
    let (_dir, store) = store();
    let held = hold(&store, new_payment(1, 1_000, 0)).unwrap();
    let dispatched = hold(&store, new_payment(2, 2_000, 0)).unwrap();
    store.write(move |tx| payment::dispatch(tx, &dispatched)).unwrap();
    let released = store.write(|tx| payment::release_undispatched(tx, NOW)).unwrap();
    assert_eq!(released, [held.payment_hash]);
    assert_eq!(balances(&store), [98_000, 0, 2_000]);
    store.audit().unwrap();
    assert_eq!(store.write(|tx| payment::release_undispatched(tx, NOW)).unwrap(), []);
}

#[test]
fn an_internal_payment_must_pay_exactly_what_the_invoice_asks_for() {
    for (amount, reserve) in [(999, 0), (1_001, 0), (1_000, 1)] {
        let (_dir, store) = store();
        let result: Result<_, HoldError> = store.write(move |tx| {
            invoice::insert(tx, &new_invoice(1, 1_000))?;
            let held = payment::hold(tx, new_payment(1, amount, reserve), NOW)?;
            let asked = invoice::by_hash(tx.view(), held.payment_hash)?.unwrap();
            payment::settle_internal(tx, held, asked, NOW).map_err(HoldError::from)
        });
        assert!(matches!(result, Err(HoldError::Store(StoreError::Inconsistent(_)))), "{amount} {reserve}");
        assert_eq!(balances(&store), [100_000, 0, 0]);
        store.audit().unwrap();
    }
}

#[test]
fn the_schema_refuses_steps_that_no_payment_takes() {
    let (dir, store) = store();
    pay(&store, 1, 5);
    hold(&store, new_payment(2, 5, 0)).unwrap();
    let raw = rusqlite::Connection::open(dir.path().join("wallet.db")).unwrap();
    for (sql, reason) in [
        ("UPDATE payment SET state = 'failed', settled_at = NULL WHERE state = 'settled'", "does not step"),
        ("UPDATE payment SET state = 'held'", "does not step"),
        ("UPDATE payment SET payer = zeroblob(32)", "keeps its name"),
        ("DELETE FROM payment", "only a compaction"),
        ("UPDATE payment SET state = 'settled' WHERE state = 'held'", "CHECK"),
        ("UPDATE invoice SET state = 'open'", "does not step"),
        ("UPDATE invoice SET amount_msat = 1", "keeps its terms"),
        ("UPDATE invoice SET accept_until = 9", "keeps its terms"),
        ("DELETE FROM invoice", "only dead"),
        ("UPDATE invoice SET received_msat = NULL", "CHECK"),
    ] {
        let refused = raw.execute(sql, []).unwrap_err().to_string();
        assert!(refused.contains(reason), "{sql}: {refused}");
    }
    store.audit().unwrap();
}

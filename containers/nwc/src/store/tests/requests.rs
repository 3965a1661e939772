use nostr::event::EventId;
use relay::request_log::AGE_SECS_MAX;

use super::*;
use crate::store::requests::{Known, known, record_answered, record_waiting};

fn event(n: u64) -> RequestEvent {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&n.to_be_bytes());
    let event = EventId::from_byte_array(id);
    RequestEvent { event, client: ALICE, service: BOB, scheme: Scheme::Nip44, signed_at: NOW }
}

fn answer(store: &Store, n: u64, now: UnixSecs) {
    store
        .write(move |tx| record_answered(tx, &event(n), false, "{}", now).map_err(StoreError::from))
        .unwrap();
}

fn is_known(store: &Store, n: u64) -> bool {
    let known: Option<Known> =
        store.read(|view| known(view, &event(n).event).map_err(StoreError::from)).unwrap();
    known.is_some()
}

fn rows(store: &Store) -> u64 {
    let count = |view: ledger::View<'_>| {
        view.sql().query_row("SELECT count(*) FROM request", [], |row| row.get(0)).map_err(StoreError::from)
    };
    store.read(count).unwrap()
}

#[test]
fn attack_22_an_event_is_remembered_for_as_long_as_it_would_be_taken() {
    let (_dir, store) = store();
    answer(&store, 0, NOW);
    // Dated as far ahead as is taken, it is taken until here.
    let last = NOW.plus_secs(2 * AGE_SECS_MAX);
    (1..=50).for_each(|n| answer(&store, n, last));
    assert!(is_known(&store, 0));
}

#[test]
fn attack_25_only_what_cannot_come_back_is_forgotten_and_bytes_are_counted() {
    let (_dir, store) = store();
    let (early, late) = (NOW, NOW.plus_secs(5));
    answer(&store, 1, early);
    answer(&store, 2, late);
    let of = |client: nostr::key::PublicKey| {
        store.read(|view| request::rows_of(view, &client).map_err(StoreError::from)).unwrap()
    };
    let bytes = || store.read(|view| request::bytes(view).map_err(StoreError::from)).unwrap();
    assert_eq!((of(ALICE), of(BOB), bytes()), (2, 0, 2 * 402 + 200));
    let last = early.plus_secs(2 * AGE_SECS_MAX);
    let forget = |now: UnixSecs| {
        store.write(move |tx| request::forget_of(tx, &ALICE, now).map_err(StoreError::from)).unwrap();
    };
    forget(last);
    assert!(is_known(&store, 1) && is_known(&store, 2));
    forget(last.plus_secs(1));
    assert!(!is_known(&store, 1) && is_known(&store, 2));
    assert_eq!((of(ALICE), bytes()), (1, 402 + 200));
}

#[test]
fn attack_25_requests_without_end_take_a_bounded_place() {
    let (_dir, store) = store();
    // One a minute for six hours; what waits for a payment is no part of it.
    store
        .write(|tx| {
            record_waiting(tx, &event(u64::MAX), false, (&ALICE, preimage(1).1), NOW)
                .map_err(StoreError::from)
        })
        .unwrap();
    let minutes = 6 * 60;
    (0..minutes).for_each(|n| answer(&store, n, NOW.plus_secs(60 * n)));
    let kept = 3 * AGE_SECS_MAX / 60;
    assert!(rows(&store) <= kept + 2, "{} rows", rows(&store));
    assert!(is_known(&store, minutes - 1) && !is_known(&store, 0));
    assert!(is_known(&store, u64::MAX), "a payment on its way is never forgotten");
}

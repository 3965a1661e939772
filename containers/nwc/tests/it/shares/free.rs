//! Keys that cost nothing against keys that hold money.

use super::*;

#[test]
fn attack_25_free_keys_take_no_answers_of_who_holds_money() {
    let busy = Busy::new(|limits| limits.books_bytes_max = 2_000_000);
    busy.world.give(person(CUSTOMER), 1_000_000);
    busy.world.give(person(OTHER), 5_000);
    let early = busy.event(person(CUSTOMER), NOW);
    let request = Request::MakeInvoice(MakeInvoice::of(Msat::new(7)));
    let answered = busy.world.wallet().handle_event(&early, Door::Public, request.clone(), NOW).text();
    // Of all clients it has most to give up.
    for _ in 0..5 {
        busy.ask(CUSTOMER, Request::MakeInvoice(longest(1)), NOW).unwrap();
    }
    for who in 0..600 {
        drop(busy.ask(30_000 + who, request.clone(), NOW.plus_secs(u64::from(who / 10))));
    }
    let strangers = busy.count("SELECT strangers FROM request_bytes");
    assert!((240_000..=256_000).contains(&strangers), "{strangers}");
    assert_eq!(
        strangers,
        busy.count("SELECT sum(200 + bytes) FROM answers_of WHERE stranger = 1"),
        "counted as it is"
    );
    let again = busy.world.wallet().handle_event(&early, Door::Public, request, NOW.plus_secs(60));
    assert_eq!(again.answer, Answer::Again(answered.unwrap()));
    busy.assert_others_go_on(NOW.plus_secs(60));
}

#[test]
fn attack_25_the_last_places_for_hold_invoices_are_for_what_is_worth_more() {
    let busy = Busy::new(|limits| {
        (limits.holds_per_key, limits.holds_total, limits.in_flight_per_key) = (16, 16, 16);
    });
    for who in [1, CUSTOMER, OTHER] {
        busy.world.give(person(who), 10_000_000);
    }
    let lock_in = |payer, seed: u8, msat| {
        let preimage = Preimage::from_bytes([seed; 32]);
        let invoice = MakeInvoice::of(Msat::new(msat));
        let terms = MakeHoldInvoice {
            payment_hash: crate::support::node::hash_of(&preimage),
            invoice,
            min_cltv_expiry_delta: None,
        };
        let held = busy.world.call(person(OTHER), &terms, NOW).unwrap();
        let pay = Request::PayInvoice(PayInvoice::of(held.invoice.unwrap()));
        busy.handle(payer, Door::Public, pay, NOW)
    };
    let begun = (1..16).filter(|seed| lock_in(1, *seed, SAT).waits_for().is_some()).count();
    assert_eq!(begun, 9, "a half, and the one after it");
    assert_refused(outcome(lock_in(CUSTOMER, 20, SAT)), ErrorCode::RateLimited, "hold invoices");
    assert!(lock_in(CUSTOMER, 21, 5_000_000).waits_for().is_some());
    busy.world.audit();
}

//! Open invoices: who asks in one way, or holds little, takes no place of anybody else.

use super::*;

/// Invoices that the attackers have.
const PLACES: u32 = 40;

/// A wallet whose places a satoshi each has taken: with one invoice of every attacker, over every door.
fn crowded() -> Busy {
    let busy =
        Busy::new(|limits| (limits.open_per_key, limits.open_unfunded, limits.open_total) = (10, 20, PLACES));
    busy.world.give(person(CUSTOMER), 1_000_000);
    busy.world.give(person(OTHER), 5_000);
    for who in 1..=PLACES {
        busy.world.give(person(who), SAT);
    }
    for who in 1..=PLACES {
        busy.make(who, Door::Public, SAT, NOW).unwrap();
        // The second half of them finds the places taken, by equals who have had no time yet.
        let is_in_time = who <= PLACES / 2;
        assert_eq!(over_http(&busy, who).is_ok(), is_in_time);
        assert_eq!(make_for(&busy, 50_000 + who, who).is_ok(), is_in_time);
    }
    assert_eq!(pools(&busy), [("key 0", 20), ("payee 0", 40), ("web 0", 20)].map(owned));
    busy
}

fn owned((pool, items): (&str, i64)) -> (String, i64) {
    (pool.to_owned(), items)
}

/// How many invoices are open in each pool: who asked, and whether the payee held nothing.
fn pools(busy: &Busy) -> Vec<(String, i64)> {
    let raw = rusqlite::Connection::open(busy.world.dir.path().join("wallet.db")).unwrap();
    let mut select = raw
        .prepare("SELECT asked_by || ' ' || unfunded, items FROM open_pool WHERE items > 0 ORDER BY 1")
        .unwrap();
    let pools = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    pools.collect::<Result<_, _>>().unwrap()
}

fn over_http(busy: &Busy, payee: u32) -> Result<String, String> {
    over_http_at(busy, payee, 0)
}

fn over_http_at(busy: &Busy, payee: u32, secs: u64) -> Result<String, String> {
    let npub = person(payee).to_bech32().unwrap();
    let query = InvoiceQuery::parse("amount=1000").unwrap();
    let (asked, now) = (Asked { local: &npub, host: None }, NOW.plus_secs(secs));
    let made = busy.world.wallet().pay_offer_invoice(&asked, &query, now);
    let made = serde_json::to_value(made.map_err(|error| error.to_string())?).unwrap();
    Ok(made["pr"].as_str().unwrap().to_owned())
}

fn make_for(busy: &Busy, asker: u32, payee: u32) -> Result<ResultBody, WalletError> {
    let invoice = MakeInvoice::of(Msat::new(SAT));
    busy.ask(
        asker,
        Request::MakeInvoiceFor(MakeInvoiceFor { pubkey: person(payee), invoice, zap_request: None }),
        NOW,
    )
}

#[test]
fn attack_25_very_many_keys_with_a_satoshi_and_one_invoice_each_keep_nobody_from_being_paid() {
    let busy = crowded();
    let again = || {
        for who in 1..=PLACES {
            drop(busy.make(who, Door::Public, SAT, NOW));
            drop(over_http(&busy, who));
            drop(make_for(&busy, 60_000 + who, who));
        }
    };
    // Who holds more has several; who has none yet has one, whatever they hold, and however it is asked for.
    let of_customer: Vec<_> =
        (0..5).map(|_| busy.make(CUSTOMER, Door::Public, 7_000, NOW).unwrap()).collect();
    let of_newcomer = busy.make(STRANGER, Door::Public, SAT, NOW).unwrap();
    let at_address = [CUSTOMER, OTHER, STRANGER + 50].map(|payee| over_http(&busy, payee).unwrap());
    make_for(&busy, 70_000, OTHER).unwrap();
    again();
    // They are open still.
    for invoice in of_customer.into_iter().chain([of_newcomer]).chain(at_address) {
        busy.pay(0, &invoice, NOW).unwrap();
    }
    busy.assert_others_go_on(NOW);
}

#[test]
fn attack_25_what_costs_nothing_takes_no_place_of_who_holds_money() {
    let busy = crowded();
    let of_holders = || busy.count("SELECT sum(id) FROM invoice WHERE state = 'open' AND unfunded = 0");
    let before = of_holders();
    // Keys without money ask for themselves, for each other and for holders; addresses are asked over HTTP.
    for n in 0..200 {
        drop(busy.make(2_000 + n, Door::Public, SAT, NOW));
        drop(over_http(&busy, 3_000 + n));
        drop(make_for(&busy, 4_000 + n, 5_000 + n));
    }
    let expected =
        [("key 0", 20), ("key 1", 10), ("payee 0", 40), ("payee 1", 20), ("web 0", 20), ("web 1", 10)];
    assert_eq!(pools(&busy), expected.map(owned));
    assert_eq!(of_holders(), before);
    // What payees ask for themselves is theirs, however much is asked for them.
    for n in 0..100 {
        drop(over_http(&busy, 1 + n % PLACES));
        drop(make_for(&busy, CUSTOMER, 1 + n % PLACES));
    }
    let open = busy
        .count("SELECT count(*) FROM invoice WHERE state = 'open' AND asked_by = 'payee' AND unfunded = 0");
    assert_eq!(open, i64::from(PLACES));
    busy.world.audit();
}

#[test]
fn attack_25_a_first_invoice_takes_the_place_of_the_oldest_first_one_and_a_second_does_not() {
    let busy = Busy::new(|limits| limits.open_unfunded = 3);
    busy.world.give(person(CUSTOMER), 1_000_000);
    let make = |who, secs| busy.make(who, Door::Public, SAT, NOW.plus_secs(secs));
    let made = [1, 2, 3].map(|who| make(who, 0).unwrap());
    for who in [1, 2, 3] {
        assert_refused(make(who, 60), ErrorCode::RateLimited, "unpaid invoices");
    }
    // Not before somebody could have paid it, however many come.
    assert_refused(make(4, 59), ErrorCode::RateLimited, "unpaid invoices");
    make(4, 60).unwrap();
    assert_refused(busy.pay(CUSTOMER, &made[0], NOW.plus_secs(60)), ErrorCode::PaymentFailed, "expired");
    busy.pay(CUSTOMER, &made[1], NOW.plus_secs(60)).unwrap();
    busy.world.audit();
}

#[test]
fn attack_25_nobody_has_places_for_what_it_held_before() {
    let busy = Busy::new(|limits| limits.open_total = 5);
    for (who, msat) in [(1, 100_000), (2, SAT), (3, SAT), (OTHER, 4_000)] {
        busy.world.give(person(who), msat);
    }
    let make = |who| busy.make(who, Door::Public, SAT, NOW);
    let open = |who: u32| {
        let payee = person(who).to_hex().to_uppercase();
        busy.count(&format!("SELECT coalesce(sum(items), 0) FROM open_of WHERE hex(payee) = '{payee}'"))
    };
    // While it has money, one has most of the places.
    for who in [2, 3, OTHER, OTHER, 1, 1, 1] {
        make(who).unwrap();
    }
    assert_eq!([1, 2, 3, OTHER].map(open), [3, 0, 0, 2]);
    let all_of_it = busy.make(4, Door::Public, 100_000, NOW).unwrap();
    busy.pay(1, &all_of_it, NOW).unwrap();
    busy.world.wallet().upkeep(NOW).unwrap();
    make(2).unwrap();
    assert_eq!([1, 2, 3, OTHER].map(open), [2, 1, 0, 2]);
    busy.world.audit();
}

#[test]
fn attack_25_who_asks_an_address_again_and_again_keeps_nobody_else_from_paying_to_it() {
    let busy = Busy::new(|limits| limits.open_per_key = 10);
    busy.world.give(person(CUSTOMER), 1_000_000);
    busy.world.give(person(OTHER), 1_000_000);
    let first = over_http(&busy, OTHER).unwrap();
    for _ in 1..10 {
        over_http(&busy, OTHER).unwrap();
    }
    over_http_at(&busy, OTHER, 59).unwrap_err();
    let other = over_http_at(&busy, OTHER, 60).unwrap();
    let now = NOW.plus_secs(60);
    assert_refused(busy.pay(CUSTOMER, &first, now), ErrorCode::PaymentFailed, "expired");
    busy.pay(CUSTOMER, &other, now).unwrap();
    assert_eq!(busy.count("SELECT count(*) FROM invoice WHERE state = 'open'"), 9);
    busy.world.audit();
}

/// Bounds that became lower refuse nobody until all that is too much has expired.
#[test]
fn attack_25_lower_bounds_are_reached_step_by_step() {
    let mut busy = Busy::new(|limits| (limits.open_per_key, limits.open_total) = (100, 200));
    for who in [1, 2, OTHER] {
        busy.world.give(person(who), 1_000_000);
    }
    for n in 0..200 {
        busy.make(1 + n % 2, Door::Public, SAT, NOW).unwrap();
    }
    let open = |busy: &Busy| busy.count("SELECT count(*) FROM invoice WHERE state = 'open'");
    busy.world.setup.limits.open_total = 100;
    busy.world.reopen().unwrap();
    let mut before = open(&busy);
    for _ in 0..3 {
        busy.make(OTHER, Door::Public, SAT, NOW).unwrap();
        assert!(open(&busy) < before);
        before = open(&busy);
    }
    assert!(before < 120, "{before}");
    busy.world.audit();
}

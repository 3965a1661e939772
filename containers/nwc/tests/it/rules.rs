//! The ordinary day of a wallet: shapes of replies, who is told, what is seen.

use protocol::nwc::*;
use serde_json::json;
use units::{Msat, UnixSecs};

use crate::support::{NOW, Setup, World, assert_refused, outcome, person, told};

fn metadata(text: &str) -> Option<Metadata> {
    Metadata::new(json!({ "note": text }).as_object()?.clone())
}

#[test]
fn a_payment_moves_money_and_reveals_the_real_preimage() {
    let world = World::new();
    let (alice, bob) = (person(1), person(2));
    world.give(alice, 10_000);
    let invoice = world.invoice(bob, 4_001);
    let request = PayInvoice::of(invoice.invoice.clone().unwrap());
    let handled = world.handle(alice, Request::PayInvoice(request), NOW);
    assert_eq!(
        told(&handled.notices),
        [(bob, "received", Msat::new(4_001)), (alice, "sent", Msat::new(4_001))]
    );
    let ResultBody::PayInvoice(paid) = outcome(handled).unwrap() else { panic!("not paid") };
    assert_eq!(paid.fees_paid, Msat::ZERO);
    assert_eq!(crate::support::node::hash_of(&paid.preimage), invoice.payment_hash);
    assert_eq!((world.balance(alice), world.balance(bob)), (5_999, 4_001));
    let (sent, received) =
        (world.lookup(alice, invoice.payment_hash), world.lookup(bob, invoice.payment_hash));
    let (sent, received) = (sent.unwrap(), received.unwrap());
    assert_eq!((sent.direction, received.direction), (TransactionType::Outgoing, TransactionType::Incoming));
    for seen in [sent, received] {
        assert_eq!(seen.state, Some(TransactionState::Settled));
        assert_eq!((seen.preimage.as_ref(), seen.settled_at), (Some(&paid.preimage), Some(NOW)));
        assert_eq!((seen.amount, seen.invoice), (Msat::new(4_001), invoice.invoice.clone()));
    }
    world.audit();
}

#[test]
fn any_key_has_a_wallet_and_asking_stores_nothing() {
    let world = World::new();
    let stranger = person(9);
    assert_eq!(world.balance(stranger), 0);
    assert_eq!(
        world.list(stranger, ListTransactions { unpaid: Some(true), ..ListTransactions::default() }),
        []
    );
    let account = ledger::Account::User(stranger.to_bytes());
    assert_eq!(world.account(account), 0);
    world.invoice(stranger, 5);
    world.pay(person(0), &world.invoice(stranger, 7)).unwrap();
    assert_eq!(world.account(account), 7);
}

#[test]
fn an_invoice_shows_its_terms_but_not_its_preimage() {
    let world = World::new();
    let hash = DescriptionHash::from_bytes([3; 32]);
    let terms = MakeInvoice {
        description: Some("tea".to_owned()),
        description_hash: Some(hash),
        expiry_secs: Some(60),
        metadata: metadata("mine"),
        ..MakeInvoice::of(Msat::new(1))
    };
    let made = world.call(person(1), &terms, NOW).unwrap();
    assert_eq!((made.direction, made.state), (TransactionType::Incoming, Some(TransactionState::Pending)));
    assert_eq!((made.amount, made.fees_paid), (Msat::new(1), Msat::ZERO));
    assert_eq!((made.description.as_deref(), made.description_hash), (Some("tea"), Some(hash)));
    assert_eq!((made.created_at, made.expires_at), (NOW, Some(NOW.plus_secs(60))));
    assert_eq!((made.preimage.as_ref(), made.settled_at), (None, None));
    assert_eq!(made.metadata, metadata("mine"));
    assert_eq!(world.lookup(person(1), made.payment_hash).unwrap(), made);
    // With both, the invoice itself commits to the hash.
    let bolt11 = nwc::lightning::Bolt11::parse(&made.invoice.unwrap()).unwrap();
    assert_eq!((bolt11.description(), bolt11.description_hash()), (None, Some(hash)));
}

#[test]
fn expiry_has_a_default_and_a_maximum() {
    let world = World::new();
    for (asked, given) in [(None, 600), (Some(1), 1), (Some(86_400), 86_400), (Some(u32::MAX), 86_400)] {
        let terms = MakeInvoice { expiry_secs: asked, ..MakeInvoice::of(Msat::new(1)) };
        let made = world.call(person(1), &terms, NOW).unwrap();
        assert_eq!(made.expires_at, Some(NOW.plus_secs(given)), "{asked:?}");
    }
}

#[test]
fn a_payment_is_taken_until_the_last_second_and_not_later() {
    let world = World::new();
    let (alice, bob) = (person(0), person(2));
    let in_time = world.invoice(bob, 5);
    let late = world.invoice(bob, 6);
    world.pay_at(alice, &in_time, NOW.plus_secs(600)).unwrap();
    assert_refused(world.pay_at(alice, &late, NOW.plus_secs(601)), ErrorCode::PaymentFailed, "expired");
    assert_eq!(world.balance(bob), 5);
    let seen = world.lookup_at(bob, late.payment_hash, NOW.plus_secs(601)).unwrap();
    assert_eq!((seen.state, seen.preimage), (Some(TransactionState::Expired), None));
}

#[test]
fn a_late_payment_is_honoured_where_that_is_configured() {
    let mut setup = Setup::new();
    setup.limits.late_accept_secs = 30;
    let world = World::with(setup);
    let (in_time, late) = (world.invoice(person(2), 5), world.invoice(person(2), 6));
    let seen = world.lookup_at(person(2), in_time.payment_hash, NOW.plus_secs(630)).unwrap();
    assert_eq!(seen.state, Some(TransactionState::Expired), "nobody is told to pay it any more");
    world.pay_at(person(0), &in_time, NOW.plus_secs(630)).unwrap();
    assert_refused(world.pay_at(person(0), &late, NOW.plus_secs(631)), ErrorCode::PaymentFailed, "expired");
    assert_eq!(world.balance(person(2)), 5);
}

#[test]
fn a_withdrawn_invoice_cannot_be_paid() {
    let world = World::new();
    let invoice = world.invoice(person(2), 5);
    let cancel = |by| world.wallet().cancel_invoice(by, invoice.payment_hash, NOW).unwrap();
    assert!(!cancel(person(3)), "only its payee can withdraw it");
    assert!(cancel(person(2)));
    assert!(!cancel(person(2)));
    assert_refused(world.pay(person(0), &invoice), ErrorCode::PaymentFailed, "withdrawn");
    assert_eq!(world.balance(person(2)), 0);
}

#[test]
fn get_info_tells_network_node_and_notifications() {
    let world = World::new();
    let info = world.call(person(1), &GetInfo {}, NOW).unwrap();
    assert_eq!(info.network.as_deref(), Some("regtest"));
    let invoice = world.invoice(person(1), 1).invoice.unwrap();
    let node = nwc::lightning::Bolt11::parse(&invoice).unwrap().payee().to_string();
    assert_eq!(info.pubkey, Some(node));
    assert_eq!(info.notifications, ["payment_received", "payment_sent", "hold_invoice_accepted"]);
}

#[test]
fn unknown_methods_are_not_implemented() {
    let world = World::new();
    let request = Request::from_json(r#"{"method":"pay_keysend","params":{}}"#).unwrap();
    let handled = world.handle(person(1), request, NOW);
    let nwc::service::Answer::Now(response) = &handled.answer else { panic!("{handled:?}") };
    assert!(
        response.to_json().starts_with(r#"{"result_type":"pay_keysend","error":{"code":"NOT_IMPLEMENTED""#)
    );
}

#[test]
fn history_is_newest_first_and_filtered() {
    let world = World::new();
    let (alice, bob) = (person(0), person(2));
    let at = |secs| NOW.plus_secs(secs);
    for secs in 1..=5 {
        let invoice = world.invoice_at(bob, 100 + i64::try_from(secs).unwrap(), at(secs)).unwrap();
        if secs != 3 {
            world.pay_at(alice, &invoice, at(secs)).unwrap();
        }
    }
    world.pay_at(bob, &world.invoice_at(alice, 50, at(6)).unwrap(), at(6)).unwrap();
    let amounts = |wanted: ListTransactions| -> Vec<i64> {
        world.list(bob, wanted).iter().map(|transaction| transaction.amount.msat()).collect()
    };
    let all = ListTransactions::default();
    assert_eq!(amounts(all.clone()), [50, 105, 104, 102, 101]);
    assert_eq!(
        amounts(ListTransactions { unpaid: Some(true), ..all.clone() }),
        [50, 105, 104, 103, 102, 101]
    );
    let (incoming, outgoing) = (Some(TransactionType::Incoming), Some(TransactionType::Outgoing));
    assert_eq!(amounts(ListTransactions { direction: incoming, ..all.clone() }), [105, 104, 102, 101]);
    assert_eq!(amounts(ListTransactions { direction: outgoing, ..all.clone() }), [50]);
    let between = |from: u64, until: u64| ListTransactions {
        from: Some(at(from)),
        until: Some(at(until)),
        ..all.clone()
    };
    assert_eq!(amounts(between(2, 4)), [104, 102], "from and until are inclusive");
    assert_eq!(amounts(between(4, 2)), [] as [i64; 0]);
    assert_eq!(amounts(ListTransactions { limit: Some(2), ..all.clone() }), [50, 105]);
    assert_eq!(amounts(ListTransactions { limit: Some(2), offset: Some(3), ..all.clone() }), [102, 101]);
    let far = Request::ListTransactions(ListTransactions { offset: Some(10_001), ..all });
    assert_refused(world.ask(bob, far), ErrorCode::Other, "until");
}

#[test]
fn a_page_has_twenty_transactions_and_fits_into_an_event() {
    let world = World::new();
    let (alice, bob) = (person(0), person(2));
    for n in 0..25 {
        let terms = MakeInvoice {
            description: Some("\u{1}".repeat(600)),
            metadata: metadata(&"é".repeat(4_000)),
            ..MakeInvoice::of(Msat::new(1 + n))
        };
        world.pay(alice, &world.call(bob, &terms, NOW).unwrap()).unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 25 {
        let request = Request::ListTransactions(ListTransactions {
            limit: Some(1_000),
            offset: Some(u32::try_from(seen.len()).unwrap()),
            ..ListTransactions::default()
        });
        let handled = world.handle(bob, request, NOW);
        let nwc::service::Answer::Now(response) = handled.answer else { panic!("no list") };
        assert!(response.to_json().len() <= 40_960, "{}", response.to_json().len());
        let Ok(ResultBody::ListTransactions(page)) = response.outcome() else { panic!("no list") };
        assert!((1..=20).contains(&page.transactions.len()));
        seen.extend(page.transactions.iter().map(|transaction| transaction.amount.msat()));
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<i64>>(), "pages leave nothing out");
    // Small transactions fill a page.
    for n in 0..25 {
        world.pay(alice, &world.invoice_at(person(3), 1 + n, NOW).unwrap()).unwrap();
    }
    for limit in [None, Some(1_000)] {
        let page = world.list(person(3), ListTransactions { limit, ..ListTransactions::default() });
        assert_eq!(page.len(), 20, "{limit:?}");
    }
}

#[test]
fn lookup_by_hash_by_invoice_or_by_both() {
    let world = World::new();
    let (one, other) = (world.invoice(person(1), 5), world.invoice(person(1), 6));
    let lookup = |hash: Option<&Transaction>, invoice: Option<&Transaction>| {
        world.ask(
            person(1),
            Request::LookupInvoice(LookupInvoice {
                payment_hash: hash.map(|transaction| transaction.payment_hash),
                invoice: invoice.and_then(|transaction| transaction.invoice.clone()),
            }),
        )
    };
    let found = Ok(ResultBody::LookupInvoice(one.clone()));
    assert_eq!(lookup(Some(&one), None), found);
    assert_eq!(lookup(None, Some(&one)), found);
    assert_eq!(lookup(Some(&one), Some(&one)), found);
    assert_refused(lookup(Some(&one), Some(&other)), ErrorCode::NotFound, "no such");
    let unknown = LookupInvoice::by_hash(PaymentHash::from_bytes([1; 32]));
    assert_refused(world.ask(person(1), Request::LookupInvoice(unknown)), ErrorCode::NotFound, "no such");
    let nonsense = LookupInvoice { payment_hash: None, invoice: Some("lnbc1".to_owned()) };
    assert_refused(world.ask(person(1), Request::LookupInvoice(nonsense)), ErrorCode::Other, "BOLT11");
}

#[test]
fn with_an_administrator_only_admitted_keys_can_be_paid() {
    let (admin, stranger) = (person(5), person(6));
    let mut world = World::with(Setup { admin: Some(admin), ..Setup::new() });
    let make_for = |world: &World, pubkey| {
        world.ask(
            stranger,
            Request::MakeInvoiceFor(MakeInvoiceFor {
                pubkey,
                invoice: MakeInvoice::of(Msat::new(5)),
                zap_request: None,
            }),
        )
    };
    let admit = |world: &World, by| world.ask(by, Request::AddPubkey(AddPubkey { pubkey: stranger }));
    assert_refused(make_for(&world, stranger), ErrorCode::Restricted, "admitted");
    for always in [admin, world.service(), person(0)] {
        assert!(make_for(&world, always).is_ok());
    }
    assert_refused(admit(&world, stranger), ErrorCode::Restricted, "administrator");
    assert_refused(make_for(&world, stranger), ErrorCode::Restricted, "admitted");
    admit(&world, admin).unwrap();
    admit(&world, admin).unwrap();
    world.reopen().unwrap();
    assert!(make_for(&world, stranger).is_ok(), "admission survives a restart");
}

#[test]
fn without_an_administrator_nobody_admits() {
    let world = World::new();
    let admit = world.ask(person(1), Request::AddPubkey(AddPubkey { pubkey: person(2) }));
    assert_refused(admit, ErrorCode::Restricted, "any key");
}

#[test]
fn the_faucet_is_filled_once() {
    let mut world = World::new();
    world.give(person(1), 400);
    for _ in 0..3 {
        world.reopen_at(UnixSecs(NOW.0 + 99)).unwrap();
        assert_eq!(world.balance(person(0)), crate::support::FAUCET_MSAT - 400);
    }
    world.audit();
    for change in [
        |setup: &mut Setup| setup.faucet.as_mut().unwrap().amount = Msat::new(1),
        |setup: &mut Setup| {
            setup.faucet.as_mut().unwrap().pubkey = person(1);
        },
    ] {
        let before = world.setup.clone();
        change(&mut world.setup);
        let error = world.reopen().unwrap_err();
        assert!(error.to_string().contains("NWC_FAUCET_MSAT"), "{error}");
        world.setup = before;
    }
    world.setup.faucet = None;
    world.reopen().unwrap();
    assert_eq!(world.balance(person(0)), crate::support::FAUCET_MSAT - 400);
}

#[test]
fn without_a_faucet_there_is_no_money() {
    let world = World::with(Setup { faucet: None, ..Setup::new() });
    let invoice = world.invoice(person(1), 1);
    for payer in [person(0), world.service()] {
        assert_refused(world.pay(payer, &invoice), ErrorCode::InsufficientBalance, "balance");
    }
    assert_eq!(world.account(ledger::Account::Faucet), 0);
}

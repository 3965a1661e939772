//! Connections: another key uses a wallet, within methods, a budget and a time.

use std::sync::Barrier;
use std::thread;

use nostr::key::PublicKey;
use nwc::lightning::NodeEvent;
use nwc::service::Handled;
use protocol::nwc::*;
use units::{Msat, UnixSecs};

use crate::support::node::foreign_invoice;
use crate::support::{NOW, Setup, World, assert_refused, outcome, person};

const SPEND: [Method; 3] = [Method::PayInvoice, Method::GetBalance, Method::ListTransactions];

/// An owner with money and a client with a connection to its wallet.
struct Linked {
    world: World,
    owner: PublicKey,
    client: PublicKey,
    service: PublicKey,
    events: std::cell::Cell<u8>,
}

fn wanted(client: PublicKey, methods: &[Method]) -> CreateConnection {
    CreateConnection {
        notification_types: vec!["payment_sent".to_owned()],
        max_amount: Some(Msat::new(10_000)),
        budget_renewal: Some(BudgetRenewal::Daily),
        ..CreateConnection::of(client, "app", methods)
    }
}

impl Linked {
    fn new(wanted: &CreateConnection) -> Self {
        let (world, _) = World::on_lightning();
        world.give(person(1), 1_000_000);
        let service = world.call(person(1), wanted, NOW).unwrap().wallet_pubkey;
        Self { world, owner: person(1), client: wanted.pubkey, service, events: std::cell::Cell::new(0) }
    }

    fn handle(&self, request: Request, now: UnixSecs) -> Handled {
        self.events.set(self.events.get() + 1);
        self.world.handle_at(self.client, self.service, self.events.get(), request, now)
    }

    fn ask(&self, request: Request) -> Result<ResultBody, WalletError> {
        outcome(self.handle(request, NOW))
    }

    fn pay(&self, msat: i64, now: UnixSecs) -> Result<ResultBody, WalletError> {
        let invoice = self.world.invoice_at(person(9), msat, now).unwrap().invoice.unwrap();
        outcome(self.handle(Request::PayInvoice(PayInvoice::of(invoice)), now))
    }

    fn budget(&self, now: UnixSecs) -> Budget {
        let Ok(ResultBody::GetBudget(budget)) = outcome(self.handle(Request::GetBudget(GetBudget {}), now))
        else {
            panic!("no budget")
        };
        budget
    }
}

#[test]
fn a_connection_uses_its_owners_wallet_within_its_methods() {
    let one = Linked::new(&wanted(person(5), &SPEND));
    let Ok(ResultBody::GetBalance(balance)) = one.ask(Request::GetBalance(GetBalance {})) else { panic!() };
    assert_eq!(balance.balance, Msat::new(1_000_000));
    one.pay(4_000, NOW).unwrap();
    assert_eq!(one.world.balance(one.owner), 996_000);
    let Ok(ResultBody::GetInfo(info)) = one.ask(Request::GetInfo(GetInfo {})) else { panic!() };
    assert_eq!(
        info.methods,
        [Method::GetInfo, Method::GetBalance, Method::ListTransactions, Method::PayInvoice]
    );
    for denied in [
        Request::MakeInvoice(MakeInvoice::of(Msat::new(5))),
        Request::LookupInvoice(LookupInvoice::by_hash(PaymentHash::from_bytes([1; 32]))),
        Request::MakeInvoiceFor(MakeInvoiceFor {
            pubkey: person(3),
            invoice: MakeInvoice::of(Msat::new(5)),
            zap_request: None,
        }),
    ] {
        assert_refused(one.ask(denied), ErrorCode::Restricted, "may not call");
    }
    let unknown = one.ask(Request::Unknown("pay_keysend".to_owned()));
    assert_refused(unknown, ErrorCode::NotImplemented, "no method");
}

#[test]
fn receive_only_and_read_only_connections_cannot_spend() {
    for methods in [
        vec![Method::MakeInvoice, Method::LookupInvoice],
        vec![Method::GetBalance, Method::LookupInvoice, Method::ListTransactions],
    ] {
        let one = Linked::new(&wanted(person(5), &methods));
        assert_refused(one.pay(5, NOW), ErrorCode::Restricted, "may not call pay_invoice");
        assert_eq!(one.world.balance(one.owner), 1_000_000);
        if methods.contains(&Method::MakeInvoice) {
            let Ok(ResultBody::MakeInvoice(made)) =
                one.ask(Request::MakeInvoice(MakeInvoice::of(Msat::new(7))))
            else {
                panic!()
            };
            one.world.pay(person(0), &made).unwrap();
            assert_eq!(one.world.balance(one.owner), 1_000_007, "the owner is paid");
        }
    }
}

#[test]
fn a_budget_bounds_a_period_and_begins_anew_at_its_boundary() {
    let one = Linked::new(&wanted(person(5), &SPEND));
    one.pay(9_000, NOW).unwrap();
    assert_refused(one.pay(1_001, NOW), ErrorCode::QuotaExceeded, "1000 msat are left");
    one.pay(1_000, NOW).unwrap();
    // 2023-11-15 00:00:00 UTC.
    let midnight = UnixSecs(1_700_006_400);
    let used = one.budget(NOW);
    assert_eq!((used.used_budget, used.total_budget), (Some(Msat::new(10_000)), Some(Msat::new(10_000))));
    assert_eq!((used.renews_at, used.renewal_period), (Some(midnight), Some(BudgetRenewal::Daily)));
    let last_second = UnixSecs(midnight.0 - 1);
    assert_refused(one.pay(1, last_second), ErrorCode::QuotaExceeded, "0 msat are left");
    assert_eq!(one.budget(midnight).used_budget, Some(Msat::ZERO));
    one.pay(10_000, midnight).unwrap();
    // The owner's own payments are not counted, nor bound.
    one.world.pay(one.owner, &one.world.invoice(person(9), 50_000)).unwrap();
    assert_eq!(one.budget(midnight).used_budget, Some(Msat::new(10_000)));
    let none = one.world.call(one.owner, &GetBudget {}, NOW).unwrap();
    assert_eq!(none, Budget::default());
}

#[test]
fn what_is_on_its_way_counts_with_its_reserve_and_what_failed_does_not() {
    let methods = CreateConnection { max_amount: Some(Msat::new(30_000)), ..wanted(person(5), &SPEND) };
    let one = Linked::new(&methods);
    let (invoice, hash, _) = foreign_invoice(1, Msat::new(15_000), NOW);
    assert!(one.handle(Request::PayInvoice(PayInvoice::of(invoice)), NOW).waits_for().is_some());
    assert_eq!(one.budget(NOW).used_budget, Some(Msat::new(25_000)));
    assert_refused(one.pay(5_001, NOW), ErrorCode::QuotaExceeded, "5000 msat");
    let node = one.world.setup.node.clone().unwrap();
    let failed = NodeEvent::PaymentFailed {
        payment_hash: hash,
        attempt: node.attempt(hash),
        reason: "no route".to_owned(),
    };
    one.world.wallet().on_node_event(failed, node.as_ref(), NOW).unwrap();
    assert_eq!(one.budget(NOW).used_budget, Some(Msat::ZERO));
    let (invoice, hash, preimage) = foreign_invoice(2, Msat::new(15_000), NOW);
    one.handle(Request::PayInvoice(PayInvoice::of(invoice)), NOW);
    let settled = NodeEvent::PaymentSettled { payment_hash: hash, preimage, fee: Msat::new(7) };
    one.world.wallet().on_node_event(settled, node.as_ref(), NOW).unwrap();
    assert_eq!(one.budget(NOW).used_budget, Some(Msat::new(15_007)));
}

#[test]
fn attack_01_64_payments_through_one_connection_stay_within_its_budget() {
    let one = Linked::new(&wanted(person(5), &SPEND));
    let invoices: Vec<String> =
        (0..64).map(|_| one.world.invoice(person(9), 1_000).invoice.unwrap()).collect();
    let start = Barrier::new(64);
    let (world, client, service) = (&one.world, one.client, one.service);
    let paid = thread::scope(|scope| {
        let tasks: Vec<_> = (0..64_u8)
            .map(|n| {
                let (start, invoice) = (&start, invoices[usize::from(n)].clone());
                scope.spawn(move || {
                    start.wait();
                    let request = Request::PayInvoice(PayInvoice::of(invoice));
                    outcome(world.handle_at(client, service, n, request, NOW))
                })
            })
            .collect();
        let results: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
        for refused in results.iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(refused.code, ErrorCode::QuotaExceeded);
        }
        results.iter().filter(|result| result.is_ok()).count()
    });
    assert_eq!((paid, one.world.balance(one.owner)), (10, 990_000));
    one.world.audit();
}

#[test]
fn a_connection_ends_by_time_and_by_revocation() {
    let until = NOW.plus_secs(60);
    let one = Linked::new(&CreateConnection { expires_at: Some(until), ..wanted(person(5), &SPEND) });
    one.pay(1, until).unwrap();
    assert_refused(one.pay(1, until.plus_secs(1)), ErrorCode::Unauthorized, "has ended");
    let mut one = Linked::new(&wanted(person(5), &SPEND));
    one.pay(1, NOW).unwrap();
    let revoke = RevokeConnection { wallet_pubkey: one.service };
    let thief = one.world.call(person(6), &revoke, NOW);
    assert_refused(thief, ErrorCode::Unauthorized, "no such connection");
    one.world.call(one.owner, &revoke, NOW).unwrap();
    for _ in 0..2 {
        assert_refused(
            one.ask(Request::GetBalance(GetBalance {})),
            ErrorCode::Unauthorized,
            "no such connection",
        );
        assert_refused(one.pay(1, NOW), ErrorCode::Unauthorized, "no such connection");
        one.world.reopen().unwrap();
    }
    assert_eq!(one.world.call(one.owner, &ListConnections {}, NOW).unwrap().connections, []);
    assert_eq!(one.world.balance(one.owner), 999_999);
}

#[test]
fn attack_24_a_key_that_was_entered_without_asking_keeps_its_own_wallet() {
    // The attacker enters the victim's key as a client of the attacker's wallet.
    let one = Linked::new(&wanted(person(5), &[Method::MakeInvoice, Method::GetBalance]));
    let victim = one.client;
    let made = one.world.invoice(victim, 70);
    one.world.pay(person(0), &made).unwrap();
    assert_eq!((one.world.balance(victim), one.world.balance(one.owner)), (70, 1_000_000));
    // And who is not the client of a connection cannot use it, whoever it is.
    for stranger in [person(6), one.owner] {
        let request = Request::GetBalance(GetBalance {});
        let refused = outcome(one.world.handle_at(stranger, one.service, 200, request, NOW));
        assert_refused(refused, ErrorCode::Unauthorized, "no such connection");
    }
}

#[test]
fn connections_rule_nothing() {
    let one = Linked::new(&wanted(person(5), &Method::NIP));
    for request in [
        Request::CreateConnection(wanted(person(7), &SPEND)),
        Request::ListConnections(ListConnections {}),
        Request::RevokeConnection(RevokeConnection { wallet_pubkey: one.service }),
        Request::AddPubkey(AddPubkey { pubkey: person(7) }),
    ] {
        assert_refused(one.ask(request), ErrorCode::Restricted, "may not call");
    }
    let ruling = r#"{"method":"create_connection","params":{"pubkey":"79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798","name":"a","request_methods":["create_connection"]}}"#;
    assert!(Request::from_json(ruling).unwrap_err().error.message.contains("create_connection cannot"));
}

#[test]
fn connections_are_bounded_and_need_a_wallet_that_was_paid() {
    let mut setup = Setup::new();
    (setup.limits.connections_per_key, setup.limits.connections_total) = (2, 3);
    let world = World::with(setup);
    let create = |owner| world.call(owner, &wanted(person(5), &SPEND), NOW).map(|made| made.wallet_pubkey);
    assert_refused(create(person(1)), ErrorCode::Restricted, "must have been paid");
    for owner in [person(1), person(2)] {
        world.give(owner, 5);
    }
    let (first, second) = (create(person(1)).unwrap(), create(person(1)).unwrap());
    assert_ne!(first, second, "each has a key of its own");
    assert_refused(create(person(1)), ErrorCode::Restricted, "too many connections");
    create(person(2)).unwrap();
    assert_refused(create(person(2)), ErrorCode::Restricted, "too many connections");
    world.call(person(1), &RevokeConnection { wallet_pubkey: first }, NOW).unwrap();
    create(person(2)).unwrap();
    let listed = world.call(person(1), &ListConnections {}, NOW).unwrap().connections;
    assert_eq!(listed.iter().map(|one| one.wallet_pubkey).collect::<Vec<_>>(), [second]);
    for bad in [
        CreateConnection { expires_at: Some(UnixSecs(1)), ..wanted(person(5), &SPEND) },
        CreateConnection { notification_types: vec!["gossip".to_owned()], ..wanted(person(5), &SPEND) },
    ] {
        assert_eq!(world.call(person(2), &bad, NOW).unwrap_err().code, ErrorCode::Other);
    }
}

#[test]
fn connections_whose_time_is_over_take_their_place_and_are_not_served() {
    let mut setup = Setup::new();
    setup.limits.connections_per_key = 2;
    let world = World::with(setup);
    world.give(person(1), 5);
    let brief = CreateConnection { expires_at: Some(NOW), ..wanted(person(5), &SPEND) };
    world.call(person(1), &brief, NOW).unwrap();
    let later = NOW.plus_secs(1);
    world.call(person(1), &CreateConnection { expires_at: Some(later), ..brief.clone() }, later).unwrap();
    assert_eq!(world.wallet().connections().borrow().len(), 1, "the first has ended");
    let third = world.call(person(1), &wanted(person(5), &SPEND), later);
    assert_refused(third, ErrorCode::Restricted, "too many connections");
    let listed = world.call(person(1), &ListConnections {}, later).unwrap().connections;
    assert_eq!(listed.len(), 2, "their owner sees what takes the places");
    world.wallet().upkeep(later.plus_secs(1)).unwrap();
    assert_eq!(*world.wallet().connections().borrow().as_ref(), []);
    world.call(person(1), &wanted(person(5), &SPEND), later.plus_secs(86_401)).unwrap();
}

#[test]
fn a_refused_revocation_is_told_to_nobody() {
    let one = Linked::new(&wanted(person(5), &SPEND));
    let mut told = one.world.wallet().connections();
    told.mark_unchanged();
    let revoke = RevokeConnection { wallet_pubkey: one.service };
    one.world.call(person(6), &revoke, NOW).unwrap_err();
    assert!(!told.has_changed().unwrap());
    one.world.call(one.owner, &revoke, NOW).unwrap();
    assert!(told.has_changed().unwrap());
}

#[test]
fn a_connection_hears_only_the_notifications_that_it_was_given() {
    let mut one = Linked::new(&CreateConnection {
        notification_types: vec!["payment_received".to_owned()],
        ..wanted(person(5), &SPEND)
    });
    for _ in 0..2 {
        let heard = |kind| one.world.wallet().listeners(&one.owner, kind, NOW).len();
        assert_eq!((heard("payment_received"), heard("payment_sent")), (1, 0));
        let Ok(ResultBody::GetInfo(info)) = one.ask(Request::GetInfo(GetInfo {})) else { panic!() };
        assert_eq!(info.notifications, ["payment_received"]);
        one.world.reopen().unwrap();
    }
}

#[test]
fn connections_of_before_are_the_houses_when_it_next_asks_for_their_owner() {
    let (owner, world) = (person(1), World::new());
    world.give(owner, 1_000);
    let count = |column: &str| -> i64 {
        let raw = rusqlite::Connection::open(world.dir.path().join("wallet.db")).unwrap();
        raw.query_row(&format!("SELECT {column} FROM connections_size"), [], |row| row.get(0)).unwrap()
    };
    let connect = |n| Request::CreateConnection(wanted(person(n), &SPEND));
    // As a release left them that did not note who made them.
    for n in 5..8 {
        world.ask(owner, connect(n)).unwrap();
    }
    assert_eq!((count("house"), count("others")), (0, 3));
    world.ask(owner, Request::ListConnections(ListConnections {})).unwrap();
    assert_eq!((count("house"), count("others")), (0, 3), "its owner is no house");
    outcome(world.handle_of_house(owner, 1, Request::ListConnections(ListConnections {}))).unwrap();
    assert_eq!((count("house"), count("others")), (3, 0));
    world.ask(owner, connect(8)).unwrap();
    outcome(world.handle_of_house(owner, 2, connect(9))).unwrap();
    assert_eq!((count("house"), count("others")), (5, 0));
    world.audit();
}

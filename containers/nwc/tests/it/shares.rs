//! Whoever has most gives way: what a few keys with dust can take is never what somebody with little asks for.

mod file;
mod free;
mod pools;

use std::cell::Cell;
use std::sync::Arc;

use nostr::event::EventId;
use nostr::key::PublicKey;
use nostr::nips::nip19::ToBech32;
use nwc::config::Limits;
use nwc::lightning::NodeEvent;
use nwc::service::{Answer, Asked, Door, Handled, InvoiceQuery, Notice, RequestEvent, Scheme};
use protocol::nwc::*;
use units::{Msat, UnixSecs};

use crate::support::node::foreign_invoice;
use crate::support::{NOW, ScriptedNode, Setup, World, assert_refused, outcome, person};

/// A satoshi: what opens a wallet.
const SAT: i64 = 1_000;
const CUSTOMER: u32 = 900;
const OTHER: u32 = 901;
const STRANGER: u32 = 902;
const CONTAINER: u32 = 903;

/// A wallet, and events that are all different.
struct Busy {
    world: World,
    node: Arc<ScriptedNode>,
    events: Cell<u64>,
}

impl Busy {
    fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let node = Arc::new(ScriptedNode::default());
        let mut setup = Setup { node: Some(Arc::clone(&node)), ..Setup::new() };
        setup.limits.first_msat_min = 1_000;
        setup.limits.anon_expiry_max_secs = 600;
        change(&mut setup.limits);
        Self { world: World::with(setup), node, events: Cell::new(0) }
    }

    fn event(&self, client: PublicKey, now: UnixSecs) -> RequestEvent {
        self.events.set(self.events.get() + 1);
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.events.get().to_be_bytes());
        let event = EventId::from_byte_array(id);
        RequestEvent { event, client, service: self.world.service(), scheme: Scheme::Nip44, signed_at: now }
    }

    fn handle(&self, who: u32, door: Door, request: Request, now: UnixSecs) -> Handled {
        self.world.wallet().handle_event(&self.event(person(who), now), door, request, now)
    }

    fn ask(&self, who: u32, request: Request, now: UnixSecs) -> Result<ResultBody, WalletError> {
        outcome(self.handle(who, Door::Public, request, now))
    }

    fn make(&self, who: u32, door: Door, msat: i64, now: UnixSecs) -> Result<String, WalletError> {
        let request = Request::MakeInvoice(MakeInvoice::of(Msat::new(msat)));
        let made = outcome(self.handle(who, door, request, now))?;
        let ResultBody::MakeInvoice(made) = made else { panic!("{made:?}") };
        Ok(made.invoice.unwrap())
    }

    fn pay(&self, who: u32, invoice: &str, now: UnixSecs) -> Result<ResultBody, WalletError> {
        self.ask(who, Request::PayInvoice(PayInvoice::of(invoice)), now)
    }

    /// Everybody with little goes on: another customer, somebody new, somebody over HTTP, and the house.
    #[track_caller]
    fn assert_others_go_on(&self, now: UnixSecs) {
        let paid = |by, invoice: Result<String, WalletError>| self.pay(by, &invoice.unwrap(), now).unwrap();
        paid(CUSTOMER, self.make(OTHER, Door::Public, SAT, now));
        paid(CUSTOMER, self.make(STRANGER, Door::Public, SAT, now));
        paid(OTHER, self.make(CONTAINER, Door::House, 5, now));
        let query = InvoiceQuery::parse("amount=1000").unwrap();
        let npub = person(OTHER).to_bech32().unwrap();
        let asked = Asked { local: &npub, host: None };
        let over_http = self.world.wallet().pay_offer_invoice(&asked, &query, now).unwrap();
        let over_http = serde_json::to_value(over_http).unwrap();
        paid(CUSTOMER, Ok(over_http["pr"].as_str().unwrap().to_owned()));
        let Ok(ResultBody::CreateConnection(made)) = self.ask(CUSTOMER, connect(), now) else { panic!() };
        let revoke = RevokeConnection { wallet_pubkey: made.wallet_pubkey };
        self.ask(CUSTOMER, Request::RevokeConnection(revoke), now).unwrap();
        assert!(!self.world.wallet().store().is_stopped());
        self.world.audit();
    }

    fn count(&self, sql: &str) -> i64 {
        let raw = rusqlite::Connection::open(self.world.dir.path().join("wallet.db")).unwrap();
        raw.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

fn connect() -> Request {
    Request::CreateConnection(CreateConnection::of(person(5_000), "app", &[Method::GetBalance]))
}

/// The longest answer that one may ask for: characters of four bytes each.
fn longest(expiry_secs: u32) -> MakeInvoice {
    let note = serde_json::json!({ "note": "\u{1f600}".repeat(4_000) });
    MakeInvoice {
        metadata: Metadata::new(note.as_object().unwrap().clone()),
        expiry_secs: Some(expiry_secs),
        ..MakeInvoice::of(Msat::new(SAT))
    }
}

#[test]
fn attack_25_two_keys_with_a_satoshi_and_long_answers_stop_nobody() {
    const BOUND: u32 = 2_000_000;
    let mut busy = Busy::new(|limits| limits.books_bytes_max = BOUND);
    for (who, msat) in [(1, SAT), (2, SAT), (CUSTOMER, 1_000_000)] {
        busy.world.give(person(who), msat);
    }
    busy.world.give(person(OTHER), 5_000);
    // What was answered to a customer before is still known afterwards.
    let early = busy.event(person(CUSTOMER), NOW);
    let request = Request::MakeInvoice(MakeInvoice::of(Msat::new(7)));
    let answered = busy.world.wallet().handle_event(&early, Door::Public, request.clone(), NOW).text();
    let attack = Request::MakeInvoice(longest(1));
    let first = busy.event(person(1), NOW);
    assert!(outcome(busy.world.wallet().handle_event(&first, Door::Public, attack.clone(), NOW)).is_ok());
    let mut now = NOW;
    for n in 0..200 {
        now = now.plus_secs(2);
        // They are not stopped either: what they lose is what was remembered of them.
        busy.ask(1 + n % 2, attack.clone(), now).unwrap();
        if n % 50 == 49 {
            busy.assert_others_go_on(now);
        }
    }
    let again = busy.world.wallet().handle_event(&early, Door::Public, request, now);
    assert_eq!(again.answer, Answer::Again(answered.unwrap()));
    // An event that may have been answered is not acted on once more.
    let again = busy.world.wallet().handle_event(&first, Door::Public, attack.clone(), now);
    assert_refused(outcome(again), ErrorCode::RateLimited, "ask again with a new one");
    let answers = busy.count("SELECT bytes FROM request_bytes");
    // With the last one.
    assert!(answers <= i64::from(BOUND) / 4 + 20_000, "{answers}");
    assert_eq!(
        answers,
        busy.count(
            "SELECT (SELECT sum(400 + coalesce(octet_length(reply), 0)) FROM request WHERE house = 0)
                 + 200 * (SELECT count(*) FROM answers_of)"
        )
    );
    busy.world.reopen_at(now).unwrap();
    busy.assert_others_go_on(now);
    // Twenty minutes later nothing of it is left.
    let later = now.plus_secs(1_300);
    let request = busy.handle(1, Door::Public, Request::MakeInvoice(MakeInvoice::of(Msat::new(7))), later);
    assert!(outcome(request).is_ok());
}

#[test]
fn attack_25_very_many_short_answers_of_keys_with_a_satoshi_stop_nobody() {
    let busy = Busy::new(|limits| limits.books_bytes_max = 2_000_000);
    busy.world.give(person(CUSTOMER), 1_000_000);
    busy.world.give(person(OTHER), 5_000);
    for who in 0..20 {
        busy.world.give(person(100 + who), SAT);
    }
    // Refusals are remembered, too: of each some five hundred bytes, together twice what there is room for.
    let pay_nothing =
        Request::PayInvoice(PayInvoice::of(busy.make(OTHER, Door::Public, 90_000, NOW).unwrap()));
    for n in 0..1_600 {
        let refused = busy.ask(100 + n % 20, pay_nothing.clone(), NOW.plus_secs(u64::from(n / 8)));
        assert_eq!(refused.unwrap_err().code, ErrorCode::InsufficientBalance, "{n}");
    }
    assert!(busy.count("SELECT count(*) FROM answers_of WHERE forgotten_until > 0") > 10);
    busy.assert_others_go_on(NOW.plus_secs(200));
}

#[test]
fn attack_25_one_satoshi_through_fresh_keys_leaves_nothing_behind() {
    const BOUND: u32 = 2_000_000;
    const HOPS: u32 = 1_500;
    let mut busy = Busy::new(|limits| (limits.books_bytes_max, limits.journal_max) = (BOUND, 100));
    busy.world.give(person(CUSTOMER), 1_000_000);
    busy.world.give(person(OTHER), 5_000);
    busy.world.give(person(10_000), SAT);
    let mut now = NOW;
    for n in 0..HOPS {
        now = now.plus_secs(1);
        let invoice = busy.world.invoice_at(person(10_001 + n), SAT, now).unwrap();
        busy.world.pay_at(person(10_000 + n), &invoice, now).unwrap();
        if n % 25 == 0 {
            busy.world.wallet().upkeep(now).unwrap();
        }
        if n % 500 == 0 {
            busy.world.audit();
        }
    }
    busy.world.wallet().upkeep(now).unwrap();
    // What is left is what the history still tells of.
    let (accounts, told) = (
        busy.count("SELECT count(*) FROM ledger_account"),
        busy.count("SELECT count(*) FROM history_of WHERE items > 0"),
    );
    assert!(
        accounts < i64::from(HOPS) / 2 && accounts <= told + 120,
        "{accounts} accounts, {told} with history"
    );
    assert!(busy.count("SELECT count(*) FROM history_of") <= told + 120);
    let file = std::fs::metadata(busy.world.dir.path().join("wallet.db")).unwrap().len();
    assert!(file <= u64::from(BOUND), "{file}");
    busy.assert_others_go_on(now);
    assert_eq!(busy.world.balance(person(10_000 + HOPS)), SAT);
    // Paid again, a key whose account went has a wallet as any other.
    busy.world.reopen_at(now).unwrap();
    let invoice = busy.world.invoice_at(person(10_001), SAT, now).unwrap();
    busy.world.pay_at(person(10_000 + HOPS), &invoice, now).unwrap();
    assert_eq!(busy.world.balance(person(10_001)), SAT);
    busy.world.audit();
}

#[test]
fn attack_25_dust_in_very_many_keys_is_bounded_and_stops_nobody() {
    // A file so small has room for 488 accounts with dust.
    let busy = Busy::new(|limits| limits.books_bytes_max = 2_000_000);
    busy.world.give(person(CUSTOMER), 1_000_000);
    busy.world.give(person(OTHER), 5_000);
    let hop = |n: u32, msat| {
        let invoice = busy.world.invoice_at(person(20_001 + n), msat, NOW).unwrap();
        busy.world.pay_at(person(20_000 + n), &invoice, NOW)
    };
    busy.world.give(person(20_000), 100_000);
    let left = (0..600).find(|n| hop(*n, 99_999 - i64::from(*n)).is_err()).unwrap();
    assert_eq!(left, 488);
    assert_refused(hop(left, 99_000), ErrorCode::PaymentFailed, "leave nothing");
    hop(left, 100_000 - i64::from(left)).unwrap();
    // Nor does an account that was emptied ask for dust.
    let asked = busy.world.invoice_at(person(20_000 + left), 1, NOW);
    assert_refused(asked, ErrorCode::PaymentFailed, "at least");
    busy.assert_others_go_on(NOW);
}

#[test]
fn attack_25_keys_with_a_satoshi_do_not_stop_others_from_receiving() {
    let busy = Busy::new(|limits| {
        (limits.open_per_key, limits.open_unfunded, limits.open_total) = (10, 20, 40);
    });
    let attackers = [1, 2, 3, 4];
    for who in attackers {
        busy.world.give(person(who), SAT);
    }
    busy.world.give(person(CUSTOMER), 1_000_000);
    busy.world.give(person(OTHER), 5_000);
    let day =
        Request::MakeInvoice(MakeInvoice { expiry_secs: Some(86_400), ..MakeInvoice::of(Msat::new(SAT)) });
    let fill = || attackers.map(|who| (0..11).filter(|_| busy.ask(who, day.clone(), NOW).is_ok()).count());
    assert_eq!(fill(), [10; 4]);
    // A customer's is open however the attackers go on, and somebody new gets a first one.
    let (open, first) = (
        busy.make(CUSTOMER, Door::Public, 7_000, NOW).unwrap(),
        busy.make(STRANGER, Door::Public, 7_000, NOW).unwrap(),
    );
    fill();
    busy.assert_others_go_on(NOW);
    fill();
    busy.pay(OTHER, &open, NOW).unwrap_err();
    busy.world.give(person(OTHER), 50_000);
    busy.pay(OTHER, &open, NOW).unwrap();
    busy.pay(OTHER, &first, NOW).unwrap();
    let open = busy.count("SELECT max(items) FROM open_of");
    let holders = busy.count("SELECT items FROM open_pool WHERE asked_by = 'payee' AND unfunded = 0");
    assert!(open <= 10 && holders <= 40, "{open} {holders}");
    // Free keys share what is for those without money: who has one does not keep out who has none.
    for who in 200..202 {
        (0..10).for_each(|_| drop(busy.ask(who, day.clone(), NOW)));
    }
    for who in 300..310 {
        busy.make(who, Door::Public, SAT, NOW).unwrap();
    }
    assert!(busy.count("SELECT unfunded FROM open_invoices") <= 20);
    busy.world.audit();
}

#[test]
fn attack_25_open_invoices_take_an_eighth_of_the_file_and_the_longest_give_way() {
    let busy = Busy::new(|limits| limits.books_bytes_max = 2_000_000);
    for who in [1, 2] {
        busy.world.give(person(who), SAT);
    }
    busy.world.give(person(CUSTOMER), 1_000_000);
    busy.world.give(person(OTHER), 5_000);
    let made = [1, 2].map(|who| {
        (0..50).filter(|_| busy.ask(who, Request::MakeInvoice(longest(86_400)), NOW).is_ok()).count()
    });
    assert!(made.iter().sum::<usize>() < 25, "{made:?}");
    assert!(busy.count("SELECT sum(bytes) FROM open_pool") <= 250_000);
    busy.assert_others_go_on(NOW);
}

#[test]
fn attack_25_keys_with_a_satoshi_do_not_take_all_connections() {
    let busy = Busy::new(|limits| (limits.connections_per_key, limits.connections_total) = (4, 12));
    busy.world.give(person(CUSTOMER), 1_000_000);
    busy.world.give(person(OTHER), 5_000);
    let made = |who| busy.ask(who, connect(), NOW).is_ok();
    // The same satoshi goes from one to the next.
    busy.world.give(person(1), SAT);
    for who in 1..=3 {
        assert_eq!((0..5).filter(|_| made(who)).count(), 4);
        busy.world.pay(person(who), &busy.world.invoice(person(who + 1), SAT)).unwrap();
    }
    assert!((0..3).all(|_| made(CUSTOMER)), "they give way");
    assert!(made(OTHER));
    assert!((1..=4).map(|who| (0..5).filter(|_| made(who)).count()).sum::<usize>() < 20);
    let of = |who: u32| busy.world.call(person(who), &ListConnections {}, NOW).unwrap().connections.len();
    assert_eq!((of(CUSTOMER), of(OTHER), (1..=4).map(of).sum::<usize>()), (3, 1, 8));
    // What gave way works no more; the house's are counted apart.
    assert_eq!(busy.world.wallet().connections().borrow().len(), 12);
    busy.world.pay(person(CUSTOMER), &busy.world.invoice(person(CONTAINER), SAT)).unwrap();
    for _ in 0..4 {
        outcome(busy.handle(CONTAINER, Door::House, connect(), NOW)).unwrap();
    }
    assert_eq!((of(CONTAINER), of(CUSTOMER)), (4, 3));
    // And so many in all.
    for who in [CONTAINER + 1, CONTAINER + 2, CONTAINER + 3] {
        busy.world.give(person(who), SAT);
        let made = (0..4).map(|_| outcome(busy.handle(who, Door::House, connect(), NOW)));
        let expected = if who == CONTAINER + 3 { 0 } else { 4 };
        assert_eq!(made.filter(Result::is_ok).count(), expected, "{who}");
    }
    busy.assert_others_go_on(NOW);
}

#[test]
fn attack_25_requests_that_join_payments_keep_no_payment_of_others_from_being_made() {
    let busy = Busy::new(|limits| (limits.waiting_per_payment, limits.waiting_total) = (3, 4));
    for who in [1, CUSTOMER] {
        busy.world.give(person(who), 1_000_000);
    }
    let ask = |who, seed| {
        let (invoice, ..) = foreign_invoice(seed, Msat::new(5_000), NOW);
        busy.handle(who, Door::Public, Request::PayInvoice(PayInvoice::of(invoice)), NOW)
    };
    for seed in [1, 1, 1, 2, 2, 2, 3] {
        assert!(ask(1, seed).waits_for().is_some());
    }
    for seed in [1, 3] {
        assert_refused(outcome(ask(1, seed)), ErrorCode::RateLimited, "look it up");
    }
    // The first that waits is never one too many; one that joins has another answered that joined before.
    assert!(ask(CUSTOMER, 4).waits_for().is_some());
    let joined = ask(CUSTOMER, 4);
    assert!(joined.waits_for().is_some());
    let [Notice::Late(answered)] = joined.notices.as_slice() else { panic!("{joined:?}") };
    assert_eq!(answered.to.client, person(1));
    assert!(answered.text.contains("look it up instead"), "{}", answered.text);
    // Its payment is not touched, and its first request is told the end.
    let (_, payment_hash, preimage) = foreign_invoice(2, Msat::new(5_000), NOW);
    let settled = NodeEvent::PaymentSettled { payment_hash, preimage, fee: Msat::ZERO };
    let told = busy.world.wallet().on_node_event(settled, busy.node.as_ref(), NOW).unwrap().notices;
    assert_eq!(told.iter().filter(|one| matches!(one, Notice::Late(_))).count(), 2, "{told:?}");
    busy.world.audit();
}

#[test]
fn attack_25_the_last_places_in_channels_and_holds_are_for_what_is_worth_more() {
    let busy = Busy::new(|limits| (limits.in_flight_per_key, limits.in_flight_total) = (10, 16));
    for who in [1, 2, CUSTOMER] {
        busy.world.give(person(who), 10_000_000);
    }
    let pay = |who, seed, msat| {
        let (invoice, ..) = foreign_invoice(seed, Msat::new(msat), NOW);
        busy.handle(who, Door::Public, Request::PayInvoice(PayInvoice::of(invoice)), NOW)
    };
    let begun =
        (1..40).filter(|seed| pay(1 + u32::from(*seed) % 2, *seed, SAT).waits_for().is_some()).count();
    assert_eq!(begun, 9, "a half, and the one after it");
    assert_refused(outcome(pay(CUSTOMER, 50, SAT)), ErrorCode::RateLimited, "so small an amount");
    assert!(pay(CUSTOMER, 51, 5_000_000).waits_for().is_some());
    busy.world.audit();
}

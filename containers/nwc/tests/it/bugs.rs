//! The reference's bugs, each of which must not come back. (h, notifications in one encryption only, is
//! the transport's.)

use nwc::lightning::{CannotPay, Dispatch, NodeEvent};
use protocol::nwc::*;
use sha2::{Digest, Sha256};
use units::{Msat, UnixSecs};

use crate::support::node::{amountless_invoice, foreign_invoice};
use crate::support::{NOW, Setup, World, assert_refused, person};

fn pay_with_amount(
    world: &World,
    payer: nostr::key::PublicKey,
    invoice: &Transaction,
    msat: i64,
) -> Result<ResultBody, WalletError> {
    let request =
        PayInvoice { amount: Some(Msat::new(msat)), ..PayInvoice::of(invoice.invoice.clone().unwrap()) };
    world.ask(payer, Request::PayInvoice(request))
}

#[test]
fn bug_a_amount_overrides_invoice_is_refused() {
    let world = World::new();
    let (alice, bob) = (person(1), person(2));
    world.give(alice, 10_000);
    let invoice = world.invoice(bob, 5_000);
    for msat in [1, 4_999, 5_001, 10_000, i64::MAX] {
        let refused = pay_with_amount(&world, alice, &invoice, msat);
        assert_refused(refused, ErrorCode::Other, "5000 msat");
        world.assert_unmoved(&[alice, bob], &[10_000, 0]);
    }
    let text = format!(
        r#"{{"method":"pay_invoice","params":{{"invoice":"{}","amount":-5000}}}}"#,
        invoice.invoice.clone().unwrap()
    );
    assert!(Request::from_json(&text).is_err(), "a negative amount is no request at all");
    pay_with_amount(&world, alice, &invoice, 5_000).unwrap();
    world.assert_unmoved(&[alice, bob], &[5_000, 5_000]);
}

#[test]
fn bug_b_an_invoice_for_an_invalid_zap_request_is_not_made() {
    let world = World::new();
    let bad = Request::MakeInvoiceFor(MakeInvoiceFor {
        pubkey: person(2),
        invoice: MakeInvoice::of(Msat::new(1_000)),
        zap_request: Some("{\"kind\":9734}".to_owned()),
    });
    assert_refused(world.ask(person(1), bad), ErrorCode::Other, "zap request");
    let unpaid = ListTransactions { unpaid: Some(true), ..ListTransactions::default() };
    assert_eq!(world.list(person(2), unpaid), []);
}

#[test]
fn bug_c_an_error_neither_frees_money_nor_deletes_rows() {
    let (world, node) = World::on_lightning();
    let (alice, bob) = (person(1), person(2));
    world.give(alice, 100_000);
    // An error after the hand-over says nothing about the payment: the money stays set aside.
    let (invoice, hash, _) = foreign_invoice(1, Msat::new(50_000), NOW);
    node.next(Dispatch::Unknown("connection reset".to_owned()));
    world.handle(alice, Request::PayInvoice(PayInvoice::of(invoice.clone())), NOW);
    assert_eq!((world.balance(alice), world.account(ledger::Account::Hold)), (40_000, 60_000));
    assert_eq!(world.lookup(alice, hash).unwrap().state, Some(TransactionState::Pending));
    // A failed payment of somebody's invoice leaves the invoice and settled rows alone.
    let own = world.invoice(bob, 70_000);
    assert_refused(world.pay(alice, &own), ErrorCode::InsufficientBalance, "balance");
    assert_eq!(world.lookup(bob, own.payment_hash).unwrap(), own);
    let settled = world.invoice(bob, 1_000);
    world.pay(alice, &settled).unwrap();
    assert_refused(world.pay(person(0), &settled), ErrorCode::PaymentFailed, "somebody else");
    assert_eq!(world.lookup(alice, settled.payment_hash).unwrap().state, Some(TransactionState::Settled));
    world.audit();
}

#[test]
fn bug_d_a_payment_in_flight_is_remembered_across_a_crash() {
    let (mut world, node) = World::on_lightning();
    let alice = person(1);
    world.give(alice, 100_000);
    let (invoice, hash, preimage) = foreign_invoice(1, Msat::new(80_000), NOW);
    world.handle(alice, Request::PayInvoice(PayInvoice::of(invoice.clone())), NOW);
    world.reopen().unwrap();
    assert_eq!(world.balance(alice), 10_000, "still set aside");
    assert_refused(
        world.pay(alice, &world.invoice(person(2), 10_001)),
        ErrorCode::InsufficientBalance,
        "balance",
    );
    let again = world.handle(alice, Request::PayInvoice(PayInvoice::of(invoice)), NOW);
    assert_eq!(again.answer, nwc::service::Answer::WhenSettled(hash));
    assert_eq!(node.handed_over().len(), 1, "not sent again");
    let settled = NodeEvent::PaymentSettled { payment_hash: hash, preimage, fee: Msat::new(3) };
    world.wallet().on_node_event(settled, node.as_ref(), NOW).unwrap();
    assert_eq!(world.balance(alice), 19_997);
    world.audit();
}

#[test]
fn bug_e_lookup_is_scoped_to_the_caller() {
    let world = World::new();
    let (payee, payer, other) = (person(2), person(0), person(3));
    let open = world.invoice(payee, 5);
    let paid = world.invoice(payee, 6);
    world.pay(payer, &paid).unwrap();
    for transaction in [&open, &paid] {
        let by_invoice = LookupInvoice { payment_hash: None, invoice: transaction.invoice.clone() };
        for request in [LookupInvoice::by_hash(transaction.payment_hash), by_invoice] {
            assert_refused(world.ask(other, Request::LookupInvoice(request)), ErrorCode::NotFound, "no such");
        }
    }
    // Who asked for an invoice that pays somebody else has not paid it and does not own it.
    let request = MakeInvoiceFor { pubkey: payee, invoice: MakeInvoice::of(Msat::new(7)), zap_request: None };
    let made = world.call(other, &request, NOW).unwrap();
    assert_eq!(made.preimage, None);
    assert_refused(world.lookup(other, made.payment_hash), ErrorCode::NotFound, "no such");
    assert!(world.lookup(payee, made.payment_hash).is_ok());
}

#[test]
fn bug_f_each_error_has_its_own_code() {
    let (world, node) = World::on_lightning();
    let mut setup = Setup::new();
    setup.limits.open_per_key = 1;
    setup.admin = Some(person(5));
    let strict = World::with(setup);
    strict.invoice(person(0), 1);
    node.is_unreachable("no channel");
    let (foreign, ..) = foreign_invoice(1, Msat::new(5), NOW);
    let codes = [
        world.pay(person(1), &world.invoice(person(2), 5)).unwrap_err().code,
        world.lookup(person(1), PaymentHash::from_bytes([0; 32])).unwrap_err().code,
        world.ask(person(1), Request::Unknown("x".to_owned())).unwrap_err().code,
        world.ask(person(1), Request::PayInvoice(PayInvoice::of(foreign))).unwrap_err().code,
        world.ask(person(1), Request::PayInvoice(PayInvoice::of("lnbc1"))).unwrap_err().code,
        strict.invoice_at(person(0), 1, NOW).unwrap_err().code,
        strict.invoice_at(person(1), 1, NOW).unwrap_err().code,
    ];
    let expected = [
        ErrorCode::InsufficientBalance,
        ErrorCode::NotFound,
        ErrorCode::NotImplemented,
        ErrorCode::PaymentFailed,
        ErrorCode::Other,
        ErrorCode::RateLimited,
        ErrorCode::Restricted,
    ];
    assert_eq!(codes, expected);
}

#[test]
fn bug_g_a_payment_request_replayed_much_later_pays_once() {
    let mut world = World::new();
    let (alice, bob) = (person(1), person(2));
    world.give(alice, 10_000);
    let invoice = world.invoice(bob, 4_000);
    let ask = |world: &World, event, now| {
        let request = Request::PayInvoice(PayInvoice::of(invoice.invoice.clone().unwrap()));
        world.handle_event(alice, event, request, now).text().unwrap()
    };
    let first = ask(&world, 1, NOW);
    PayInvoice::parse_reply(&first).unwrap();
    for hours in [0, 1, 1_000] {
        world.reopen().unwrap();
        let later = UnixSecs(NOW.0 + hours * 3_600);
        // The same event, and the same invoice in another one.
        assert_eq!(ask(&world, 1, later), first);
        let proof = PayInvoice::parse_reply(&ask(&world, 2, later)).unwrap();
        assert_eq!(PayInvoice::parse_reply(&first).unwrap(), proof);
        world.assert_unmoved(&[alice, bob], &[6_000, 4_000]);
    }
}

#[test]
fn bug_i_the_invoice_commits_to_the_zap_request_as_it_was_received() {
    use nostr::event::{EventBuilder, FinalizeEvent, Kind, Tag};
    let world = World::new();
    let bob = person(2);
    let tags =
        [["p", &bob.to_hex()], ["relays", "wss://relay.example.com"]].map(|tag| Tag::parse(tag).unwrap());
    let keys = nostr::key::Keys::generate();
    let event = EventBuilder::new(Kind::from_u16(9_734), "nice").tags(tags).finalize(&keys).unwrap();
    // Another spelling of the same event: what counts is the text.
    let raw = event.as_json().replacen('{', "{ ", 1);
    let request = MakeInvoiceFor {
        pubkey: bob,
        invoice: MakeInvoice {
            description: Some("sats for bob".to_owned()),
            ..MakeInvoice::of(Msat::new(1_000))
        },
        zap_request: Some(raw.clone()),
    };
    let made = world.call(person(1), &request, NOW).unwrap();
    let hash: [u8; 32] = Sha256::digest(&raw).into();
    let bolt11 = nwc::lightning::Bolt11::parse(made.invoice.as_deref().unwrap()).unwrap();
    assert_eq!(bolt11.description_hash().map(|hash| *hash.as_bytes()), Some(hash));
    // Paid, it gives what a receipt is made of, with the text unchanged and a real preimage.
    let pay = Request::PayInvoice(PayInvoice::of(made.invoice.clone().unwrap()));
    let handled = world.handle(person(0), pay, NOW);
    let [_, nwc::service::Notice::Zap, _] = handled.notices.as_slice() else { panic!("{handled:?}") };
    let [receipt] = world.wallet().due_receipts(NOW, 9).unwrap().try_into().unwrap();
    assert_eq!((&receipt.request, Some(&receipt.bolt11)), (&raw, made.invoice.as_ref()));
    assert_eq!((receipt.paid_at, receipt.relays.len()), (NOW, 1));
    assert_eq!(crate::support::node::hash_of(&receipt.preimage), made.payment_hash);
}

#[test]
fn bug_j_a_slow_node_holds_up_nobody_else() {
    use std::sync::mpsc::sync_channel;
    let (world, node) = World::on_lightning();
    world.give(person(1), 100_000);
    let (invoice, hash, _) = foreign_invoice(1, Msat::new(5), NOW);
    let (entered, wait_entered) = sync_channel(0);
    let (leave, wait_leave) = sync_channel::<()>(0);
    node.pause_in_next_payment(entered, wait_leave);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| world.handle(person(1), Request::PayInvoice(PayInvoice::of(invoice)), NOW));
        wait_entered.recv().unwrap();
        // The node is inside its call; payments, invoices and reads of others go on.
        world.give(person(2), 7);
        assert_eq!(world.balance(person(2)), 7);
        leave.send(()).unwrap();
        assert_eq!(slow.join().unwrap().answer, nwc::service::Answer::WhenSettled(hash));
    });
    world.audit();
}

#[test]
fn bug_k_fees_are_finite_for_every_amount() {
    let reserve = nwc::service::FeeReserve::default();
    for msat in [1, 999, 1_000, i64::MAX / 2, i64::MAX] {
        let fee = reserve.of(Msat::new(msat)).msat();
        assert!((10_000..=i64::MAX / 100 + 1).contains(&fee), "{msat}: {fee}");
    }
    // An amount whose reserve leaves the range is refused, not wrapped.
    let (world, node) = World::on_lightning();
    let (invoice, ..) = foreign_invoice(1, Msat::new(1_000_000_000_000_000_000), NOW);
    let refused = world.ask(person(0), Request::PayInvoice(PayInvoice::of(invoice)));
    assert_refused(refused, ErrorCode::InsufficientBalance, "balance");
    let (invoice, ..) = amountless_invoice(2, NOW);
    let wanted = PayInvoice { amount: Some(Msat::new(i64::MAX)), ..PayInvoice::of(invoice) };
    let refused = world.ask(person(0), Request::PayInvoice(wanted));
    assert_refused(refused, ErrorCode::Other, "out of range");
    assert_eq!(node.handed_over(), []);
    world.audit();
}

#[test]
fn bug_l_get_info_lists_only_methods_of_the_nip() {
    let world = World::new();
    let info = world.call(person(1), &GetInfo {}, NOW).unwrap();
    assert_eq!(info.methods, Method::NIP);
}

#[test]
fn a_refusal_by_the_node_returns_the_money_and_says_why() {
    let (world, node) = World::on_lightning();
    world.give(person(1), 100_000);
    let (invoice, hash, _) = foreign_invoice(1, Msat::new(5_000), NOW);
    node.next(Dispatch::Refused(CannotPay("the node is not running".into())));
    let refused = world.ask(person(1), Request::PayInvoice(PayInvoice::of(invoice)));
    assert_refused(refused, ErrorCode::PaymentFailed, "not running");
    assert_eq!(world.balance(person(1)), 100_000);
    assert_eq!(world.lookup(person(1), hash).unwrap().state, Some(TransactionState::Failed));
    world.audit();
}

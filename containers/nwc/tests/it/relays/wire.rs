//! What goes over the wire: announcements, encryption, replies, notifications, bounds.

use nostr::key::Keys;
use protocol::event::{sign, tag_value};
use protocol::kinds::{NWC_INFO, NWC_NOTIFICATION, NWC_NOTIFICATION_NIP04, NWC_REQUEST, WALLET_ANNOUNCEMENT};
use protocol::nwc::*;
use protocol::tag;
use units::{Clock, Msat, SystemClock};

use super::world::{Client, Served, Speaks, TestRelay, stored};

const MULTI: &str = r#"{"method":"multi_pay_invoice","params":{"invoices":[]}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_relay_has_the_info_event_and_gets_it_again_after_it_forgot_everything() {
    let (one, other) = (TestRelay::start(), TestRelay::start());
    let served = Served::start(&[&one, &other], &[]).await;
    for relay in [&one, &other] {
        let info = stored(&relay.url(), NWC_INFO, served.service()).await;
        assert_eq!(tag_value(&info, "encryption"), Some("nip44_v2 nip04"));
        assert_eq!(
            tag_value(&info, "notifications"),
            Some("payment_received payment_sent hold_invoice_accepted")
        );
        let words: Vec<&str> = info.content.split(' ').collect();
        for word in
            ["pay_invoice", "make_hold_invoice", "make_invoice_for", "create_connection", "notifications"]
        {
            assert!(words.contains(&word), "{word}: {}", info.content);
        }
        for word in ["pay_keysend", "multi_pay_invoice"] {
            assert!(!words.contains(&word), "{word}: {}", info.content);
        }
    }
    let address = other.address;
    drop(other);
    let other = TestRelay::start_at(address);
    stored(&other.url(), NWC_INFO, served.service()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_event_tells_limits_and_fees_as_the_references_clients_read_them() {
    let relay = TestRelay::start();
    let settings = [
        ("NWC_FEE_PAYMENT_MSAT", "1000"),
        ("NWC_FEE_PAYMENT_PPM", "4000"),
        ("NWC_FEE_RESERVE_PPM", "0"),
        ("NWC_FEE_RESERVE_MSAT", "0"),
        ("NWC_FEE_HOLDING_MSAT", "1000"),
        ("NWC_MAX_BALANCE_MSAT", "2000000000"),
        ("NWC_MAX_INVOICE_MSAT", "100000000"),
    ];
    let served = Served::start(&[&relay], &settings).await;
    let event = stored(&relay.url(), WALLET_ANNOUNCEMENT, served.service()).await;
    for (name, value) in [
        ("o", "true"),
        ("relay", relay.url().as_str()),
        ("minSendable", "1"),
        ("maxSendable", "100000000"),
        ("maxBalance", "2000000000"),
        ("liquidityFeeRate", "0.0000"),
        ("paymentFeeRate", "0.0040"),
        ("paymentFeeBase", "1000"),
        ("walletFeeBase", "1000"),
        ("walletFeePeriod", "86400"),
    ] {
        assert_eq!(tag_value(&event, name), Some(value), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_in_the_encryption_that_they_came_in() {
    let relay = TestRelay::start();
    let served = Served::start(&[&relay], &[]).await;
    for speaks in [Speaks::Nip44, Speaks::Nip04] {
        let mut client = served.client().await;
        client.speaks = speaks;
        let info = client.call(&GetInfo {}).await.unwrap();
        assert_eq!(info.methods, Method::NIP);
        let refused = client.ask(MULTI).await;
        assert!(
            refused.starts_with(r#"{"result_type":"multi_pay_invoice","error":{"code":"NOT_IMPLEMENTED""#),
            "{refused}"
        );
        assert!(refused.ends_with(r#""result":null}"#), "{refused}");
        let keysend = client.ask(r#"{"method":"pay_keysend","params":{"amount":1,"pubkey":"02"}}"#).await;
        assert!(keysend.contains("NOT_IMPLEMENTED"), "{keysend}");
        let malformed = client.ask("{").await;
        assert!(malformed.contains(r#""code":"OTHER""#), "{malformed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encryption_that_is_not_what_the_tag_says_is_an_error_and_never_guessed() {
    let relay = TestRelay::start();
    let served = Served::start(&[&relay], &[]).await;
    let mut client = served.client().await;
    client.call(&GetInfo {}).await.unwrap();
    let ask = GetBalance {}.request_json();
    let (nip44, p) = (client.event(&ask, Vec::new()).content.clone(), tag!["p", served.service().to_hex()]);
    let event = |tags, content| sign(&client.keys, NWC_REQUEST, SystemClock.now(), tags, content).unwrap();
    let unknown = event(vec![p.clone(), tag!["encryption", "nip99"]], nip44.clone());
    let mislabelled = event(vec![p], nip44);
    let text = client.ask_event(&unknown).await;
    assert!(text.contains("UNSUPPORTED_ENCRYPTION"), "{text}");
    // Without a tag it is NIP-04, and so is the answer.
    client.speaks = Speaks::Nip04;
    let text = client.ask_event(&mislabelled).await;
    assert!(text.contains(r#""code":"OTHER""#) && text.contains("encryption tag"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_old_and_misdirected_requests_get_no_answer_and_do_nothing() {
    let relay = TestRelay::start();
    let served = Served::start(&[&relay], &[]).await;
    let mut client = served.client().await;
    client.call(&GetInfo {}).await.unwrap();
    let text = MakeInvoice::of(Msat::new(5)).request_json();
    let now = SystemClock.now();
    let content = client.event(&text, Vec::new()).content.clone();
    let p = tag!["p", served.service().to_hex()];
    let other = tag!["p", Keys::generate().public_key().to_hex()];
    let encryption = tag!["encryption", "nip44_v2"];
    for (at, tags) in [
        (now, vec![p.clone(), encryption.clone(), tag!["expiration", now.minus_secs(1)]]),
        (now, vec![p.clone(), encryption.clone(), tag!["expiration", "soon"]]),
        (now.minus_secs(601), vec![p.clone(), encryption.clone()]),
        (now, vec![p, other.clone(), encryption.clone()]),
        (now, vec![other, encryption]),
    ] {
        let event = sign(&client.keys, NWC_REQUEST, at, tags, content.clone()).unwrap();
        // A relay may refuse what has expired itself.
        client.pool.publish(&event).await;
    }
    client.assert_quiet().await;
    let wanted = ListTransactions { unpaid: Some(true), ..ListTransactions::default() };
    assert_eq!(client.call(&wanted).await.unwrap().transactions, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn bug_h_payments_are_notified_in_both_encryptions_and_to_nobody_else() {
    let relay = TestRelay::start();
    let served = Served::start(&[&relay], &[]).await;
    let (mut payee, mut stranger, mut payer) =
        (served.client().await, served.client().await, served.rich_client().await);
    let invoice = payee.call(&MakeInvoice::of(Msat::new(7))).await.unwrap();
    payer.call(&PayInvoice::of(invoice.invoice.unwrap())).await.unwrap();
    for kind in [NWC_NOTIFICATION, NWC_NOTIFICATION_NIP04] {
        let Notification::PaymentReceived(got) = payee.notification(kind).await else {
            panic!("not received")
        };
        assert_eq!((got.payment_hash, got.amount), (invoice.payment_hash, Msat::new(7)));
        let Notification::PaymentSent(sent) = payer.notification(kind).await else { panic!("not sent") };
        assert_eq!((sent.payment_hash, sent.preimage), (invoice.payment_hash, got.preimage));
    }
    for client in [&mut payee, &mut payer, &mut stranger] {
        client.assert_quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_its_own_service_key_info_event_and_notifications() {
    let relay = TestRelay::start();
    let served = Served::start(&[&relay], &[]).await;
    let (mut owner, app) = (served.client().await, Keys::generate());
    served.give(&owner, 50_000).await;
    let wanted = CreateConnection {
        notification_types: vec!["payment_sent".to_owned()],
        max_amount: Some(Msat::new(1_000)),
        ..CreateConnection::of(app.public_key(), "app", &[Method::PayInvoice, Method::GetBalance])
    };
    let service = owner.call(&wanted).await.unwrap().wallet_pubkey;
    let info = stored(&relay.url(), NWC_INFO, service).await;
    assert_eq!(info.content, "pay_invoice get_balance get_info get_budget notifications");
    assert_eq!(tag_value(&info, "notifications"), Some("payment_sent"), "only what it hears");
    let deaf = CreateConnection {
        pubkey: Keys::generate().public_key(),
        notification_types: Vec::new(),
        ..wanted.clone()
    };
    let deaf = owner.call(&deaf).await.unwrap().wallet_pubkey;
    let info = stored(&relay.url(), NWC_INFO, deaf).await;
    assert_eq!(info.content, "pay_invoice get_balance get_info get_budget");
    assert_eq!(tag_value(&info, "notifications"), None);
    let mut app = Client::new(&served.relays, app, service).await;
    assert_eq!(app.call(&GetBalance {}).await.unwrap().balance, Msat::new(50_000));
    let invoice =
        served.client().await.call(&MakeInvoice::of(Msat::new(600))).await.unwrap().invoice.unwrap();
    app.call(&PayInvoice::of(invoice.clone())).await.unwrap();
    assert!(matches!(app.notification(NWC_NOTIFICATION).await, Notification::PaymentSent(_)));
    assert!(matches!(owner.notification(NWC_NOTIFICATION).await, Notification::PaymentReceived(_)));
    assert!(matches!(owner.notification(NWC_NOTIFICATION).await, Notification::PaymentSent(_)));
    let more = served.client().await.call(&MakeInvoice::of(Msat::new(401))).await.unwrap().invoice.unwrap();
    let refused = app.call(&PayInvoice::of(more.clone())).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::QuotaExceeded, "{refused}");
    assert_eq!(served.balance(owner.key()), 49_400);
    // At the main key it has a wallet of its own, which is empty.
    app.service = served.service();
    let mut own = Client::new(&served.relays, app.keys.clone(), served.service()).await;
    assert_eq!(own.call(&GetBalance {}).await.unwrap().balance, Msat::ZERO);
    assert_eq!(own.call(&PayInvoice::of(more)).await.unwrap_err().code, ErrorCode::InsufficientBalance);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payer_of_a_hold_invoice_is_answered_late_and_the_payee_told_at_once() {
    let relay = TestRelay::start();
    let served = Served::start(&[&relay], &[]).await;
    let (mut payee, mut payer) = (served.client().await, served.rich_client().await);
    let preimage = Preimage::from_bytes([0x31; 32]);
    let terms = MakeHoldInvoice {
        payment_hash: crate::support::node::hash_of(&preimage),
        invoice: MakeInvoice::of(Msat::new(900)),
        min_cltv_expiry_delta: None,
    };
    let invoice = payee.call(&terms).await.unwrap().invoice.unwrap();
    let request = payer.event(&PayInvoice::of(invoice).request_json(), Vec::new());
    payer.send(&request).await;
    let Notification::HoldInvoiceAccepted(held) = payee.notification(NWC_NOTIFICATION).await else {
        panic!("not accepted")
    };
    assert_eq!((held.state, held.preimage), (Some(TransactionState::Accepted), None));
    payer.assert_quiet().await;
    payee.call(&SettleHoldInvoice { preimage: preimage.clone() }).await.unwrap();
    let paid = PayInvoice::parse_reply(&payer.reply_to(request.id).await).unwrap();
    assert_eq!(paid.preimage, preimage);
    assert_eq!(served.balance(payee.key()), 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_25_a_key_that_asks_too_often_is_told_so_and_others_go_on() {
    let relay = TestRelay::start();
    let settings = [("NWC_RATE_PER_SEC", "1"), ("NWC_RATE_BURST", "3")];
    let served = Served::start(&[&relay], &settings).await;
    let (mut flooder, mut other) = (served.client().await, served.client().await);
    other.call(&GetInfo {}).await.unwrap();
    let ask = MakeInvoice::of(Msat::new(5)).request_json();
    let events: Vec<_> = (0..10).map(|_| flooder.event(&ask, Vec::new())).collect();
    for event in &events {
        flooder.send(event).await;
    }
    let mut refused = 0;
    for event in &events[..4] {
        refused += usize::from(flooder.reply_to(event.id).await.contains("RATE_LIMITED"));
    }
    assert!(refused >= 1, "none of the first four was refused");
    other.call(&GetBalance {}).await.unwrap();
    let made = served.wallet.store();
    made.audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_25_a_relay_that_delivers_too_much_is_not_read_and_another_is() {
    let (flooded, quiet) = (TestRelay::start(), TestRelay::start());
    let settings = [("NWC_RELAY_RATE_PER_SEC", "1"), ("NWC_RELAY_RATE_BURST", "5")];
    let served = Served::start(&[&flooded, &quiet], &settings).await;
    let mut there = Client::new(&[quiet.url()], Keys::generate(), served.service()).await;
    there.call(&GetInfo {}).await.unwrap();
    let here = Client::new(&[flooded.url()], Keys::generate(), served.service()).await;
    let ask = MakeInvoice::of(Msat::new(5)).request_json();
    for _ in 0..60 {
        here.send(&here.event(&ask, Vec::new())).await;
    }
    assert_eq!(there.call(&GetBalance {}).await.unwrap().balance, Msat::ZERO);
    // What came through the flooded relay is at most its burst and what its rate gave meanwhile.
    let mut seen = Client::new(&[quiet.url()], here.keys.clone(), served.service()).await;
    let wanted = ListTransactions { unpaid: Some(true), ..ListTransactions::default() };
    let made = seen.call(&wanted).await.unwrap().transactions.len();
    assert!(made < 20, "{made} of 60 were read");
}

//! Attacks that go through relays: many at once, over several connections, and repeated.

use nostr::key::Keys;
use protocol::nwc::*;
use tokio::task::JoinSet;
use units::Msat;

use super::world::{Client, Served, TestRelay};

const TASKS: usize = 64;
/// Enough for 64 requests of one key at once.
const RATE: [(&str, &str); 2] = [("NWC_RATE_PER_SEC", "1000"), ("NWC_RATE_BURST", "1000")];

/// 64 connections of one key, half of them at each relay.
async fn connections(served: &Served, keys: &Keys) -> Vec<Client> {
    let mut clients = Vec::new();
    for n in 0..TASKS {
        let relay = served.relays[n % served.relays.len()].clone();
        clients.push(Client::new(&[relay], keys.clone(), served.service()).await);
    }
    clients
}

/// Lets every client pay its invoice, all at the same time.
async fn pay_all(clients: Vec<Client>, invoices: Vec<String>) -> Vec<Result<Paid, WalletError>> {
    let mut tasks = JoinSet::new();
    for (mut client, invoice) in clients.into_iter().zip(invoices) {
        tasks.spawn(async move { client.call(&PayInvoice::of(invoice)).await });
    }
    tasks.join_all().await
}

async fn invoices(payee: &mut Client, msat: i64) -> Vec<String> {
    let mut made = Vec::new();
    for _ in 0..TASKS {
        made.push(payee.call(&MakeInvoice::of(Msat::new(msat))).await.unwrap().invoice.unwrap());
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_02_64_payments_over_several_connections_and_relays_spend_exactly_what_there_is() {
    let (one, other) = (TestRelay::start(), TestRelay::start());
    let served = Served::start(&[&one, &other], &RATE).await;
    let (payer, mut payee) = (served.client().await, served.client().await);
    served.give(&payer, 10_999).await;
    let invoices = invoices(&mut payee, 1_000).await;
    let results = pay_all(connections(&served, &payer.keys).await, invoices).await;
    let paid = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(paid, 10, "{results:?}");
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(error.code, ErrorCode::InsufficientBalance);
    }
    assert_eq!((served.balance(payer.key()), served.balance(payee.key())), (999, 10_000));
    served.wallet.store().audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_02_one_invoice_paid_64_times_over_several_connections_and_relays_is_paid_once() {
    let (one, other) = (TestRelay::start(), TestRelay::start());
    let served = Served::start(&[&one, &other], &RATE).await;
    let (payer, mut payee) = (served.client().await, served.client().await);
    served.give(&payer, 100_000).await;
    let invoice = payee.call(&MakeInvoice::of(Msat::new(1_000))).await.unwrap().invoice.unwrap();
    let results = pay_all(connections(&served, &payer.keys).await, vec![invoice; TASKS]).await;
    let first = results[0].clone().unwrap();
    assert!(results.iter().all(|result| result.as_ref() == Ok(&first)), "{results:?}");
    assert_eq!((served.balance(payer.key()), served.balance(payee.key())), (99_000, 1_000));
    served.wallet.store().audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_22_one_event_through_two_relays_again_and_after_a_restart_pays_once() {
    let (one, other) = (TestRelay::start(), TestRelay::start());
    let served = Served::start(&[&one, &other], &RATE).await;
    let (mut payer, mut payee) = (served.client().await, served.client().await);
    served.give(&payer, 100_000).await;
    let invoice = payee.call(&MakeInvoice::of(Msat::new(1_000))).await.unwrap().invoice.unwrap();
    let event = payer.event(&PayInvoice::of(invoice).request_json(), Vec::new());
    let first = payer.ask_event(&event).await;
    PayInvoice::parse_reply(&first).unwrap();
    assert_eq!(payer.ask_event(&event).await, first);
    let served = served.restart().await;
    assert_eq!(payer.ask_event(&event).await, first, "the same answer after a restart");
    assert_eq!((served.balance(payer.key()), served.balance(payee.key())), (99_000, 1_000));
    served.wallet.store().audit().unwrap();
}

//! 64 at once over two relays: several payers, both directions, a cap, and budgets of several connections.

use std::sync::Mutex;

use nostr::key::{Keys, PublicKey};
use nwc::lightning::{HtlcClaims, NodeEvent};
use nwc::service::NodeOutcome;
use protocol::nwc::*;
use tokio::task::JoinSet;
use units::{Clock, Msat, SystemClock};

use super::world::{Client, Served, TestRelay};

const TASKS: usize = 64;
/// Enough for 64 requests of one key at once, and for as many unpaid invoices.
const RATE: [(&str, &str); 3] =
    [("NWC_RATE_PER_SEC", "1000"), ("NWC_RATE_BURST", "1000"), ("NWC_MAX_OPEN_INVOICES_PER_KEY", "200")];

/// The n-th client's relay: half of them at each.
fn relay(served: &Served, n: usize) -> Vec<String> {
    vec![served.relays[n % served.relays.len()].clone()]
}

async fn client(served: &Served, n: usize, keys: &Keys, service: PublicKey) -> Client {
    Client::new(&relay(served, n), keys.clone(), service).await
}

/// A client with money for each task.
async fn payers(served: &Served) -> Vec<Client> {
    let mut clients = Vec::new();
    for n in 0..TASKS {
        let payer = client(served, n, &Keys::generate(), served.service()).await;
        served.give(&payer, 1_000).await;
        clients.push(payer);
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

fn paid(results: &[Result<Paid, WalletError>], otherwise: &ErrorCode) -> usize {
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(error.code, *otherwise, "{error}");
    }
    results.iter().filter(|result| result.is_ok()).count()
}

async fn connect(owner: &mut Client, budget: Option<i64>) -> (Keys, PublicKey) {
    let keys = Keys::generate();
    let wanted = CreateConnection {
        max_amount: budget.map(Msat::new),
        budget_renewal: Some(BudgetRenewal::Never),
        ..CreateConnection::of(keys.public_key(), "app", &[Method::PayInvoice, Method::MakeInvoice])
    };
    let service = owner.call(&wanted).await.unwrap().wallet_pubkey;
    (keys, service)
}

async fn invoices(payee: &mut Client, count: usize, msat: i64) -> Vec<String> {
    let mut made = Vec::new();
    for _ in 0..count {
        made.push(payee.call(&MakeInvoice::of(Msat::new(msat))).await.unwrap().invoice.unwrap());
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_01_64_payments_over_8_nwc_connections_and_two_relays_spend_exactly_what_there_is() {
    let (one, other) = (TestRelay::start(), TestRelay::start());
    let served = Served::start(&[&one, &other], &RATE).await;
    let (mut owner, mut payee) = (served.client().await, served.client().await);
    served.give(&owner, 10_999).await;
    let mut clients = Vec::new();
    for n in 0..8 {
        let (keys, service) = connect(&mut owner, None).await;
        for m in 0..TASKS / 8 {
            clients.push(client(&served, n + m, &keys, service).await);
        }
    }
    let invoices = invoices(&mut payee, TASKS, 1_000).await;
    let results = pay_all(clients, invoices).await;
    assert_eq!(paid(&results, &ErrorCode::InsufficientBalance), 10);
    assert_eq!((served.balance(owner.key()), served.balance(payee.key())), (999, 10_000));
    served.wallet.store().audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_02_budgets_of_4_connections_hold_under_64_payments_over_two_relays() {
    let (one, other) = (TestRelay::start(), TestRelay::start());
    let served = Served::start(&[&one, &other], &RATE).await;
    let (mut owner, mut payee) = (served.client().await, served.client().await);
    served.give(&owner, 1_000_000).await;
    let (mut clients, mut connections) = (Vec::new(), Vec::new());
    for n in 0..4 {
        let (keys, service) = connect(&mut owner, Some(3_999)).await;
        for m in 0..TASKS / 4 {
            clients.push(client(&served, n + m, &keys, service).await);
        }
        connections.push((keys, service));
    }
    let invoices = invoices(&mut payee, TASKS, 1_000).await;
    let results = pay_all(clients, invoices).await;
    assert_eq!(paid(&results, &ErrorCode::QuotaExceeded), 12, "three of each connection");
    assert_eq!((served.balance(owner.key()), served.balance(payee.key())), (988_000, 12_000));
    for (n, (keys, service)) in connections.iter().enumerate() {
        let budget = client(&served, n, keys, *service).await.call(&GetBudget {}).await.unwrap();
        assert_eq!(
            (budget.used_budget, budget.total_budget),
            (Some(Msat::new(3_000)), Some(Msat::new(3_999)))
        );
    }
    served.wallet.store().audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_09_64_payers_of_one_invoice_over_two_relays_exactly_one_pays() {
    let (one, other) = (TestRelay::start(), TestRelay::start());
    let served = Served::start(&[&one, &other], &RATE).await;
    let mut payee = served.client().await;
    let clients = payers(&served).await;
    let keys: Vec<PublicKey> = clients.iter().map(Client::key).collect();
    let invoice = invoices(&mut payee, 1, 1_000).await.remove(0);
    let results = pay_all(clients, vec![invoice; TASKS]).await;
    assert_eq!(paid(&results, &ErrorCode::PaymentFailed), 1);
    let left: i64 = keys.iter().map(|key| served.balance(*key)).sum();
    assert_eq!((left, served.balance(payee.key())), (63_000, 1_000));
    served.wallet.store().audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_27_64_payments_over_two_relays_do_not_breach_the_payees_cap() {
    let (one, other) = (TestRelay::start(), TestRelay::start());
    let cap = [RATE.as_slice(), &[("NWC_MAX_BALANCE_MSAT", "10999")]].concat();
    // The faucet's own wallet is filled without asking.
    let served = Served::start(&[&one, &other], &cap).await;
    let mut payee = served.client().await;
    let clients = payers(&served).await;
    let invoices = invoices(&mut payee, TASKS, 1_000).await;
    let results = pay_all(clients, invoices).await;
    assert_eq!(paid(&results, &ErrorCode::PaymentFailed), 10);
    assert_eq!(served.balance(payee.key()), 10_000);
    served.wallet.store().audit().unwrap();
}

/// Notes what the node is told.
#[derive(Debug, Default)]
struct Told(Mutex<(usize, usize)>);

impl HtlcClaims for Told {
    fn claim(&self, _hash: PaymentHash, _preimage: &Preimage) {
        self.0.lock().unwrap().0 += 1;
    }

    fn reject(&self, _hash: PaymentHash) {
        self.0.lock().unwrap().1 += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_08_64_invoices_paid_inside_over_two_relays_and_from_outside_at_once_are_paid_once() {
    let (one, other) = (TestRelay::start(), TestRelay::start());
    let served = Served::start(&[&one, &other], &RATE).await;
    let (payer, mut payee) = (served.client().await, served.client().await);
    served.give(&payer, 100_000).await;
    let (mut made, mut clients) = (Vec::new(), Vec::new());
    for n in 0..TASKS {
        made.push(payee.call(&MakeInvoice::of(Msat::new(1_000))).await.unwrap());
        clients.push(client(&served, n, &payer.keys, served.service()).await);
    }
    let wallet = std::sync::Arc::clone(&served.wallet);
    let hashes: Vec<PaymentHash> = made.iter().map(|one| one.payment_hash).collect();
    let outside = tokio::task::spawn_blocking(move || {
        let told = Told::default();
        // From the last to the first, so that the two meet.
        let report = |payment_hash: &PaymentHash| {
            let amount = Msat::new(1_000);
            let claimable = NodeEvent::Claimable { payment_hash: *payment_hash, amount, deadline: None };
            let report = wallet.on_node_event(claimable, &told, SystemClock.now()).unwrap();
            if report.outcome == NodeOutcome::Claimed {
                let received = NodeEvent::Received { payment_hash: *payment_hash, amount };
                wallet.on_node_event(received, &told, SystemClock.now()).unwrap();
            }
            std::thread::yield_now();
        };
        hashes.iter().rev().for_each(report);
        told.0.into_inner().unwrap()
    });
    let texts = made.into_iter().map(|one| one.invoice.unwrap()).collect();
    let (results, outside) = tokio::join!(pay_all(clients, texts), outside);
    let (claimed, rejected) = outside.unwrap();
    let inside = paid(&results, &ErrorCode::PaymentFailed);
    assert_eq!((inside + claimed, inside), (TASKS, rejected), "each is paid once, by one of the two");
    let spent = i64::try_from(inside).unwrap() * 1_000;
    assert_eq!((served.balance(payer.key()), served.balance(payee.key())), (100_000 - spent, 64_000));
    served.wallet.store().audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_25_unknown_encryption_is_answered_no_oftener_than_anything_else() {
    let relay = TestRelay::start();
    let slow = [("NWC_RATE_PER_SEC", "1"), ("NWC_RATE_BURST", "2")];
    let served = Served::start(&[&relay], &slow).await;
    // Once it listens.
    served.give(&served.client().await, 1).await;
    let mut flooder = served.client().await;
    let mut sent = Vec::new();
    for _ in 0..60 {
        let event = flooder.unknown_encryption();
        flooder.send(&event).await;
        sent.push(event.id);
    }
    let answers = flooder.count_replies().await;
    assert!((2..40).contains(&answers), "{answers} of {} were answered", sent.len());
}

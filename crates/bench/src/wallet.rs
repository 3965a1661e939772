//! The wallet over a relay: payments between its own accounts, against nothing but the commits that they
//! need, and the same payments without a relay; and balances, against a bare echo over the same relay.

mod bare;
mod books;
mod cpu;
mod least;
mod same;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use devnet::helper::HelperBinary;
use nostr::key::{Keys, PublicKey};
use protocol::nwc::{GetBalance, MakeInvoice, PayInvoice};
use relay::nwc::NwcClient;
use units::{Msat, SystemClock};

use self::cpu::PerRequest;
use self::stage::Stage;
use crate::echo::{self, Echo};
use crate::load::{Caller, run};
use crate::samples::Samples;
use crate::summary::Figure;

/// Clients at once.
const PAYERS: u32 = 64;
const TOGETHER: usize = PAYERS as usize;
/// Payments of each, after a tenth of them to warm up.
const PAYMENTS: usize = 40;
/// Questions for the balance, likewise.
const READS: usize = 100;
const AMOUNT: Msat = Msat::new(10);
const WAIT: Duration = Duration::from_secs(30);

pub(crate) async fn measure(helper: &HelperBinary) -> Result<Vec<(&'static str, Figure)>> {
    let dir = tempfile::tempdir()?;
    let stage = Stage::start(helper, dir.path()).await?;
    let payers = payers(&stage).await?;
    let before = stage.used()?;
    let (paid, per_sec) = run(payers, PAYMENTS).await?;
    let cost = stage.used()?.since(before, paid.len() + paid.len() / 10);
    let payments = Load { samples: paid, per_sec, cost };
    let commits =
        Commits { lean: bare::commits_per_sec(dir.path())?, same: same::commits_per_sec(dir.path())? };
    let (booked, per_sec) = books::payments(dir.path()).await?;
    let books = Booked { samples: booked, per_sec };

    let (reads, _) = run(readers(&stage, stage.wallet()).await?, READS).await?;
    let echo_keys = Keys::generate();
    let serving = tokio::spawn(echo::serve(stage.pool().await?, echo_keys.clone()));
    let (echoes, _) = run(Echo::clients(stage.relay_url(), &echo_keys, TOGETHER).await?, READS).await?;
    serving.abort();

    let least_keys = Keys::generate();
    let serving = tokio::spawn(least::serve(stage.pool().await?, least_keys.clone()));
    let clients = readers(&stage, least_keys.public_key()).await?;
    let before = stage.used()?;
    let (asked, per_sec) = run(clients, PAYMENTS).await?;
    let cost = stage.used()?.since(before, asked.len() + asked.len() / 10);
    let least = Load { samples: asked, per_sec, cost };
    serving.abort();
    stage.stop().await?;
    let mut all = figures(&payments, commits, &reads, &echoes, &least);
    all.extend(of_books(&books, commits));
    Ok(all)
}

/// What SQLite commits in a second when each payment is a commit of its own.
#[derive(Clone, Copy)]
struct Commits {
    /// The fewest rows that a payment could be, in tables without indexes.
    lean: f64,
    /// The rows that a payment changes in the wallet's file.
    same: f64,
}

/// What many paid without a relay.
struct Booked {
    samples: Samples,
    per_sec: f64,
}

fn of_books(books: &Booked, commits: Commits) -> [(&'static str, Figure); 3] {
    let runs = books.samples.len();
    let ratio = |peer, name: &str| Figure::ratio("payments/s", books.per_sec, peer, name, runs);
    let p99 = Figure {
        value: books.samples.percentile_ms(99),
        unit: "ms, p99 at 64, no relay".to_owned(),
        ours: books.per_sec,
        peer: commits.same,
        peer_name: format!("{}, 1/s", same::PEER),
        runs,
    };
    [
        ("wallet.books_vs_same_commits", ratio(commits.same, same::PEER)),
        ("wallet.books_vs_bare_commits", ratio(commits.lean, bare::PEER)),
        ("wallet.books_p99_ms", p99),
    ]
}

/// What many did at once.
struct Load {
    samples: Samples,
    per_sec: f64,
    /// Processor time, warming up included.
    cost: PerRequest,
}

fn figures(
    payments: &Load,
    commits: Commits,
    reads: &Samples,
    echoes: &Samples,
    least: &Load,
) -> Vec<(&'static str, Figure)> {
    let (paid, runs) = (&payments.samples, payments.samples.len());
    let beside_commits = |value: f64, unit: &str| Figure {
        value,
        unit: unit.to_owned(),
        ours: value,
        peer: commits.same,
        peer_name: format!("{}, 1/s", same::PEER),
        runs,
    };
    let cpu = |ours: f64, peer: f64| Figure {
        value: ours,
        unit: "us of CPU per payment".to_owned(),
        ours,
        peer,
        peer_name: "six events, no books".to_owned(),
        runs,
    };
    vec![
        (
            "wallet.vs_same_commits",
            Figure::ratio("payments/s", payments.per_sec, commits.same, same::PEER, runs),
        ),
        (
            "wallet.vs_bare_commits",
            Figure::ratio("payments/s", payments.per_sec, commits.lean, bare::PEER, runs),
        ),
        (
            "wallet.vs_six_events",
            Figure::ratio("payments/s", payments.per_sec, least.per_sec, least::PEER, runs),
        ),
        ("wallet.per_sec", beside_commits(payments.per_sec, "payments/s at 64")),
        ("wallet.pay_p50_ms", beside_commits(paid.median_ms(), "ms, p50 at 64")),
        ("wallet.pay_p99_ms", beside_commits(paid.percentile_ms(99), "ms, p99 at 64")),
        ("wallet.cpu_clients_us", cpu(payments.cost.clients, least.cost.clients)),
        ("wallet.cpu_relay_us", cpu(payments.cost.relay, least.cost.relay)),
        ("wallet.cpu_service_us", cpu(payments.cost.service, least.cost.service)),
        (
            "wallet.read_p99_vs_roundtrip",
            Figure::ratio(
                "ms, p99 at 64",
                reads.percentile_ms(99),
                echoes.percentile_ms(99),
                echo::PEER,
                reads.len(),
            ),
        ),
    ]
}

async fn readers(stage: &Stage, service: PublicKey) -> Result<Vec<Reader>> {
    let mut readers = Vec::new();
    for _ in 0..TOGETHER {
        readers.push(Reader(client_of(stage, service, Keys::generate()).await?));
    }
    Ok(readers)
}

async fn client(stage: &Stage, keys: Keys) -> Result<Client> {
    client_of(stage, stage.wallet(), keys).await
}

async fn client_of(stage: &Stage, service: PublicKey, keys: Keys) -> Result<Client> {
    let pool = stage.pool().await?;
    let (wallet, _) = NwcClient::for_one(pool, service, &keys, Arc::new(SystemClock)).await?;
    Ok(Client { wallet, keys })
}

struct Client {
    wallet: NwcClient,
    keys: Keys,
}

impl Client {
    async fn invoice(&self, amount: Msat) -> Result<String> {
        let made = self.wallet.call(&self.keys, &MakeInvoice::of(amount), WAIT).await?;
        made.invoice.context("an invoice without text")
    }

    async fn pay(&self, invoice: String) -> Result<()> {
        self.wallet.call(&self.keys, &PayInvoice::of(invoice), WAIT).await?;
        Ok(())
    }
}

/// Clients with money, and invoices of each other for all that they will pay.
async fn payers(stage: &Stage) -> Result<Vec<Payer>> {
    let rich = client(stage, stage.rich()).await?;
    let mut payers = Vec::new();
    for _ in 0..TOGETHER {
        let one = client(stage, Keys::generate()).await?;
        rich.pay(one.invoice(Msat::new(1_000_000)).await?).await?;
        payers.push(Payer { client: one, invoices: Vec::new() });
    }
    for payee in 0..TOGETHER {
        for _ in 0..PAYMENTS + PAYMENTS / 10 {
            let invoice = payers[payee].client.invoice(AMOUNT).await?;
            payers[(payee + 1) % TOGETHER].invoices.push(invoice);
        }
    }
    Ok(payers)
}

struct Payer {
    client: Client,
    invoices: Vec<String>,
}

impl Caller for Payer {
    async fn call(&mut self) -> Result<()> {
        let Some(invoice) = self.invoices.pop() else { bail!("nothing is left to pay") };
        self.client.pay(invoice).await
    }
}

struct Reader(Client);

impl Caller for Reader {
    async fn call(&mut self) -> Result<()> {
        let balance = self.0.wallet.call(&self.0.keys, &GetBalance {}, WAIT).await?.balance;
        if balance == Msat::ZERO { Ok(()) } else { bail!("a new key owns {balance}") }
    }
}

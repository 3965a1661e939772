//! The real wallet, ended by the kernel at any instruction, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nostr::key::{Keys, PublicKey};
use protocol::event::CheckedEvent;
use protocol::nwc::*;
use tempfile::TempDir;
use tokio::task::JoinSet;
use units::Msat;

use super::world::{Client, SOON, TestRelay};
use crate::process::Running;
use crate::support::node::hash_of;

const PAYERS: usize = 8;
const INVOICES: usize = 12;
const EACH_MSAT: i64 = 1_000;
const GIVEN_MSAT: i64 = 100_000;
const FAUCET_MSAT: i64 = 10_000_000;
/// Answers after which the wallet is killed, each time; the requests that are then under way are wherever
/// they are.
const KILLED_AFTER: [usize; 5] = [1, 9, 17, 30, 44];
/// How often a request is sent again.
const AGAIN: Duration = Duration::from_millis(300);

/// A payment that is asked for, and what was answered.
struct Asked {
    event: CheckedEvent,
    hash: PaymentHash,
    answer: Option<String>,
}

struct Payer {
    client: Client,
    asked: Vec<Asked>,
}

impl Payer {
    /// Asks for every payment that has no answer yet, in order, until the wallet is gone.
    async fn ask_all(&mut self, answers: &AtomicUsize) {
        for asked in self.asked.iter_mut().filter(|asked| asked.answer.is_none()) {
            loop {
                // The relay is there, whatever the wallet does.
                self.client.send(&asked.event).await;
                let reply = tokio::time::timeout(AGAIN, self.client.reply_to(asked.event.id)).await;
                if let Ok(text) = reply {
                    asked.answer = Some(text);
                    answers.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            }
        }
    }
}

fn start(dir: &TempDir, relay: &str, rich: &Keys) -> Running {
    let (rich, faucet) = (rich.public_key().to_hex(), FAUCET_MSAT.to_string());
    let settings = [
        ("NWC_RELAYS", relay),
        ("NWC_FAUCET_PUBKEY", &rich),
        ("NWC_FAUCET_MSAT", &faucet),
        ("NWC_RATE_PER_SEC", "10000"),
        ("NWC_RATE_BURST", "10000"),
    ];
    Running::start_with(dir.path(), &settings)
}

async fn balance(client: &mut Client) -> i64 {
    client.call(&GetBalance {}).await.unwrap().balance.msat()
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_18_real_wallet_killed_again_and_again_pays_each_once_and_keeps_its_word() {
    let (relay, dir, rich) = (TestRelay::start(), TempDir::new().unwrap(), Keys::generate());
    let mut running = start(&dir, &relay.url(), &rich);
    let service = PublicKey::from_hex(&running.service()).unwrap();
    let relays = [relay.url()];
    let new = async |keys| Client::new(&relays, keys, service).await;
    let (mut rich, mut shop) = (new(rich.clone()).await, new(Keys::generate()).await);
    let rich_keys = rich.keys.clone();
    let mut payers = Vec::new();
    for _ in 0..PAYERS {
        let mut client = new(Keys::generate()).await;
        let gift = client.call(&MakeInvoice::of(Msat::new(GIVEN_MSAT))).await.unwrap().invoice.unwrap();
        rich.call(&PayInvoice::of(gift)).await.unwrap();
        let mut asked = Vec::new();
        for _ in 0..INVOICES {
            let bill = shop.call(&MakeInvoice::of(Msat::new(EACH_MSAT))).await.unwrap();
            let event = client.event(&PayInvoice::of(bill.invoice.unwrap()).request_json(), Vec::new());
            asked.push(Asked { event, hash: bill.payment_hash, answer: None });
        }
        payers.push(Payer { client, asked });
    }

    let answers = Arc::new(AtomicUsize::new(0));
    for killed_after in KILLED_AFTER {
        // Each payer's task hands it back when it is told that the wallet is gone.
        let gone = tokio::sync::watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for mut payer in payers.drain(..) {
            let (answers, mut gone) = (Arc::clone(&answers), gone.subscribe());
            tasks.spawn(async move {
                tokio::select! {
                    () = payer.ask_all(&answers) => {}
                    _ = gone.changed() => {}
                }
                payer
            });
        }
        let reached = async {
            while answers.load(Ordering::SeqCst) < killed_after {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, reached).await.expect("the wallet answers no more");
        running.kill();
        gone.send_replace(true);
        payers = tasks.join_all().await;
        running = start(&dir, &relay.url(), &rich_keys);
    }
    assert!(answers.load(Ordering::SeqCst) < PAYERS * INVOICES, "it was always killed with work to do");

    let mut proofs = Vec::new();
    for payer in &mut payers {
        for Asked { event, hash, answer } in &mut payer.asked {
            let text = payer.client.ask_event(event).await;
            if let Some(said) = answer {
                assert_eq!(*said, text, "what was said before a kill is said after it");
            }
            let paid = PayInvoice::parse_reply(&text).unwrap();
            assert_eq!(hash_of(&paid.preimage), *hash);
            proofs.push(event.id);
        }
        let left = GIVEN_MSAT - EACH_MSAT * i64::try_from(INVOICES).unwrap();
        assert_eq!(balance(&mut payer.client).await, left);
    }
    proofs.sort();
    proofs.dedup();
    assert_eq!(proofs.len(), PAYERS * INVOICES);
    let total = i64::try_from(proofs.len()).unwrap() * EACH_MSAT;
    assert_eq!(balance(&mut shop).await, total);
    assert_eq!(balance(&mut rich).await, FAUCET_MSAT - i64::try_from(PAYERS).unwrap() * GIVEN_MSAT);
    // The audit at a start would refuse books that do not balance.
    running.kill();
    drop(start(&dir, &relay.url(), &rich_keys));
}

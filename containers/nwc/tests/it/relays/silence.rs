//! Relays that are connected and do not take what they are sent, in silence or with a word.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use nostr::event::{EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::key::{Keys, PublicKey};
use protocol::nwc::*;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use units::Msat;

use super::world::{Client, SOON, Served, TestRelay};

/// What a relay says to an event.
type Says = fn(&Value) -> Option<bool>;

/// A relay that answers events as it is told and nothing else, with what it was sent.
struct Sullen {
    url: String,
    events: watch::Receiver<Vec<Value>>,
}

impl Sullen {
    async fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (told, events) = watch::channel(Vec::new());
        let told = Arc::new(Mutex::new(told));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let told = Arc::clone(&told);
                tokio::spawn(async move {
                    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                    while let Some(Ok(message)) = socket.next().await {
                        let Ok(said) = serde_json::from_slice::<Value>(&message.into_data()) else {
                            continue;
                        };
                        if said[0] != "EVENT" {
                            continue;
                        }
                        let answer = says(&said[1]);
                        told.lock().unwrap().send_modify(|events| events.push(said[1].clone()));
                        if let Some(taken) = answer {
                            let why = if taken { "" } else { "blocked: not this one" };
                            let ok = json!(["OK", said[1]["id"], taken, why]).to_string();
                            if socket.send(Message::text(ok)).await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Self { url, events }
    }

    /// Waits until it was sent so many events.
    async fn wait_for(&mut self, count: usize) {
        let waiting = self.events.wait_for(|events| events.len() >= count);
        drop(tokio::time::timeout(SOON, waiting).await.expect("it was not sent them").unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_25_a_relay_that_says_nothing_slows_nobody_down() {
    let (good, silent) = (TestRelay::start(), Sullen::start(|_| None).await);
    let settings = [("NWC_MAX_CONCURRENT", "2"), ("NWC_RATE_BURST", "1000"), ("NWC_RATE_PER_SEC", "1000")];
    let served = Served::start_on(vec![good.url(), silent.url.clone()], &settings).await;
    let mut client = Client::new(&[good.url()], Keys::generate(), served.service()).await;
    client.call(&GetBalance {}).await.unwrap();
    // Two places of ten seconds each would make two hundred seconds of these.
    let answered = async {
        for _ in 0..40 {
            client.call(&GetBalance {}).await.unwrap();
        }
    };
    tokio::time::timeout(SOON, answered).await.expect("a silent relay holds up the answers");
}

impl Served {
    /// Has somebody zapped by the faucet, with a receipt to this relay.
    async fn zap(&self, payee: PublicKey, relay: &str, note: &str) {
        let tags = [vec!["p", &payee.to_hex()], vec!["relays", relay], vec!["amount", "1000"]]
            .map(|tag| Tag::parse(tag).unwrap());
        let request = EventBuilder::new(Kind::ZapRequest, note).tags(tags);
        let zap_request = Some(request.finalize(&Keys::generate()).unwrap().as_json());
        let mut rich = self.rich_client().await;
        let terms = MakeInvoiceFor { pubkey: payee, invoice: MakeInvoice::of(Msat::new(1_000)), zap_request };
        let invoice = rich.call(&terms).await.unwrap().invoice.unwrap();
        rich.call(&PayInvoice::of(invoice)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_29_a_relay_that_refuses_one_receipt_is_offered_the_next() {
    let public = TestRelay::start();
    let served = Served::start(&[&public], &[]).await;
    // A stranger has it refuse a receipt; nobody else's waits for that.
    let mut relay = Sullen::start(|event| Some(!event.to_string().contains("poison"))).await;
    served.zap(Keys::generate().public_key(), &relay.url, "poison").await;
    relay.wait_for(1).await;
    let payee = Keys::generate().public_key();
    served.zap(payee, &relay.url, "honest").await;
    let is_there =
        |events: &Vec<Value>| events.iter().any(|event| event.to_string().contains(&payee.to_hex()));
    let waiting = relay.events.wait_for(is_there);
    drop(tokio::time::timeout(SOON, waiting).await.expect("the honest receipt waits").unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_29_a_receipt_for_a_relay_that_was_just_silent_keeps_its_attempts() {
    let public = TestRelay::start();
    let served = Served::start(&[&public], &[]).await;
    let mut relay = Sullen::start(|_| None).await;
    let (first, second) = (Keys::generate().public_key(), Keys::generate().public_key());
    served.zap(first, &relay.url, "first").await;
    relay.wait_for(1).await;
    let raw = served.raw();
    let row = |payee: PublicKey| -> (i64, i64) {
        let query = "SELECT z.attempts, z.next_at - i.settled_at FROM zap_receipt z
             JOIN invoice i ON i.id = z.invoice_id WHERE z.payee = ?1";
        raw.query_row(query, [payee.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let soon = |what: &'static str, is_so: &dyn Fn() -> bool| {
        let deadline = std::time::Duration::from_secs(40);
        let started = units::Stopwatch::start();
        while !is_so() {
            assert!(started.elapsed() < deadline, "{what}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    // The relay said nothing for ten seconds: the first is put off, after the one attempt that it was.
    tokio::task::block_in_place(|| soon("the first is put off", &|| row(first).1 >= 30));
    assert_eq!(row(first).0, 1);
    served.zap(second, &relay.url, "second").await;
    tokio::task::block_in_place(|| soon("the second is put off", &|| row(second).1 >= 55));
    assert_eq!(row(second).0, 0, "an attempt for nothing");
}

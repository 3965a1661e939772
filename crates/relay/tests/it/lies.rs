//! Relays that serve what nobody signed.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nostr::filter::Filter;
use nostr::key::Keys;
use relay::{Pool, Subscription};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use crate::world::{connected, note, soon};

/// A relay that answers every `REQ` with these events, whatever was asked.
async fn lying_relay(events: Vec<Value>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let events = events.clone();
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    // Pings come in between.
                    let Ok(text) = message.to_text() else { continue };
                    let Ok(Value::Array(request)) = serde_json::from_str(text) else { continue };
                    if request[0] != "REQ" {
                        continue;
                    }
                    for event in &events {
                        let line = json!(["EVENT", request[1], event]).to_string();
                        socket.send(Message::text(line)).await.unwrap();
                    }
                    socket.send(Message::text(json!(["EOSE", request[1]]).to_string())).await.unwrap();
                }
            });
        }
    });
    url
}

async fn subscribe(pool: &Pool, keys: &Keys) -> Subscription {
    pool.subscribe(Filter::new().author(keys.public_key())).await.unwrap()
}

async fn nothing_more(events: &mut Subscription) {
    let more = tokio::time::timeout(Duration::from_millis(300), events.next()).await;
    assert!(more.is_err(), "served {:?}", more.unwrap().map(|event| event.content.clone()));
}

#[tokio::test]
async fn attack_21_forged_content_under_a_known_id_is_not_believed() {
    let keys = Keys::generate();
    let honest = serde_json::to_value(note(&keys, "pay 1 sat", 10).event()).unwrap();
    let mut forged = honest.clone();
    forged["content"] = "pay 1 BTC".into();
    let url = lying_relay(vec![honest, forged]).await;
    let pool = connected(&[url]).await;
    let mut events = subscribe(&pool, &keys).await;
    assert_eq!(soon("the honest event", events.next()).await.unwrap().content, "pay 1 sat");
    nothing_more(&mut events).await;
    let fetched = pool.fetch(Filter::new().author(keys.public_key()), Duration::from_secs(2)).await.unwrap();
    assert!(fetched.iter().all(|event| event.content == "pay 1 sat"));
}

#[tokio::test]
async fn event_that_nobody_asked_for_is_not_delivered() {
    let (asked, other) = (Keys::generate(), Keys::generate());
    let unasked = serde_json::to_value(note(&other, "spam", 10).event()).unwrap();
    let wanted = serde_json::to_value(note(&asked, "wanted", 11).event()).unwrap();
    let url = lying_relay(vec![unasked, wanted]).await;
    let mut events = subscribe(&connected(&[url]).await, &asked).await;
    assert_eq!(soon("the wanted event", events.next()).await.unwrap().content, "wanted");
    nothing_more(&mut events).await;
}

#[tokio::test]
async fn attack_21_signature_of_another_event_is_not_believed() {
    let keys = Keys::generate();
    let first = serde_json::to_value(note(&keys, "one", 10).event()).unwrap();
    let mut forged = serde_json::to_value(note(&keys, "two", 11).event()).unwrap();
    forged["sig"] = first["sig"].clone();
    let url = lying_relay(vec![forged, first]).await;
    let mut events = subscribe(&connected(&[url]).await, &keys).await;
    assert_eq!(soon("the honest event", events.next()).await.unwrap().content, "one");
    nothing_more(&mut events).await;
}

/// NIP-04 does not authenticate: whoever flips a bit of the ciphertext flips one of the text. What protects
/// it is the event's signature, which is checked before anything is decrypted.
#[tokio::test]
async fn attack_21_flipped_bit_in_an_unauthenticated_ciphertext_is_not_delivered() {
    let (keys, wallet) = (Keys::generate(), Keys::generate());
    let secret = nostr::nips::nip04::encrypt(keys.secret_key(), &wallet.public_key(), "pay 1 sat").unwrap();
    let honest = serde_json::to_value(note(&keys, &secret, 10).event()).unwrap();
    let mut flipped = honest.clone();
    let first = if secret.starts_with('A') { "B" } else { "A" };
    flipped["content"] = format!("{first}{}", &secret[1..]).into();
    let url = lying_relay(vec![flipped, honest]).await;
    let mut events = subscribe(&connected(&[url]).await, &keys).await;
    let delivered = soon("the honest event", events.next()).await.unwrap();
    let text = nostr::nips::nip04::decrypt(wallet.secret_key(), &keys.public_key(), &delivered.content);
    assert_eq!(text.unwrap(), "pay 1 sat");
    nothing_more(&mut events).await;
}

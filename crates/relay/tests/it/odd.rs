//! A relay that delivers and otherwise does as it likes, and what becomes of those who use it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nostr::event::{Event, Kind};
use nostr::filter::{Filter, MatchEventOptions};
use nostr::key::Keys;
use nostr::message::{ClientMessage, RelayMessage};
use protocol::kinds::ENCLAVED_RPC;
use relay::Pool;
use relay::rpc::Envelope;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use units::{Clock, SystemClock};

use crate::rpc::Service;
use crate::world::{TestRelay, connected, note, soon};

/// Delivers events, says OK to none of them, and ends the first subscriptions with a word.
#[derive(Clone)]
struct OddRelay {
    events: broadcast::Sender<Event>,
    ends: Arc<AtomicU32>,
    why: &'static str,
}

impl OddRelay {
    async fn start(ends: u32, why: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let own = Self { events: broadcast::Sender::new(4_096), ends: Arc::new(AtomicU32::new(ends)), why };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(own.clone().serve(stream));
            }
        });
        format!("ws://{address}")
    }

    async fn serve(self, stream: TcpStream) {
        let (mut sink, mut stream) = accept_async(stream).await.unwrap().split();
        let (mut heard, mut wanted) = (self.events.subscribe(), HashMap::new());
        loop {
            let mut said = Vec::new();
            tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(Message::Text(text))) => match ClientMessage::from_json(text.as_str()) {
                        Ok(ClientMessage::Event(event)) => drop(self.events.send(event.into_owned())),
                        Ok(ClientMessage::Req { subscription_id, filters }) => {
                            let id = subscription_id.into_owned();
                            let left = |ends: u32| ends.checked_sub(1);
                            if self.ends.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
                                said.push(RelayMessage::closed(id, self.why));
                            } else {
                                said.push(RelayMessage::eose(id.clone()));
                                wanted.insert(id, filters.into_iter().map(|f| f.into_owned()).collect::<Vec<_>>());
                            }
                        }
                        _ => {}
                    },
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
                Ok(event) = heard.recv() => {
                    for (id, filters) in &wanted {
                        if filters.iter().any(|f| f.match_event(&event, MatchEventOptions::default())) {
                            said.push(RelayMessage::event(id.clone(), event.clone()));
                        }
                    }
                }
            }
            for message in said {
                if sink.send(Message::text(message.as_json())).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Sends until the subscription delivers.
async fn heard(pool: &Pool, events: &mut relay::Subscription) {
    let (keys, mut at) = (Keys::generate(), 0);
    soon("an event", async {
        loop {
            at += 1;
            pool.send(&note(&keys, "again", at)).await;
            if tokio::time::timeout(Duration::from_millis(200), events.next()).await.is_ok() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn subscription_that_a_relay_ends_is_asked_for_again() {
    for why in ["error: busy", "restricted: not now", "rate-limited: slow down", "whatever"] {
        let url = OddRelay::start(2, why).await;
        let urls = [url];
        let (pool, sender) = (connected(&urls).await, connected(&urls).await);
        let mut events = pool.subscribe(Filter::new().kind(Kind::TextNote)).await.unwrap();
        heard(&sender, &mut events).await;
    }
}

#[tokio::test]
async fn relay_that_was_down_when_it_was_asked_is_heard_when_it_is_there() {
    let address = TestRelay::start().await.stop().await;
    let pool = Pool::connect([format!("ws://{address}")]).await.unwrap();
    assert!(!pool.wait_connected(std::time::Duration::from_millis(500)).await);
    let mut events = pool.subscribe(Filter::new().kind(Kind::TextNote)).await.unwrap();
    let relay = TestRelay::start_at(address).await;
    heard(&connected(&[relay.url()]).await, &mut events).await;
}

/// More than there are places for, and more than there are replies that are watched.
const ASKING: usize = 25;
const OF_EACH: usize = 20;

#[tokio::test]
async fn relay_that_never_says_ok_holds_up_no_request() {
    let (url, dir, keys) = (OddRelay::start(0, "").await, tempfile::tempdir().unwrap(), Keys::generate());
    let _service = Service::at(&keys, dir.path(), &url).await;
    let pool = connected(&[url]).await;
    let mut replies =
        pool.subscribe(Filter::new().kind(ENCLAVED_RPC).author(keys.public_key())).await.unwrap();
    let callers: Vec<_> = (0..ASKING).map(|_| Envelope::new(Keys::generate())).collect();
    for n in 0..OF_EACH {
        for caller in &callers {
            let text = format!(r#"{{"id":"{n}","method":"ping"}}"#);
            let event = caller.seal(ENCLAVED_RPC, &keys.public_key(), &text, SystemClock.now()).unwrap();
            pool.send(&event).await;
        }
    }
    // Well before it would be given up that the relay says OK.
    let mut answered = HashSet::new();
    let all = async {
        while answered.len() < ASKING * OF_EACH {
            let event = replies.next().await.unwrap();
            let opened =
                callers.iter().enumerate().find_map(|(n, caller)| Some((n, caller.open(&event).ok()?)));
            let (caller, text) = opened.unwrap();
            let reply: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(reply["result"], "pong");
            answered.insert((caller, reply["id"].to_string()));
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(8), all).await;
    assert!(ended.is_ok(), "{} of {}", answered.len(), ASKING * OF_EACH);
}

//! Relays that serve only those who say who they are (NIP-42).

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::get;
use nostr::event::Kind;
use nostr::key::Keys;
use nostr::nips::nip44;
use protocol::event::{CheckedEvent, sign, tag_value};
use protocol::kinds::{NWC_INFO, NWC_REPLY, NWC_REQUEST};
use protocol::nwc::*;
use protocol::tag;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use units::{Clock, Msat, SystemClock};

use super::world::{SOON, Served};

const AUTH: Kind = Kind::Custom(22_242);
const REFUSED: &str = "auth-required: say who you are";

/// What the relay and its test share.
struct Gate {
    url: String,
    /// Whether each connection is first asked with a challenge that is not its own.
    misleads: bool,
    connections: Mutex<u32>,
    /// Every answer to a challenge, with the challenge that was right.
    answers: Mutex<Vec<(CheckedEvent, String)>>,
    /// What was asked or published by who had not said who it is.
    refused: Mutex<u32>,
    published: mpsc::Sender<CheckedEvent>,
    /// Requests for whoever subscribed.
    requests: broadcast::Sender<Value>,
    /// Ends every connection.
    cut: broadcast::Sender<()>,
}

impl Gate {
    async fn open(misleads: bool) -> (Arc<Self>, mpsc::Receiver<CheckedEvent>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (published, events) = mpsc::channel(256);
        let gate = Arc::new(Self {
            url: format!("ws://{}", listener.local_addr().unwrap()),
            misleads,
            connections: Mutex::default(),
            answers: Mutex::default(),
            refused: Mutex::default(),
            published,
            requests: broadcast::Sender::new(64),
            cut: broadcast::Sender::new(4),
        });
        let accept = async |State(gate): State<Arc<Self>>, socket: WebSocketUpgrade| {
            socket.on_upgrade(async move |socket| gate.serve(socket).await.unwrap_or_default())
        };
        let router = Router::new().route("/", get(accept)).with_state(Arc::clone(&gate));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (gate, events)
    }

    /// Serves one connection; `None` when it ends.
    async fn serve(&self, mut socket: WebSocket) -> Option<()> {
        let number = {
            let mut connections = self.connections.lock().unwrap();
            *connections += 1;
            *connections
        };
        let challenge = format!("challenge-{number}");
        let (mut requests, mut cut) = (self.requests.subscribe(), self.cut.subscribe());
        let (mut subscribed, mut is_let_in, mut is_asked) = (Vec::new(), false, false);
        loop {
            let message = tokio::select! {
                message = socket.recv() => message?.ok()?,
                Ok(event) = requests.recv() => {
                    for id in &subscribed {
                        say(&mut socket, json!(["EVENT", id, event])).await?;
                    }
                    continue;
                }
                Ok(()) = cut.recv() => return None,
            };
            let Message::Text(text) = message else { continue };
            let Ok(Value::Array(said)) = serde_json::from_str(&text) else { continue };
            let word = said[0].as_str().unwrap_or_default();
            if matches!(word, "REQ" | "EVENT") && !is_let_in {
                *self.refused.lock().unwrap() += 1;
                if !is_asked {
                    is_asked = true;
                    let asks = if self.misleads { "of-another-connection" } else { &challenge };
                    say(&mut socket, json!(["AUTH", asks])).await?;
                }
            }
            match (word, is_let_in) {
                ("REQ", true) => {
                    subscribed.push(said[1].clone());
                    say(&mut socket, json!(["EOSE", said[1]])).await?;
                }
                ("REQ", false) => say(&mut socket, json!(["CLOSED", said[1], REFUSED])).await?,
                ("EVENT", true) => {
                    let event = CheckedEvent::parse(&said[1].to_string()).unwrap();
                    say(&mut socket, json!(["OK", event.id.to_hex(), true, ""])).await?;
                    self.published.send(event).await.ok()?;
                }
                ("EVENT", false) => {
                    say(&mut socket, json!(["OK", said[1]["id"], false, REFUSED])).await?;
                }
                ("AUTH", _) => {
                    let event = CheckedEvent::parse(&said[1].to_string()).unwrap();
                    is_let_in = tag_value(&event, "challenge") == Some(&challenge);
                    self.answers.lock().unwrap().push((event.clone(), challenge.clone()));
                    let why = if is_let_in { "" } else { "restricted: not the challenge of this connection" };
                    say(&mut socket, json!(["OK", event.id.to_hex(), is_let_in, why])).await?;
                    if !is_let_in {
                        say(&mut socket, json!(["AUTH", challenge])).await?;
                    }
                }
                _ => {}
            }
        }
    }
}

async fn say(socket: &mut WebSocket, what: Value) -> Option<()> {
    socket.send(Message::text(what.to_string())).await.ok()
}

/// Asks for the balance through the gate until the wallet, which may be connecting, has answered.
async fn balance(gate: &Gate, events: &mut mpsc::Receiver<CheckedEvent>, served: &Served) -> Msat {
    let client = Keys::generate();
    let text = GetBalance {}.request_json();
    let content = nip44::encrypt(client.secret_key(), &served.service(), text, nip44::Version::V2).unwrap();
    let tags = vec![tag!["p", served.service().to_hex()], tag!["encryption", "nip44_v2"]];
    let request = sign(&client, NWC_REQUEST, SystemClock.now(), tags, content).unwrap();
    let id = request.id.to_hex();
    let answered = async {
        let mut again = tokio::time::interval(std::time::Duration::from_millis(200));
        loop {
            tokio::select! {
                _ = again.tick() => drop(gate.requests.send(serde_json::to_value(request.event()).unwrap())),
                event = events.recv() => {
                    let event = event.unwrap();
                    if event.kind == NWC_REPLY && tag_value(&event, "e") == Some(&id) {
                        return event;
                    }
                }
            }
        }
    };
    let reply = tokio::time::timeout(SOON, answered).await.expect("no answer");
    let text = nip44::decrypt(client.secret_key(), &reply.pubkey, &reply.content).unwrap();
    GetBalance::parse_reply(&text).unwrap().balance
}

/// Every answer is the wallet's, for this relay and no other.
fn check_answers(gate: &Gate, served: &Served) -> Vec<(String, String)> {
    let answers = gate.answers.lock().unwrap();
    let check = |(event, right): &(CheckedEvent, String)| {
        assert_eq!((event.kind, event.pubkey), (AUTH, served.service()));
        let relay = tag_value(event, "relay").unwrap();
        assert_eq!(relay.trim_end_matches('/'), gate.url, "of no use at another relay");
        (tag_value(event, "challenge").unwrap().to_owned(), right.clone())
    };
    answers.iter().map(check).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nip42_relay_that_asks_is_told_who_we_are_and_requests_are_answered() {
    let (gate, mut events) = Gate::open(false).await;
    let served = Served::start_on(vec![gate.url.clone()], &[]).await;
    // Which of the wallet's announcements comes through first is chance: those that were refused come again.
    let announced = async {
        loop {
            let event = events.recv().await.unwrap();
            assert_eq!(event.pubkey, served.service());
            if event.kind == NWC_INFO {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, announced).await.expect("nothing was published");
    assert!(*gate.refused.lock().unwrap() > 0, "it was let in without a word");
    assert_eq!(balance(&gate, &mut events, &served).await, Msat::ZERO);

    // Another connection has another challenge, and the same wallet answers that.
    let before = *gate.connections.lock().unwrap();
    gate.cut.send(()).unwrap();
    // Not on the way out: what is asked on a connection that ends is answered there, to nobody.
    let back = async {
        while *gate.connections.lock().unwrap() == before {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, back).await.expect("the wallet does not come back");
    assert_eq!(balance(&gate, &mut events, &served).await, Msat::ZERO);
    let answers = check_answers(&gate, &served);
    assert!(answers.len() >= 2 && answers.iter().all(|(given, right)| given == right), "{answers:?}");
    assert_ne!(answers.first(), answers.last());
}

#[tokio::test(flavor = "multi_thread")]
async fn nip42_challenge_that_was_wrong_lets_nothing_through_and_the_right_one_does() {
    let (gate, mut events) = Gate::open(true).await;
    let served = Served::start_on(vec![gate.url.clone()], &[]).await;
    assert_eq!(balance(&gate, &mut events, &served).await, Msat::ZERO);
    let answers = check_answers(&gate, &served);
    assert_eq!(answers[0].0, "of-another-connection", "it answers what it is asked");
    assert!(answers[1..].iter().any(|(given, right)| given == right), "{answers:?}");
}

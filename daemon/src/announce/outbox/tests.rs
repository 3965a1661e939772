//! Relays that refuse, hang and go away.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::Keys;
use protocol::event::sign;
use protocol::tag;
use relay::{LocalRelayLimits, LocalRelayServer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;
use units::{Clock, SystemClock};

use super::*;

/// Relays drop what has expired, so these tests live in the present.
fn now() -> UnixSecs {
    static NOW: LazyLock<UnixSecs> = LazyLock::new(|| SystemClock.now());
    *NOW
}

const SOON: Duration = Duration::from_secs(10);

/// A relay that answers each event in turn; after the last answer, with the last.
struct Scripted {
    url: String,
    offered: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
enum Answer {
    Ok,
    No(&'static str),
    Silence,
    Hangup,
}

impl Scripted {
    async fn start(answers: &'static [Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let offered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&offered);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                    while let Some(Ok(message)) = socket.next().await {
                        let Ok(Value::Array(said)) = serde_json::from_str(message.to_text().unwrap_or(""))
                        else {
                            continue;
                        };
                        if said[0] != "EVENT" {
                            continue;
                        }
                        let turn = count.fetch_add(1, Ordering::SeqCst);
                        let (taken, why) = match answers[turn.min(answers.len() - 1)] {
                            Answer::Ok => (true, ""),
                            Answer::No(why) => (false, why),
                            Answer::Silence => continue,
                            Answer::Hangup => return,
                        };
                        let line = json!(["OK", said[1]["id"], taken, why]).to_string();
                        socket.send(Message::text(line)).await.unwrap();
                    }
                });
            }
        });
        Self { url, offered }
    }

    fn offered(&self) -> usize {
        self.offered.load(Ordering::SeqCst)
    }
}

/// A relay that keeps what it is offered, with threads of its own: its connections end with it.
struct Honest {
    url: String,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Honest {
    async fn start(address: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listening = runtime.spawn(async move {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            socket.listen(64).unwrap()
        });
        let listener = listening.await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = LocalRelayServer::new(LocalRelayLimits::default());
        runtime.spawn(async move { server.listen(listener).await });
        Self { url: format!("ws://{address}"), address, runtime: Some(runtime) }
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// An outbox whose relays are all connected.
async fn outbox(urls: &[&str]) -> Outbox {
    let pool = Pool::connect(urls.iter().copied()).await.unwrap();
    all_connected(&pool).await;
    Outbox::new(pool)
}

async fn all_connected(pool: &Pool) {
    let connected = async {
        while !pool.status().await.iter().all(|relay| relay.connected) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(3 * SOON, connected).await.unwrap();
}

fn note(keys: &Keys, text: &str, at: UnixSecs) -> CheckedEvent {
    let tags = vec![tag!["expiration", at.plus_secs(3_600)]];
    sign(keys, Kind::Custom(13_793), at, tags, text.to_owned()).unwrap()
}

/// What a relay holds of a key.
async fn held(url: &str, keys: &Keys) -> Vec<String> {
    let pool = Pool::connect([url]).await.unwrap();
    assert!(pool.wait_connected(SOON).await);
    let found = pool.fetch(Filter::new().author(keys.public_key()), SOON).await.unwrap();
    found.into_iter().map(|event| event.content.clone()).collect()
}

#[tokio::test]
async fn relay_that_refuses_for_good_is_left_alone_and_the_others_have_the_event() {
    for why in ["blocked: not here", "restricted: members", "auth-required: who are you?", "pow: more work"] {
        let refusing = Scripted::start(Box::leak(Box::new([Answer::No(why)]))).await;
        let honest = Honest::start(any()).await;
        let (outbox, keys) = (outbox(&[&honest.url, &refusing.url]).await, Keys::generate());
        outbox.publish("announcement", &note(&keys, "hello", now()), now()).await.unwrap();
        assert_eq!(held(&honest.url, &keys).await, ["hello"]);
        assert_eq!((refusing.offered(), outbox.repeat_due()), (1, None), "{why}");
        let answers = outbox.state().answers.values().flatten().cloned().collect::<Vec<_>>();
        assert!(answers.len() == 1 && answers[0].contains(why), "{answers:?}");
    }
}

#[tokio::test]
async fn relay_that_limits_the_rate_is_asked_again_alone_with_growing_waits() {
    let slow =
        Scripted::start(&[Answer::No("rate-limited: slow down"), Answer::No("error: full"), Answer::Ok])
            .await;
    let content = Scripted::start(&[Answer::Ok]).await;
    let (outbox, keys) = (outbox(&[&slow.url, &content.url]).await, Keys::generate());
    outbox.publish("announcement", &note(&keys, "hello", now()), now()).await.unwrap();
    let first = now().plus_secs(REPEAT_FIRST_SECS);
    assert_eq!(outbox.repeat_due(), Some(first));
    outbox.repeat(first.minus_secs(1)).await;
    assert_eq!(slow.offered(), 1);
    outbox.repeat(first).await;
    let second = first.plus_secs(2 * REPEAT_FIRST_SECS);
    assert_eq!((slow.offered(), outbox.repeat_due()), (2, Some(second)));
    outbox.repeat(second).await;
    assert_eq!((slow.offered(), outbox.repeat_due()), (3, None));
    assert_eq!(content.offered(), 1);
}

#[tokio::test]
async fn newer_event_takes_the_place_of_the_one_that_waits() {
    let slow = Scripted::start(&[Answer::No("error: busy"), Answer::Ok]).await;
    let (outbox, keys) = (outbox(&[&slow.url]).await, Keys::generate());
    let (old, new) = (note(&keys, "old", now()), note(&keys, "new", now().plus_secs(5)));
    assert!(outbox.publish("announcement", &old, now()).await.is_err());
    outbox.publish("announcement", &new, now().plus_secs(5)).await.unwrap();
    assert_eq!((slow.offered(), outbox.repeat_due()), (2, None));
}

#[tokio::test]
async fn event_that_has_ended_is_not_offered_again() {
    let slow = Scripted::start(&[Answer::No("error: busy")]).await;
    let (outbox, keys) = (outbox(&[&slow.url]).await, Keys::generate());
    assert!(outbox.publish("announcement", &note(&keys, "hello", now()), now()).await.is_err());
    outbox.repeat(now().plus_secs(3_600)).await;
    assert_eq!((slow.offered(), outbox.repeat_due()), (1, None));
}

#[tokio::test]
async fn relay_that_hangs_or_hangs_up_does_not_keep_the_event_from_others() {
    let (silent, rude) =
        (Scripted::start(&[Answer::Silence]).await, Scripted::start(&[Answer::Hangup]).await);
    let honest = Honest::start(any()).await;
    let (outbox, keys) = (outbox(&[&silent.url, &honest.url, &rude.url]).await, Keys::generate());
    let event = note(&keys, "hello", now());
    let publishing = outbox.publish("announcement", &event, now());
    // The pool gives a relay ten seconds.
    tokio::time::timeout(2 * SOON, publishing).await.unwrap().unwrap();
    assert_eq!(held(&honest.url, &keys).await, ["hello"]);
    assert!(silent.offered() >= 1 && rude.offered() >= 1);
    let late: Vec<_> = outbox.state().late.values().flat_map(|late| late.relays.clone()).collect();
    assert_eq!(late.len(), 2, "{late:?}");
}

#[tokio::test]
async fn relay_that_comes_back_gets_what_it_missed() {
    let honest = Honest::start(any()).await;
    let address = honest.address;
    let other = Scripted::start(&[Answer::Ok]).await;
    let (outbox, keys) = (outbox(&[&honest.url, &other.url]).await, Keys::generate());
    drop(honest);
    outbox.publish("announcement", &note(&keys, "hello", now()), now()).await.unwrap();
    assert_eq!(outbox.repeat_due(), Some(now().plus_secs(REPEAT_FIRST_SECS)));
    let honest = Honest::start(address).await;
    // Time is ours here, and that of the connection is not.
    all_connected(&outbox.pool).await;
    let mut at = now();
    let back = async {
        while let Some(due) = outbox.repeat_due() {
            at = due;
            outbox.repeat(at).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(3 * SOON, back).await.unwrap();
    assert_eq!((held(&honest.url, &keys).await, other.offered()), (vec!["hello".to_owned()], 1));
}

#[tokio::test]
async fn nobody_takes_it_and_each_answer_is_told() {
    let (one, two) = (
        Scripted::start(&[Answer::No("blocked: no\nand no")]).await,
        Scripted::start(&[Answer::No("invalid: kind")]).await,
    );
    let outbox = outbox(&[&one.url, &two.url]).await;
    let event = note(&Keys::generate(), "hello", now());
    let refused = outbox.publish("announcement", &event, now()).await.unwrap_err().to_string();
    assert!(refused.contains(r"blocked: no\nand no") && refused.contains("invalid: kind"), "{refused}");
}

#[test]
fn waiting_events_are_bounded() {
    let mut state = State::default();
    let late = |event: CheckedEvent| Late {
        what: "container",
        event,
        relays: ["ws://a".to_owned()].into(),
        wait_secs: 1,
        due: now(),
    };
    let first = Keys::generate();
    state.keep(late(note(&first, "0", now())));
    for _ in 0..LATE_MAX {
        state.keep(late(note(&Keys::generate(), "n", now())));
    }
    assert_eq!(state.late.len(), LATE_MAX);
    // Whoever has a place keeps it.
    state.keep(late(note(&first, "1", now().plus_secs(1))));
    let kept = &state.late[&(first.public_key(), Kind::Custom(13_793))];
    assert_eq!((kept.event.content.as_str(), state.late.len()), ("1", LATE_MAX));
}

#[test]
fn answers_that_will_not_change_are_known() {
    for (why, expected) in [
        ("blocked: you", true),
        ("relay rejected: pow: 30 bits", true),
        ("rate-limited: slow down", false),
        ("timeout", false),
        ("relay not connected", false),
        ("error: blocked by a lock", false),
        ("", false),
    ] {
        assert_eq!(is_final(why), expected, "{why}");
    }
}

//! Publishing, subscribing, reconnecting.

use futures_util::StreamExt;
use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::Keys;
use relay::{Pool, PoolError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use units::Stopwatch;

use crate::world::{SOON, TestRelay, connected, note, soon};

#[tokio::test]
async fn event_reaches_a_subscriber_once_through_two_relays() {
    let (one, two) = (TestRelay::start().await, TestRelay::start().await);
    let urls = [one.url(), two.url()];
    let (sender, receiver) = (connected(&urls).await, connected(&urls).await);
    let keys = Keys::generate();
    let mut events = receiver.subscribe(Filter::new().author(keys.public_key())).await.unwrap();
    let report = sender.publish(&note(&keys, "first", 10)).await;
    assert_eq!((report.accepted.len(), report.refused.len()), (2, 0));
    sender.publish(&note(&keys, "second", 11)).await;
    for text in ["first", "second"] {
        assert_eq!(soon("an event", events.next()).await.unwrap().content, text);
    }
}

#[tokio::test]
async fn two_subscriptions_to_the_same_events_both_get_them() {
    let relay = TestRelay::start().await;
    let (sender, receiver) = (connected(&[relay.url()]).await, connected(&[relay.url()]).await);
    let keys = Keys::generate();
    let filter = Filter::new().author(keys.public_key());
    let mut one = receiver.subscribe(filter.clone()).await.unwrap();
    let mut two = receiver.subscribe(filter).await.unwrap();
    sender.publish(&note(&keys, "both", 10)).await;
    assert_eq!(soon("the first", one.next()).await.unwrap().content, "both");
    assert_eq!(soon("the second", two.next()).await.unwrap().content, "both");
}

#[tokio::test]
async fn publishing_reports_the_relay_that_is_down() {
    let (up, down) = (TestRelay::start().await, TestRelay::start().await);
    let urls = [up.url(), down.url()];
    down.stop().await;
    let pool = connected(&urls).await;
    let report = pool.publish(&note(&Keys::generate(), "hello", 10)).await;
    assert_eq!(report.accepted, [urls[0].clone()]);
    assert_eq!((report.refused.len(), report.silent.len()), (1, 1));
    assert!(report.is_published() && report.refused[0].0.starts_with(&urls[1]));
}

/// A relay that is connected, and refuses every event, or says nothing to anybody.
async fn sullen_relay(refuses: bool) -> String {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    let Ok(said) = serde_json::from_slice::<serde_json::Value>(&message.into_data()) else {
                        continue;
                    };
                    if refuses && said[0] == "EVENT" {
                        let ok = serde_json::json!(["OK", said[1]["id"], false, "blocked: no"]).to_string();
                        socket.send(Message::text(ok)).await.unwrap();
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn relay_that_says_nothing_holds_up_nobody_who_waits_for_the_first() {
    let (good, silent) = (TestRelay::start().await, sullen_relay(false).await);
    let pool = connected(&[good.url(), silent.clone()]).await;
    soon("both", async {
        while !pool.status().await.iter().all(|relay| relay.connected) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let keys = Keys::generate();
    // More than are waited for aside; each would take ten seconds.
    soon("three hundred events", async {
        for at in 0..300 {
            let report = pool.publish_first(&note(&keys, "at once", at)).await;
            assert_eq!((report.accepted, report.refused.len()), (vec![good.url()], 0));
        }
    })
    .await;
}

#[tokio::test]
async fn relay_that_refuses_is_not_one_that_says_nothing() {
    let url = sullen_relay(true).await;
    let pool = connected(&[url]).await;
    let report = soon("an answer", pool.publish_first(&note(&Keys::generate(), "no", 1))).await;
    assert_eq!((report.accepted.len(), report.silent.len()), (0, 0));
    assert_eq!(report.refused[0].1, "blocked: no");
}

/// A relay that reads what it is sent and never says anything.
async fn mute_relay() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (heard, hearing) = mpsc::channel(16);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if let Ok(text) = message.into_text() {
                heard.send(text.to_string()).await.unwrap();
            }
        }
    });
    (url, hearing)
}

#[tokio::test]
async fn first_relay_that_takes_an_event_is_enough_and_all_are_sent_it() {
    let (relay, (mute, mut heard)) = (TestRelay::start().await, mute_relay().await);
    let pool = connected(&[relay.url(), mute]).await;
    let all = async {
        while !pool.status().await.iter().all(|relay| relay.connected) {
            tokio::task::yield_now().await;
        }
    };
    soon("both relays", all).await;
    let (event, took) = (note(&Keys::generate(), "hello", 10), Stopwatch::start());
    let report = pool.publish_first(&event).await;
    // A relay has ten seconds to say something.
    assert!(took.elapsed() < std::time::Duration::from_secs(5), "{:?}", took.elapsed());
    assert!(report.is_published() && report.refused.is_empty(), "{report:?}");
    let sent = soon("the event", heard.recv()).await.unwrap();
    assert!(sent.contains(&event.id.to_hex()), "{sent}");
    let down = TestRelay::start().await.stop().await;
    let pool = Pool::connect([format!("ws://{down}")]).await.unwrap();
    let report = pool.publish_first(&event).await;
    assert!(!report.is_published() && report.refused.len() == 1, "{report:?}");
}

#[tokio::test]
async fn pool_returns_to_a_relay_that_was_away_and_subscribes_again() {
    let relay = TestRelay::start().await;
    let (sender, receiver) = (connected(&[relay.url()]).await, connected(&[relay.url()]).await);
    let keys = Keys::generate();
    let mut events = receiver.subscribe(Filter::new().author(keys.public_key())).await.unwrap();
    let address = relay.stop().await;
    let _relay = TestRelay::start_at(address).await;
    let mut at = 20;
    let got = soon("an event after the relay came back", async {
        loop {
            at += 1;
            sender.publish(&note(&keys, "again", at)).await;
            let wait = tokio::time::timeout(std::time::Duration::from_millis(200), events.next());
            if let Ok(event) = wait.await {
                return event.unwrap();
            }
        }
    });
    assert_eq!(got.await.content, "again");
}

#[tokio::test]
async fn fetch_returns_checked_events_newest_first() {
    let relay = TestRelay::start().await;
    let pool = connected(&[relay.url()]).await;
    let keys = Keys::generate();
    for at in [30, 10, 20] {
        assert!(pool.publish(&note(&keys, &at.to_string(), at)).await.is_published());
    }
    let fresh = connected(&[relay.url()]).await;
    let found =
        fresh.fetch(Filter::new().author(keys.public_key()).kind(Kind::TextNote), SOON).await.unwrap();
    assert_eq!(found.iter().map(|event| event.content.as_str()).collect::<Vec<_>>(), ["30", "20", "10"]);
}

#[tokio::test]
async fn address_that_is_no_relay_is_refused() {
    for url in ["http://127.0.0.1", "127.0.0.1:80", ""] {
        assert!(matches!(Pool::connect([url]).await, Err(PoolError::Url { .. })), "{url}");
    }
}

#[tokio::test]
async fn relay_that_a_stranger_named_at_a_private_address_is_not_connected_to() {
    let relay = TestRelay::start().await;
    let guarded = Pool::builder().guard(guard::AddressGuard::public_only()).relays([relay.url()]);
    let pool = guarded.build().await.unwrap();
    assert!(!pool.wait_connected(std::time::Duration::from_millis(700)).await);
    assert!(connected(&[relay.url()]).await.status().await[0].connected);
}

use nostr::key::Keys;
use protocol::event::sign;
use protocol::tag;
use relay::{LocalRelayLimits, LocalRelayServer};
use tokio::net::TcpListener;
use units::ManualClock;

use super::*;

const SOON: Duration = Duration::from_secs(10);
const START: UnixSecs = UnixSecs(1_800_000_000);
const DAY: Duration = Duration::from_secs(24 * 3_600);

#[tokio::test]
async fn subscription_moves_on_with_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = LocalRelayServer::new(LocalRelayLimits::default());
    tokio::spawn(async move { server.listen(listener).await });
    let pool = Pool::connect([url]).await.unwrap();
    assert!(pool.wait_connected(SOON).await);
    let (us, them) = (Keys::generate().public_key(), Keys::generate());
    let publish = async |text: &str, at| {
        let tags = vec![tag!["p", us.to_hex()]];
        let event = sign(&them, Kind::TextNote, at, tags, text.to_owned()).unwrap();
        assert!(pool.publish(&event).await.is_published());
    };
    let clock = Arc::new(ManualClock::at(START));
    let wanted = Wanted { kinds: [Kind::TextNote, Kind::GiftWrap], to: us, age_secs: 60 };
    let mut incoming = Incoming::open(pool.clone(), Arc::<ManualClock>::clone(&clock), wanted).await.unwrap();
    publish("one", START).await;
    let next = async |incoming: &mut Incoming| {
        tokio::time::timeout(SOON, incoming.next()).await.expect("no event").unwrap().content.clone()
    };
    assert_eq!(next(&mut incoming).await, "one");

    clock.advance(DAY);
    let later = START.plus_secs(DAY.as_secs());
    publish("two", later).await;
    // As if so long had passed.
    incoming.is_due = true;
    let mut seen = vec![next(&mut incoming).await];
    while incoming.before.is_some() {
        if let Ok(event) = tokio::time::timeout(Duration::ZERO, incoming.next()).await {
            seen.push(event.unwrap().content.clone());
        }
    }
    publish("too old by now", START.plus_secs(1)).await;
    publish("three", later.plus_secs(1)).await;
    while seen.last().is_none_or(|last| last != "three") {
        seen.push(next(&mut incoming).await);
    }
    assert!(seen.contains(&"two".to_owned()) && !seen.contains(&"too old by now".to_owned()), "{seen:?}");
}

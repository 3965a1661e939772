//! The relays: ours, and those that receivers name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use guard::AddressGuard;
use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::PublicKey;
use protocol::event::{CheckedEvent, tags_named};
use relay::Pool;
use tokio::sync::watch;
use units::{Clock, UnixSecs};

use super::lane::Carrier;
use crate::sparing::Sparing;

/// Relays of one receiver that are tried: a stranger names them.
const INBOX_RELAYS_MAX: usize = 3;
/// Longest address of one.
const URL_BYTES_MAX: usize = 200;
/// How long a list of relays is looked for on our own.
const LOOK_WAIT: Duration = Duration::from_secs(3);
/// How long a receiver's relay may take to be reached.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long such a list is believed.
const LIST_SECS: u64 = 3_600;
/// How long it is believed that there is none: the relay that has it may have been away.
const NO_LIST_SECS: u64 = 60;
/// Lists that are remembered.
const LISTS_MAX: usize = 1_024;
/// Waits before what is kept goes to our relays again; then the last of them, so often that it is given up after
/// eight hours.
const OURS_AGAIN: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(60)];
const OURS_TRIES_MAX: usize = 480;
/// Waits before it goes to the receiver's again; after the last one it is given up: eight hours.
const THEIRS_AGAIN: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
    Duration::from_secs(7_200),
    Duration::from_secs(18_000),
];

/// The wait after so many tries at our own relays.
pub(super) fn ours_again(tries: usize) -> Option<Duration> {
    let at = tries.min(OURS_AGAIN.len() - 1);
    OURS_AGAIN.get(at).copied().filter(|_| tries < OURS_TRIES_MAX)
}

/// The wait after so many tries at a receiver's.
pub(super) fn theirs_again(tries: usize) -> Option<Duration> {
    THEIRS_AGAIN.get(tries).copied()
}

/// The relays on which people write to us.
#[derive(Debug)]
pub(super) struct Ours {
    pool: Pool,
    clock: Arc<dyn Clock>,
    not_taken: Sparing,
}

impl Ours {
    pub(super) fn new(pool: Pool, clock: Arc<dyn Clock>) -> Self {
        Self { pool, clock, not_taken: Sparing::default() }
    }
}

impl Carrier for Ours {
    const NAME: &'static str = "ours";

    fn again(tries: usize) -> Option<Duration> {
        ours_again(tries)
    }

    async fn carry(&self, to: &PublicKey, event: &CheckedEvent) -> bool {
        let report = self.pool.publish_first(event).await;
        if !report.is_published()
            && let Some(times) = self.not_taken.due(self.clock.now_ms())
        {
            tracing::warn!(times, refused = ?report.refused, "no relay of ours took a message; the last one was to {to}");
        }
        report.is_published()
    }

    fn connected(&self) -> watch::Receiver<u64> {
        self.pool.connected()
    }
}

/// The relays that a receiver names.
#[derive(Debug)]
pub(super) struct Theirs {
    pool: Pool,
    guard: AddressGuard,
    clock: Arc<dyn Clock>,
    lists: Mutex<HashMap<PublicKey, (UnixSecs, Vec<String>)>>,
}

impl Carrier for Theirs {
    const NAME: &'static str = "theirs";

    fn again(tries: usize) -> Option<Duration> {
        theirs_again(tries)
    }

    async fn carry(&self, to: &PublicKey, event: &CheckedEvent) -> bool {
        let Some(mut relays) = self.inbox(to).await else { return false };
        let ours: Vec<_> = self.pool.status().await.into_iter().map(|relay| plain(&relay.url)).collect();
        relays.retain(|url| !ours.contains(url));
        if relays.is_empty() {
            return true;
        }
        // Many of them side by side, and for one event each.
        let pool = Pool::builder().guard(self.guard.clone()).publishes_only().relays(relays);
        let pool = match pool.build().await {
            Ok(pool) => pool,
            Err(e) => {
                // No time makes them better.
                tracing::debug!("a receiver's relays cannot be used: {e}");
                return true;
            }
        };
        pool.wait_connected(CONNECT_WAIT).await && pool.publish_first(event).await.is_published()
    }

    fn connected(&self) -> watch::Receiver<u64> {
        self.pool.connected()
    }
}

impl Theirs {
    pub(super) fn new(pool: Pool, guard: AddressGuard, clock: Arc<dyn Clock>) -> Self {
        Self { pool, guard, clock, lists: Mutex::default() }
    }

    /// The relays that somebody names, if it can be known.
    async fn inbox(&self, of: &PublicKey) -> Option<Vec<String>> {
        let now = self.clock.now();
        let known = self.lock().get(of).filter(|(until, _)| *until > now).map(|(_, list)| list.clone());
        if known.is_some() {
            return known;
        }
        let filter = Filter::new().kind(Kind::InboxRelays).author(*of).limit(1);
        let found = match self.pool.fetch(filter, LOOK_WAIT).await {
            Ok(found) => found,
            Err(e) => {
                tracing::debug!("a receiver's relays cannot be looked up: {e}");
                return None;
            }
        };
        // Whom nobody could be asked about may have named some.
        if found.is_empty() && !self.pool.status().await.iter().any(|relay| relay.connected) {
            return None;
        }
        let list = found.first().map(relays_in).unwrap_or_default();
        let secs = if list.is_empty() { NO_LIST_SECS } else { LIST_SECS };
        let mut lists = self.lock();
        if lists.len() >= LISTS_MAX {
            lists.clear();
        }
        lists.insert(*of, (now.plus_secs(secs), list.clone()));
        Some(list)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PublicKey, (UnixSecs, Vec<String>)>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn relays_in(list: &CheckedEvent) -> Vec<String> {
    let urls = tags_named(list, "relay").filter_map(|tag| tag.get(1));
    urls.filter(|url| url.len() <= URL_BYTES_MAX && (url.starts_with("wss://") || url.starts_with("ws://")))
        .map(|url| plain(url))
        .take(INBOX_RELAYS_MAX)
        .collect()
}

/// One relay is written with and without the slash at its end.
fn plain(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;
    use protocol::event::sign;
    use protocol::tag;
    use relay::{LocalRelayLimits, LocalRelayServer};
    use tokio::net::TcpListener;
    use units::{ManualClock, SystemClock};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn few_relays_are_read_from_a_strangers_list() {
        let long = format!("wss://{}", "x".repeat(URL_BYTES_MAX));
        let urls = ["http://no", &long, "wss://a/", "ws://b", "wss://c", "wss://d"];
        let tags = urls.iter().map(|url| tag!["relay", url]).collect();
        let list = sign(&Keys::generate(), Kind::InboxRelays, UnixSecs(1), tags, String::new()).unwrap();
        assert_eq!(relays_in(&list), ["wss://a", "ws://b", "wss://c"]);
    }

    #[test]
    fn what_is_kept_is_tried_for_hours() {
        for again in [ours_again, theirs_again] {
            let sum: Duration = (0..).map_while(again).sum();
            assert!((7 * 3_600..10 * 3_600).contains(&sum.as_secs()), "{sum:?}");
        }
        assert!((0..).map_while(ours_again).all(|wait| wait <= Duration::from_secs(60)));
    }

    async fn relay() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let server = LocalRelayServer::new(LocalRelayLimits::default());
        tokio::spawn(async move { server.listen(listener).await });
        url
    }

    fn message() -> CheckedEvent {
        sign(&Keys::generate(), Kind::TextNote, UnixSecs(1), Vec::new(), "x".into()).unwrap()
    }

    /// None of our relays can be asked where the receiver is: that is no answer.
    #[tokio::test]
    async fn receiver_about_whom_nobody_can_be_asked_has_not_been_reached() {
        let nobody_listens = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let pool = Pool::connect([format!("ws://{nobody_listens}")]).await.unwrap();
        let theirs = Theirs::new(pool, AddressGuard::public_only(), Arc::new(SystemClock));
        let to = Keys::generate().public_key();
        assert!(!theirs.carry(&to, &message()).await, "it counts as delivered");
        assert!(theirs.lock().is_empty(), "and is remembered");
    }

    /// A list that comes a minute later counts.
    #[tokio::test]
    async fn list_that_was_not_there_is_looked_for_again_soon() {
        let (ours, inbox) = (relay().await, relay().await);
        let pool = Pool::connect([ours]).await.unwrap();
        assert!(pool.wait_connected(SOON).await);
        let clock = Arc::new(ManualClock::at(UnixSecs(1_800_000_000)));
        let guard = AddressGuard::with_exceptions(vec!["127.0.0.0/8".parse().unwrap()]);
        let theirs = Theirs::new(pool.clone(), guard, Arc::<ManualClock>::clone(&clock));
        let keys = Keys::generate();
        let to = keys.public_key();
        assert!(theirs.carry(&to, &message()).await, "there is no relay that could take it");
        let tags = vec![tag!["relay", &inbox]];
        let list = sign(&keys, Kind::InboxRelays, clock.now(), tags, String::new()).unwrap();
        assert!(pool.publish(&list).await.is_published());
        clock.advance(Duration::from_secs(NO_LIST_SECS + 1));
        let sent = message();
        assert!(theirs.carry(&to, &sent).await);
        let reader = Pool::connect([inbox]).await.unwrap();
        assert!(reader.wait_connected(SOON).await);
        assert_eq!(reader.fetch(Filter::new().id(sent.id), SOON).await.unwrap().len(), 1);
    }
}

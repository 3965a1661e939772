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
use units::{Clock, UnixSecs};

use super::Carrier;

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
/// Lists that are remembered.
const LISTS_MAX: usize = 1_024;

/// Relays, by connections of ours.
#[derive(Debug)]
pub(super) struct Relays {
    pool: Pool,
    guard: AddressGuard,
    clock: Arc<dyn Clock>,
    lists: Mutex<HashMap<PublicKey, (UnixSecs, Vec<String>)>>,
}

impl Carrier for Relays {
    async fn to_ours(&self, event: &CheckedEvent) -> bool {
        let report = self.pool.publish(event).await;
        if !report.is_published() {
            tracing::debug!("no relay took a message: {:?}", report.refused);
        }
        report.is_published()
    }

    async fn to_theirs(&self, to: &PublicKey, event: &CheckedEvent) -> bool {
        let ours: Vec<_> = self.pool.status().await.into_iter().map(|relay| plain(&relay.url)).collect();
        let mut relays = self.inbox(to).await;
        relays.retain(|url| !ours.contains(url));
        if relays.is_empty() {
            return true;
        }
        let pool = match Pool::builder().guard(self.guard.clone()).relays(relays).build().await {
            Ok(pool) => pool,
            Err(e) => {
                // No time makes them better.
                tracing::debug!("a receiver's relays cannot be used: {e}");
                return true;
            }
        };
        pool.wait_connected(CONNECT_WAIT).await && pool.publish(event).await.is_published()
    }
}

impl Relays {
    pub(super) fn new(pool: Pool, guard: AddressGuard, clock: Arc<dyn Clock>) -> Self {
        Self { pool, guard, clock, lists: Mutex::default() }
    }

    async fn inbox(&self, of: &PublicKey) -> Vec<String> {
        let now = self.clock.now();
        let known = self.lock().get(of).filter(|(until, _)| *until > now).map(|(_, list)| list.clone());
        if let Some(list) = known {
            return list;
        }
        let filter = Filter::new().kind(Kind::InboxRelays).author(*of).limit(1);
        let found = self.pool.fetch(filter, LOOK_WAIT).await.unwrap_or_default();
        let list = found.first().map(relays_in).unwrap_or_default();
        let mut lists = self.lock();
        if lists.len() >= LISTS_MAX {
            lists.clear();
        }
        lists.insert(*of, (now.plus_secs(LIST_SECS), list.clone()));
        list
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

    use super::*;

    #[test]
    fn few_relays_are_read_from_a_strangers_list() {
        let long = format!("wss://{}", "x".repeat(URL_BYTES_MAX));
        let urls = ["http://no", &long, "wss://a/", "ws://b", "wss://c", "wss://d"];
        let tags = urls.iter().map(|url| tag!["relay", url]).collect();
        let list = sign(&Keys::generate(), Kind::InboxRelays, UnixSecs(1), tags, String::new()).unwrap();
        assert_eq!(relays_in(&list), ["wss://a", "ws://b", "wss://c"]);
    }
}

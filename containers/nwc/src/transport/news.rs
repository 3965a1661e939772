//! Notifications: after the commit, behind the answers. A payment has four of them, dearer together than its
//! answer; whoever waits for an answer does not wait for other people's news.

use std::sync::Arc;

use nostr::key::{Keys, PublicKey};
use protocol::kinds::{NWC_NOTIFICATION, NWC_NOTIFICATION_NIP04};
use protocol::nwc::Notification;
use relay::queue::{QueueReceiver, QueueSender, queue};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::Transport;
use crate::service::{Door, Scheme};

/// News that wait. When it is full, requests wait after their answer, which slows their clients down to what
/// the relays take.
const QUEUE_MAX: usize = 256;
/// Bytes of them: few of the longest, all of what is usual.
const QUEUE_BYTES_MAX: u32 = 2 * 1024 * 1024;
/// Events that wait for a relay's OK.
const SENDING_MAX: usize = 512;

/// Whose wallet, and what happened to it, as it is told.
#[derive(Debug)]
struct News {
    whose: PublicKey,
    kind: &'static str,
    text: String,
}

/// What waits to be sent.
#[derive(Debug)]
pub(super) struct NewsQueue {
    put: QueueSender<News>,
    /// Locked by the one task that sends.
    take: Mutex<QueueReceiver<News>>,
}

impl Default for NewsQueue {
    fn default() -> Self {
        let (put, take) = queue(QUEUE_MAX, QUEUE_BYTES_MAX);
        Self { put, take: Mutex::new(take) }
    }
}

impl NewsQueue {
    /// Puts it behind what waits already.
    pub(super) async fn put(&self, whose: PublicKey, what: Notification) {
        let news = News { whose, kind: what.type_name(), text: what.to_json() };
        let bytes = news.text.len();
        // It is closed only at the end of the program.
        let _closed = self.put.put(news, bytes).await;
    }
}

/// Sends what comes behind one door, in its order, until the task is aborted.
pub(super) async fn keep_sent(transport: Arc<Transport>, door: Door) {
    let queue = match (door, &transport.house) {
        (Door::House, Some(house)) => &house.news,
        (Door::House | Door::Public | Door::Web, _) => &transport.news,
    };
    let mut news = queue.take.lock().await;
    let mut sending = JoinSet::new();
    while let Some(News { whose, kind, text }) = news.next().await {
        for (keys, to) in listeners(&transport, whose, kind) {
            send(&transport, door, &mut sending, &keys, &to, &text).await;
        }
    }
}

/// The owner, and the connections that hear of it.
fn listeners(transport: &Transport, whose: PublicKey, kind: &str) -> Vec<(Keys, PublicKey)> {
    let listeners = transport.wallet.listeners(&whose, kind, transport.clock.now());
    let through =
        listeners.iter().filter_map(|one| transport.keyring.get(&one.service).map(|keys| (keys, one.client)));
    std::iter::once((transport.keys.clone(), whose)).chain(through).collect()
}

/// Both kinds, because both encryptions are announced and clients listen to one of them.
async fn send(
    transport: &Arc<Transport>,
    door: Door,
    sending: &mut JoinSet<()>,
    keys: &Keys,
    to: &PublicKey,
    text: &str,
) {
    for (scheme, kind) in [(Scheme::Nip44, NWC_NOTIFICATION), (Scheme::Nip04, NWC_NOTIFICATION_NIP04)] {
        match transport.sealed(scheme, keys, kind, to, text, Vec::new()) {
            Ok(event) => {
                let transport = Arc::clone(transport);
                sending.spawn(async move { transport.publish(door, "notification", &event).await });
            }
            Err(e) => tracing::error!("a notification could not be made: {e}"),
        }
    }
    // What was said OK to meanwhile, and more only if too many wait.
    while sending.try_join_next().is_some() {}
    while sending.len() > SENDING_MAX {
        sending.join_next().await;
    }
}

//! Notifications: after the commit, behind the answers. A payment has four of them, dearer together than its
//! answer; whoever waits for an answer does not wait for other people's news.

use std::sync::Arc;

use nostr::key::{Keys, PublicKey};
use protocol::kinds::{NWC_NOTIFICATION, NWC_NOTIFICATION_NIP04};
use protocol::nwc::Notification;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::Transport;
use crate::service::Scheme;

/// News that wait. When it is full, requests wait after their answer, which slows their clients down to what
/// the relays take.
const QUEUE_MAX: usize = 256;
/// Events that wait for a relay's OK.
const SENDING_MAX: usize = 512;

/// Whose wallet, and what happened to it.
type News = (PublicKey, Notification);

/// What waits to be sent.
#[derive(Debug)]
pub(super) struct NewsQueue {
    put: mpsc::Sender<News>,
    /// Locked by the one task that sends.
    take: Mutex<mpsc::Receiver<News>>,
}

impl Default for NewsQueue {
    fn default() -> Self {
        let (put, take) = mpsc::channel(QUEUE_MAX);
        Self { put, take: Mutex::new(take) }
    }
}

impl NewsQueue {
    /// Puts it behind what waits already.
    pub(super) async fn put(&self, whose: PublicKey, what: Notification) {
        // It is closed only at the end of the program.
        drop(self.put.send((whose, what)).await);
    }
}

/// Sends what comes, in its order, until the task is aborted.
pub(super) async fn keep_sent(transport: Arc<Transport>) {
    let mut news = transport.news.take.lock().await;
    let mut sending = JoinSet::new();
    while let Some((whose, what)) = news.recv().await {
        let text = what.to_json();
        for (keys, to) in listeners(&transport, whose) {
            send(&transport, &mut sending, &keys, &to, &text).await;
        }
    }
}

/// The owner, and the connections that hear of it.
fn listeners(transport: &Transport, whose: PublicKey) -> Vec<(Keys, PublicKey)> {
    let listeners = transport.wallet.listeners(&whose, transport.clock.now());
    let through =
        listeners.iter().filter_map(|one| transport.keyring.get(&one.service).map(|keys| (keys, one.client)));
    std::iter::once((transport.keys.clone(), whose)).chain(through).collect()
}

/// Both kinds, because both encryptions are announced and clients listen to one of them.
async fn send(
    transport: &Arc<Transport>,
    sending: &mut JoinSet<()>,
    keys: &Keys,
    to: &PublicKey,
    text: &str,
) {
    for (scheme, kind) in [(Scheme::Nip44, NWC_NOTIFICATION), (Scheme::Nip04, NWC_NOTIFICATION_NIP04)] {
        match transport.sealed(scheme, keys, kind, to, text, Vec::new()) {
            Ok(event) => {
                let transport = Arc::clone(transport);
                sending.spawn(async move { transport.publish("notification", &event).await });
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

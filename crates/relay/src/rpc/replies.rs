//! Replies on their way: sealed, published, and waited for no longer than others suffer from it.

use std::sync::Arc;

use nostr::event::Kind;
use nostr::key::PublicKey;
use protocol::rpc::{Failure, MESSAGE_BYTES_MAX, Reply};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use units::UnixSecs;

use super::envelope::Envelope;
use crate::Pool;

/// Replies at once of which it is waited whether relays take them; the longest take some 90 kB each. What is
/// beyond is sent all the same: a relay that never says OK holds up nobody.
const WATCHED_MAX: usize = 256;

/// Sends replies.
#[derive(Debug)]
pub(super) struct Replies {
    pool: Pool,
    kind: Kind,
    watched: Arc<Semaphore>,
}

/// The right to wait for what relays say of a reply.
pub(super) type Watch = Option<OwnedSemaphorePermit>;

impl Replies {
    pub(super) fn new(pool: Pool, kind: Kind) -> Self {
        Self { pool, kind, watched: Arc::new(Semaphore::new(WATCHED_MAX)) }
    }

    pub(super) fn watch(&self) -> Watch {
        Arc::clone(&self.watched).try_acquire_owned().ok()
    }

    /// Sends a reply, and waits for what relays say if it is to be watched.
    pub(super) async fn send(&self, by: &Envelope, to: &PublicKey, text: &str, now: UnixSecs, watch: Watch) {
        let sealed = match by.seal(self.kind, to, text, now) {
            Ok(sealed) => sealed,
            Err(e) => return tracing::error!("a reply could not be sealed: {e}"),
        };
        if watch.is_none() {
            metrics::counter!("rpc_replies_unwatched_total").increment(1);
            return self.pool.send(&sealed).await;
        }
        let report = self.pool.publish(&sealed).await;
        if !report.is_published() {
            tracing::warn!("no relay took the reply to {to}: {:?}", report.refused);
        }
    }

    /// Waits until no reply is on its way any more.
    pub(super) async fn drain(&self) {
        let all = u32::try_from(WATCHED_MAX).unwrap_or(u32::MAX);
        drop(self.watched.acquire_many(all).await);
    }
}

/// What is answered.
pub(super) enum Answer {
    New(Reply),
    Old(String),
}

impl Answer {
    pub(super) fn refused(id: String, failure: Failure) -> Self {
        Self::New(Reply::new(id, Err(failure)))
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::New(reply) => serde_json::to_string(reply).unwrap_or_default(),
            Self::Old(text) => text.clone(),
        }
    }

    pub(super) fn code(&self) -> String {
        match self {
            Self::New(reply) => reply.code.clone().unwrap_or_else(|| "ok".into()),
            Self::Old(_) => "repeated".into(),
        }
    }
}

/// True for a reply that fits into an event.
pub(super) fn fits(reply: &Reply) -> bool {
    serde_json::to_vec(reply).is_ok_and(|text| text.len() <= MESSAGE_BYTES_MAX)
}

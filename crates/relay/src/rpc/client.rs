//! The caller's end of RPC.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use nostr::types::Timestamp;
use protocol::event::CheckedEvent;
use protocol::rpc::{Refusal, Reply, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::oneshot;
use units::{Clock, UnixSecs};

use super::envelope::{Envelope, SealError};
use crate::dialer::lock;
use crate::{Pool, PoolError, Subscription};

/// A request that is not answered is sent again: the first may have come before the service subscribed,
/// or its answer after we had lost the relay. The id stays, so that it has one effect.
const REPEAT_EVERY: Duration = Duration::from_secs(4);
/// Replies are looked for from a little before our clock's now, for services whose clock is behind.
const CLOCK_SKEW_SECS: u64 = 600;

/// Why a call gave nothing.
#[derive(Debug, Error)]
pub enum RpcError {
    /// Nobody answered in time. The command may have been carried out: repeat it with the same id.
    #[error("nobody answered within {} s; the relay or the service may be down", .0.as_secs())]
    NoAnswer(Duration),
    /// The service answered with an error.
    #[error(transparent)]
    Refused(Refusal),
    /// The service's answer is not what the method returns.
    #[error("the service's answer is not understood: {0}")]
    Malformed(String),
    /// The relays cannot be used.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The request could not be made.
    #[error(transparent)]
    Seal(#[from] SealError),
}

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Reply>>>>;

/// Calls one service with one key.
#[derive(Debug)]
pub struct RpcClient {
    envelope: Arc<Envelope>,
    service: PublicKey,
    kind: Kind,
    pool: Pool,
    clock: Arc<dyn Clock>,
    waiting: Waiting,
    reading: tokio::task::JoinHandle<()>,
}

impl Drop for RpcClient {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl RpcClient {
    /// Subscribes to the service's replies.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn new(
        pool: Pool,
        keys: Keys,
        service: PublicKey,
        kind: Kind,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PoolError> {
        let since = clock.now().minus_secs(CLOCK_SKEW_SECS);
        let filter = Filter::new()
            .kind(kind)
            .author(service)
            .pubkey(keys.public_key())
            .since(Timestamp::from_secs(since.0));
        let replies = pool.subscribe(filter).await?;
        let waiting = Waiting::default();
        let envelope = Arc::new(Envelope::new(keys));
        let reading = tokio::spawn(read_replies(replies, Arc::clone(&envelope), Arc::clone(&waiting)));
        Ok(Self { envelope, service, kind, pool, clock, waiting, reading })
    }

    /// Calls `method` and waits for its result, at most `wait`.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &(impl Serialize + Sync),
        wait: Duration,
    ) -> Result<T, RpcError> {
        self.call_as(&random_id(), method, params, wait).await
    }

    /// As [`Self::call`], with an id of the caller's: a command repeated with its id has one effect.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn call_as<T: DeserializeOwned>(
        &self,
        id: &str,
        method: &str,
        params: &(impl Serialize + Sync),
        wait: Duration,
    ) -> Result<T, RpcError> {
        self.call_with_work(id, method, params, wait, 0).await
    }

    /// As [`Self::call_as`], with proof of work in the request: so many leading zero bits of its id (NIP-13), at
    /// most [`WORK_BITS_MAX`](crate::work::WORK_BITS_MAX). The work counts as waiting.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn call_with_work<T: DeserializeOwned>(
        &self,
        id: &str,
        method: &str,
        params: &(impl Serialize + Sync),
        wait: Duration,
        bits: u8,
    ) -> Result<T, RpcError> {
        let params = serde_json::to_value(params).map_err(|e| RpcError::Malformed(e.to_string()))?;
        let request = Request { id: id.to_owned(), method: method.to_owned(), params };
        let value = self.exchange(&request, wait, bits).await?;
        serde_json::from_value(value).map_err(|e| RpcError::Malformed(e.to_string()))
    }

    async fn exchange(&self, request: &Request, wait: Duration, bits: u8) -> Result<Value, RpcError> {
        let (answer, answered) = oneshot::channel();
        lock(&self.waiting).insert(request.id.clone(), answer);
        let _forget = Forget { waiting: &self.waiting, id: &request.id };
        let text = serde_json::to_string(request).map_err(|e| RpcError::Malformed(e.to_string()))?;
        let sending = async {
            let mut last = UnixSecs(0);
            loop {
                // A repeated event must differ from the one before, or relays take it for a copy.
                last = self.clock.now().max(last.plus_secs(1));
                let event = self.seal(&text, last, bits).await?;
                let report = self.pool.publish(&event).await;
                let wait = if report.is_published() { REPEAT_EVERY } else { REPEAT_EVERY / 8 };
                tokio::time::sleep(wait).await;
            }
        };
        let outcome = tokio::select! {
            reply = answered => reply.map_err(|_| RpcError::NoAnswer(wait))?.outcome(),
            never = sending => return never,
            () = tokio::time::sleep(wait) => return Err(RpcError::NoAnswer(wait)),
        };
        outcome.map_err(RpcError::Refused)
    }

    async fn seal(&self, text: &str, at: UnixSecs, bits: u8) -> Result<CheckedEvent, SealError> {
        if bits == 0 {
            return self.envelope.seal(self.kind, &self.service, text, at);
        }
        let (envelope, text) = (Arc::clone(&self.envelope), text.to_owned());
        let (kind, to) = (self.kind, self.service);
        let working =
            tokio::task::spawn_blocking(move || envelope.seal_with_work(kind, &to, &text, at, bits));
        working.await.map_err(|e| SealError::Work(e.to_string()))?
    }
}

/// Removes a call that nobody waits for any more.
struct Forget<'c> {
    waiting: &'c Waiting,
    id: &'c str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.waiting).remove(self.id);
    }
}

async fn read_replies(mut replies: Subscription, envelope: Arc<Envelope>, waiting: Waiting) {
    while let Some(event) = replies.next().await {
        let Ok(text) = envelope.open(&event) else { continue };
        let Ok(reply) = serde_json::from_str::<Reply>(&text) else {
            tracing::debug!("a reply is not understood");
            continue;
        };
        if let Some(answer) = lock(&waiting).remove(&reply.id) {
            drop(answer.send(reply));
        }
    }
}

fn random_id() -> String {
    let random = getrandom::u64().unwrap_or_default() as u128;
    format!("{:024x}", (random << 32) | u128::from(getrandom::u32().unwrap_or_default()))
}

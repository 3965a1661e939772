//! Requests: checked, counted, decrypted, acted on once, answered in kind.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use nostr::types::Timestamp;
use protocol::event::{CheckedEvent, expiration, tag_value, tags_named};
use protocol::kinds::NWC_REQUEST;
use protocol::nwc::{ErrorCode, Method, Request, Response, WalletError};
use relay::queue::{QueueSender, event_bytes, queue};
use relay::request_log::AGE_SECS_MAX;
use relay::rpc::{RateLimit, RateLimiter};
use relay::{Pool, Subscription};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use units::Stopwatch;

use super::{RELOAD_EVERY, Transport, TransportError};
use crate::service::{Door, Handled, RequestEvent, Scheme};

/// Requests of the server's own under way at once, beside [`Limits::concurrent_max`](crate::config::Limits) of
/// strangers: each takes a thread while it waits for the disk, and together they are fewer than the runtime's.
const HOUSE_MAX: usize = 64;
/// Requests that wait for one of these places, behind each door.
const QUEUE_MAX: usize = 1_024;
/// Bytes of them: few of the longest, all of what is usual.
const QUEUE_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// How long a subscription is kept after another has replaced it: what is on its way still arrives.
const REPLACED_KEPT: Duration = Duration::from_secs(5);
/// How often a key that asks too often is told so; the rest of its requests get no answer.
const TOLD: RateLimit = RateLimit { per_sec: 1, burst: 5 };

/// Answers requests.
pub(super) struct Requests {
    transport: Arc<Transport>,
    started: Stopwatch,
    /// What each key asks, and what it is told about asking too much.
    rates: Mutex<(RateLimiter<PublicKey>, RateLimiter<PublicKey>)>,
}

/// A request that is being answered.
struct Asked {
    request: RequestEvent,
    keys: Keys,
    door: Door,
}

impl Requests {
    pub(super) fn new(transport: Arc<Transport>) -> Arc<Self> {
        let rates = (RateLimiter::new(transport.wallet.limits().rate), RateLimiter::new(TOLD));
        Arc::new(Self { transport, started: Stopwatch::start(), rates: Mutex::new(rates) })
    }

    /// Answers behind every door until one of them is gone for good.
    pub(super) async fn run(self: Arc<Self>) -> Result<(), TransportError> {
        let mut doors = JoinSet::new();
        let public = self.transport.pool.clone();
        let places = usize::try_from(self.transport.wallet.limits().concurrent_max);
        let places = places.unwrap_or(Semaphore::MAX_PERMITS);
        doors.spawn(Arc::clone(&self).listen(Door::Public, public, places));
        if let Some(house) = &self.transport.house {
            let inside = house.pool.clone();
            doors.spawn(Arc::clone(&self).listen(Door::House, inside, HOUSE_MAX));
        }
        match doors.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(_)) | None => Ok(()),
        }
    }

    /// Asks the relays behind a door for requests to any of our service keys.
    async fn subscribe(&self, pool: &Pool) -> Result<Subscription, TransportError> {
        let since = self.transport.clock.now().minus_secs(AGE_SECS_MAX);
        let filter = Filter::new()
            .kind(NWC_REQUEST)
            .pubkeys(self.transport.keyring.public_keys())
            .since(Timestamp::from_secs(since.0));
        let limit = self.transport.wallet.limits().relay_rate;
        Ok(pool.subscribe_limited(filter, limit).await?)
    }

    /// Answers what comes through one door, which has a queue and places of its own. When connections are made
    /// or end, the subscription is replaced.
    async fn listen(self: Arc<Self>, door: Door, pool: Pool, places: usize) -> Result<(), TransportError> {
        let mut connections = self.transport.wallet.connections();
        self.transport.set_connections(&connections.borrow_and_update());
        let mut pace = tokio::time::interval(RELOAD_EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_due = false;
        let places = Arc::new(Semaphore::new(places));
        let (put, mut waiting) = queue(QUEUE_MAX, QUEUE_BYTES_MAX);
        let (mut replaced, is_replaced) = oneshot::channel();
        let mut reading = tokio::spawn(forward(self.subscribe(&pool).await?, put.clone(), is_replaced));
        loop {
            tokio::select! {
                Some(event) = waiting.next() => {
                    let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
                    let requests = Arc::clone(&self);
                    tokio::spawn(async move {
                        requests.answer(event, door).await;
                        drop(place);
                    });
                }
                Ok(()) = connections.changed() => {
                    // A revoked key is ours no more from here on; the relays are asked anew at their pace.
                    self.transport.set_connections(&connections.borrow_and_update());
                    is_due = true;
                }
                _ = pace.tick(), if is_due => {
                    is_due = false;
                    let (next, is_next) = oneshot::channel();
                    reading = tokio::spawn(forward(self.subscribe(&pool).await?, put.clone(), is_next));
                    // Dropped, it ends the one before.
                    replaced = next;
                }
                _ = &mut reading => {
                    drop(replaced);
                    return Ok(());
                }
            }
        }
    }

    async fn answer(self: &Arc<Self>, event: CheckedEvent, door: Door) {
        let Some((service, keys)) = self.service_of(&event) else { return };
        if !self.is_alive(&event) {
            return;
        }
        let asked = |scheme| {
            let signed_at = event.created_at();
            let request = RequestEvent { event: event.id, client: event.pubkey, service, scheme, signed_at };
            Asked { request, keys: keys.clone(), door }
        };
        let scheme = Scheme::of(&event);
        let asked = asked(scheme.unwrap_or(Scheme::Nip44));
        if let (Door::House, Some(house)) = (door, &self.transport.house) {
            house.note(event.pubkey);
        } else if !self.has_rate(&event.pubkey) {
            metrics::counter!("wallet_requests_refused_total", "limit" => "key_rate").increment(1);
            if self.is_told(&event.pubkey) {
                self.refuse_rate(&asked, &event).await;
            }
            return;
        }
        let Some(scheme) = scheme else {
            return self.refuse_unread(&asked, &Response::unsupported_encryption()).await;
        };
        match self.transport.cipher.decrypt(scheme, &asked.keys, &event) {
            Ok(text) => match Request::from_json(&text) {
                Err(refused) => self.refuse_unread(&asked, &Response::from(refused)).await,
                Ok(request) => self.act(asked, request).await,
            },
            Err(e) => {
                // The event is signed, so its author can be told; its content is never guessed at.
                tracing::debug!("a request was not decrypted: {e}");
                let said =
                    WalletError::invalid("the content is not encrypted as the event's encryption tag says");
                self.refuse_unread(&asked, &Response::refused(&Method::Unknown(String::new()), said)).await;
            }
        }
    }

    /// The service key that the event is for, if it is one of ours and no other is named.
    fn service_of(&self, event: &CheckedEvent) -> Option<(PublicKey, Keys)> {
        let service = PublicKey::from_hex(tag_value(event, "p")?).ok()?;
        let only = tags_named(event, "p").count() == 1;
        only.then(|| self.transport.keyring.get(&service)).flatten().map(|keys| (service, keys))
    }

    /// What has expired, or is too old to be remembered, is neither acted on nor answered.
    fn is_alive(&self, event: &CheckedEvent) -> bool {
        let now = self.transport.clock.now();
        let alive = match expiration(event) {
            Ok(until) => until.is_none_or(|until| now <= until),
            Err(_) => false,
        };
        alive && now.0.abs_diff(event.created_at().0) <= AGE_SECS_MAX
    }

    fn has_rate(&self, key: &PublicKey) -> bool {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.rates.lock().unwrap_or_else(PoisonError::into_inner).0.allow(key, now_ms)
    }

    fn is_told(&self, key: &PublicKey) -> bool {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.rates.lock().unwrap_or_else(PoisonError::into_inner).1.allow(key, now_ms)
    }

    async fn refuse_rate(&self, asked: &Asked, event: &CheckedEvent) {
        let cipher = &self.transport.cipher;
        let text = cipher.decrypt(asked.request.scheme, &asked.keys, event).unwrap_or_default();
        let method =
            Request::from_json(&text).map_or(Method::Unknown(String::new()), |request| request.method());
        let error = WalletError::new(
            ErrorCode::RateLimited,
            "too many requests (limit: NWC_RATE_PER_SEC of one key); ask less often",
        );
        self.refuse(asked, &Response::refused(&method, error)).await;
    }

    async fn act(self: &Arc<Self>, asked: Asked, request: Request) {
        let (method, took) = (request.method(), Stopwatch::start());
        let handled = self.handle(&asked, request).await.unwrap_or_else(|| {
            let error = WalletError::new(ErrorCode::Internal, "a fault of the wallet; ask again");
            Handled::refused(&method, error)
        });
        count(&method, handled.code(), took);
        let answering = async {
            if let Some(text) = handled.text() {
                self.reply(&asked, &text).await;
            }
        };
        let notices = handled.notices.clone();
        if asked.door == Door::House && !notices.is_empty() {
            // What strangers are told takes no place of the server's own requests.
            let transport = Arc::clone(&self.transport);
            tokio::spawn(async move { transport.notify_all(notices).await });
            return answering.await;
        }
        // Side by side: a relay that is slow to say OK to the one must not hold up the other.
        tokio::join!(answering, self.transport.notify_all(notices));
    }

    /// The books block; the disk has its own threads.
    async fn handle(&self, asked: &Asked, request: Request) -> Option<Handled> {
        let (event, door) = (asked.request, asked.door);
        let wallet = Arc::clone(&self.transport.wallet);
        let now = self.transport.clock.now();
        tokio::task::spawn_blocking(move || wallet.handle_event(&event, door, request, now)).await.ok()
    }

    /// Refuses what could not be read, which is a request all the same.
    async fn refuse_unread(&self, asked: &Asked, response: &Response) {
        let code = response.outcome().err().map(|error| error.code.as_str());
        count(&Method::Unknown(String::new()), code, Stopwatch::start());
        self.refuse(asked, response).await;
    }

    async fn refuse(&self, asked: &Asked, response: &Response) {
        self.reply(asked, &response.to_json()).await;
    }

    async fn reply(&self, asked: &Asked, text: &str) {
        self.transport.reply(asked.door, &asked.keys, &asked.request, text).await;
    }
}

/// Hands on what a subscription delivers, until it ends, or for a while after it was replaced.
async fn forward(
    mut events: Subscription,
    queue: QueueSender<CheckedEvent>,
    replaced: oneshot::Receiver<()>,
) {
    let replaced = async {
        // Its sender is dropped, never used.
        drop(replaced.await);
        tokio::time::sleep(REPLACED_KEPT).await;
    };
    tokio::pin!(replaced);
    loop {
        tokio::select! {
            event = events.next() => {
                let Some(event) = event else { return };
                let bytes = event_bytes(&event);
                if queue.put(event, bytes).await.is_err() {
                    return;
                }
            }
            () = &mut replaced => return,
        }
    }
}

fn count(method: &Method, code: Option<&str>, took: Stopwatch) {
    // Names that strangers make up are no labels.
    let is_known = !matches!(method, Method::Unknown(_));
    let method = if is_known { method.as_str().to_owned() } else { "other".to_owned() };
    let code = code.unwrap_or("OK").to_owned();
    metrics::counter!("wallet_requests_total", "method" => method.clone(), "code" => code).increment(1);
    metrics::histogram!("wallet_request_seconds", "method" => method).record(took.elapsed().as_secs_f64());
}

//! The service's end of RPC.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use nostr::event::{EventId, Kind};
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use nostr::types::Timestamp;
use protocol::event::CheckedEvent;
use protocol::rpc::{Code, Failure, Reply, Request};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use units::{Clock, Stopwatch, UnixSecs};

use super::envelope::Envelope;
use super::handler::{Caller, Effect, Handler, Method};
use super::rate::{RateLimit, RateLimiter};
use super::replies::{Answer, Replies, fits};
use crate::dialer::lock;
use crate::request_log::{AGE_SECS_MAX, RequestKey, RequestLog, RequestLogError, SHORT_BYTES_MAX, Seen};
use crate::{Pool, PoolError, Subscription, work};

/// Requests under way at once. What waits beyond it waits in the subscription's queue.
const CONCURRENT_MAX: usize = 128;
/// Events remembered in memory so that the second relay's copy of a read is not answered again.
const RECENT_MAX: usize = 8_192;
/// How often a key that asks too often is told so; the rest of its requests get no answer.
const TOLD: RateLimit = RateLimit { per_sec: 1, burst: 1 };
/// What one relay may deliver: each event costs the check of a signature, and far more than honest callers send
/// would cost a core. The wallet's bound is the same.
const RELAY_RATE: RateLimit = RateLimit { per_sec: 2_000, burst: 5_000 };

/// What an [`RpcServer`] is made of.
#[derive(Debug)]
pub struct ServerOptions {
    /// The service's key.
    pub keys: Keys,
    /// The kind of its requests and replies.
    pub kind: Kind,
    /// Its relays.
    pub pool: Pool,
    /// Its memory of commands.
    pub log: RequestLog,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// How often one key may ask.
    pub rate: RateLimit,
    /// When its memory of commands was put back to what it was at an earlier time, if it ever was: what
    /// was asked for before may have been done by then, and is not remembered.
    pub recovered_at: Option<UnixSecs>,
}

/// Answers requests from relays.
#[derive(Debug)]
pub struct RpcServer<H> {
    envelope: Envelope,
    replies: Replies,
    options: ServerOptions,
    handler: H,
    places: Arc<Semaphore>,
    /// What each key asks, and what it is told about asking too much.
    rates: Mutex<(RateLimiter<PublicKey>, RateLimiter<PublicKey>)>,
    recent: Mutex<Recent>,
    under_way: Mutex<HashSet<RequestKey>>,
}

impl<H: Handler> RpcServer<H> {
    /// A server that is not yet listening.
    pub fn new(options: ServerOptions, handler: H) -> Arc<Self> {
        Arc::new(Self {
            envelope: Envelope::new(options.keys.clone()),
            replies: Replies::new(options.pool.clone(), options.kind),
            rates: Mutex::new((RateLimiter::new(options.rate), RateLimiter::new(TOLD))),
            options,
            handler,
            places: Arc::new(Semaphore::new(CONCURRENT_MAX)),
            recent: Mutex::default(),
            under_way: Mutex::default(),
        })
    }

    /// Subscribes to requests made from now on.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn subscribe(&self) -> Result<Subscription, PoolError> {
        let since = self.options.clock.now().minus_secs(AGE_SECS_MAX);
        let filter = Filter::new()
            .kind(self.options.kind)
            .pubkey(self.options.keys.public_key())
            .since(Timestamp::from_secs(since.0));
        self.options.pool.subscribe_limited(filter, RELAY_RATE).await
    }

    /// Answers the requests of a subscription until it ends or the future is dropped. Requests under
    /// way then go on to their end.
    pub async fn run(self: Arc<Self>, mut requests: Subscription) {
        while let Some(event) = requests.next().await {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let server = Arc::clone(&self);
            tokio::spawn(async move { server.answer(&event, place).await });
        }
    }

    /// Waits until no request is under way, and no reply.
    pub async fn drain(&self) {
        let all = u32::try_from(CONCURRENT_MAX).unwrap_or(u32::MAX);
        drop(self.places.acquire_many(all).await);
        self.replies.drain().await;
    }

    async fn answer(&self, event: &CheckedEvent, place: OwnedSemaphorePermit) {
        if !lock(&self.recent).insert(event.id) {
            return;
        }
        let took = Stopwatch::start();
        let Some((label, reply)) = self.reply_to(event).await else { return };
        metrics::counter!("rpc_requests_total", "method" => label, "code" => reply.code()).increment(1);
        metrics::histogram!("rpc_request_seconds", "method" => label).record(took.elapsed().as_secs_f64());
        // Before the place is given back, so that a drain misses nothing.
        let watch = self.replies.watch();
        drop(place);
        let now = self.options.clock.now();
        self.replies.send(&self.envelope, &event.pubkey, &reply.text(), now, watch).await;
    }

    /// The reply, if there is to be one, and a label for the metrics: one of a few, never a caller's words.
    async fn reply_to(&self, event: &CheckedEvent) -> Option<(&'static str, Answer)> {
        let now_ms = self.options.clock.now_ms();
        // Counted first: what cannot be read costs as much.
        let has_rate = lock(&self.rates).0.allow(&event.pubkey, now_ms);
        if !has_rate && !lock(&self.rates).1.allow(&event.pubkey, now_ms) {
            metrics::counter!("rpc_requests_dropped_total").increment(1);
            return None;
        }
        let text = match self.envelope.open(event) {
            Ok(text) => text,
            Err(e) => {
                // Who cannot encrypt to us cannot read an answer either.
                tracing::debug!("a request was not opened: {e}");
                return None;
            }
        };
        let request = match Request::parse(&text) {
            Ok(request) => request,
            // The service calls others with the same key, and this is one's answer. Two services that
            // answered each other's answers would never end.
            Err(_) if is_reply(&text) => return None,
            Err(failure) => return Some(("invalid", Answer::refused(String::new(), failure))),
        };
        if let Err(failure) = self.check(event, has_rate, now_ms) {
            return Some(("refused", Answer::refused(request.id, failure)));
        }
        match self.handler.method(&request.method) {
            Some(method) if method.effect != Effect::None => self.run_command(event, request, method).await,
            read => {
                let key = RequestKey::new(&event.pubkey, &request.id, &request.body_sha256());
                let asked = self.handler.handle(caller(event), key, &request.method, request.params);
                let reply = Reply::new(request.id, asked.await);
                Some((read.map_or("unknown", |method| method.name), Answer::New(bounded(reply).0)))
            }
        }
    }

    /// Whether a request is acted on at all.
    fn check(&self, event: &CheckedEvent, has_rate: bool, now_ms: u64) -> Result<(), Failure> {
        if !has_rate {
            return Err(Failure::new(Code::RateLimited, "too many requests; wait a few seconds"));
        }
        let age_secs = (now_ms / 1_000).abs_diff(event.created_at().0);
        if age_secs > AGE_SECS_MAX || event.is_expired_at(Timestamp::from_secs(now_ms / 1_000)) {
            return Err(Failure::new(
                Code::StaleRequest,
                format!("the request is {age_secs} s off this server's clock or has expired; sign a new one"),
            ));
        }
        if self.options.recovered_at.is_some_and(|at| event.created_at() < at) {
            return Err(Failure::new(
                Code::StaleRequest,
                "the request was made before this server came back from its backup; look at what became of \
                 it, and sign a new one",
            ));
        }
        Ok(())
    }

    async fn run_command(
        &self,
        event: &CheckedEvent,
        request: Request,
        method: Method,
    ) -> Option<(&'static str, Answer)> {
        let body = request.body_sha256();
        let key = RequestKey::new(&event.pubkey, &request.id, &body);
        let Request { id, params, .. } = request;
        let _under_way = UnderWay::begin(&self.under_way, key)?;
        let (now, is_known) = (self.options.clock.now(), || self.handler.is_known(&event.pubkey));
        match self.options.log.begin(&event.id, &event.pubkey, &id, &body, now, is_known) {
            Ok(Seen::Never | Seen::Unanswered) => {}
            Ok(Seen::SameEvent) => return None,
            Ok(Seen::Answered(text)) => return Some(("repeated", Answer::Old(text))),
            Ok(Seen::Done) => {
                let outcome = self.handler.answer_again(caller(event), key, method.name, params).await;
                return Some(("repeated", Answer::New(bounded(Reply::new(id, outcome)).0)));
            }
            Ok(Seen::OtherCommand) => {
                let failure =
                    Failure::new(Code::IdReused, "this id was used for another command; choose a new one");
                return Some(("refused", Answer::refused(id, failure)));
            }
            Err(e) => return Some(("refused", Answer::refused(id, log_failure(&e)))),
        }
        let outcome = self.handler.handle(caller(event), key, method.name, params).await;
        let (is_done, is_settled) = match &outcome {
            Ok(_) => (true, true),
            Err(failure) => (false, !is_passing(failure.code)),
        };
        let (reply, is_whole) = bounded(Reply::new(id.clone(), outcome));
        let answer = Answer::New(reply);
        // A passing failure is not the command's answer: the same id may succeed later.
        if is_settled {
            self.put_on_record(&event.pubkey, &id, &answer.text(), is_done, is_whole && keeps(method));
        }
        Some((method.name, answer))
    }

    fn put_on_record(&self, caller: &PublicKey, id: &str, text: &str, is_done: bool, is_kept: bool) {
        let log = &self.options.log;
        let recorded = match (is_done, is_kept) {
            (true, true) => log.finish(caller, id, text),
            (true, false) => log.done(caller, id),
            // What was refused has changed nothing, and may be refused anew.
            (false, _) if text.len() > SHORT_BYTES_MAX => Ok(()),
            (false, _) => log.finish(caller, id, text),
        };
        if let Err(e) = recorded {
            tracing::error!("an answer could not be put on record: {e}");
        }
    }
}

const fn keeps(method: Method) -> bool {
    matches!(method.effect, Effect::Answers)
}

fn caller(event: &CheckedEvent) -> Caller {
    Caller { pubkey: event.pubkey, work_bits: work::shown(event) }
}

fn is_reply(text: &str) -> bool {
    serde_json::from_str::<Reply>(text).is_ok_and(|reply| reply.result.is_some() || reply.error.is_some())
}

/// Failures that say nothing of the command itself.
const fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::WalletUnavailable
            | Code::RateLimited
            | Code::ServerBusy
            | Code::QuotaUsed
            | Code::PaymentPending
            | Code::NotHolding
            | Code::Internal
    )
}

fn log_failure(error: &RequestLogError) -> Failure {
    if matches!(error, RequestLogError::Full) {
        let message = "this server was sent more commands than it can remember; ask again in some minutes";
        return Failure::new(Code::RateLimited, message);
    }
    tracing::error!("a command could not be put on record: {error}");
    Failure::new(Code::Internal, "the command could not be put on record; nothing was done; try again")
}

/// The reply, or one that says that it is too long; and whether it is itself.
fn bounded(reply: Reply) -> (Reply, bool) {
    if fits(&reply) {
        return (reply, true);
    }
    let message = "what was asked for is done, but its answer is too long for one event";
    (Reply::new(reply.id, Err(Failure::new(Code::Internal, message))), false)
}

/// Marks a command as under way, so that a second event with it does not run it at the same time.
struct UnderWay<'s> {
    all: &'s Mutex<HashSet<RequestKey>>,
    key: RequestKey,
}

impl<'s> UnderWay<'s> {
    fn begin(all: &'s Mutex<HashSet<RequestKey>>, key: RequestKey) -> Option<Self> {
        // Not `then_some(Self …)`: its drop on refusal would take the lock that is still held.
        let is_new = lock(all).insert(key);
        is_new.then(|| Self { all, key })
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(self.all).remove(&self.key);
    }
}

/// The last events, oldest forgotten first.
#[derive(Debug, Default)]
struct Recent {
    set: HashSet<EventId>,
    order: VecDeque<EventId>,
}

impl Recent {
    fn insert(&mut self, id: EventId) -> bool {
        if !self.set.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }
}

//! The service's end of RPC.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use nostr::event::{EventId, Kind};
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use nostr::types::Timestamp;
use protocol::event::CheckedEvent;
use protocol::rpc::{Code, Failure, MESSAGE_BYTES_MAX, Reply, Request};
use serde_json::Value;
use tokio::sync::Semaphore;
use units::{Clock, Stopwatch, UnixSecs};

use super::envelope::Envelope;
use super::rate::{RateLimit, RateLimiter};
use crate::dialer::lock;
use crate::request_log::{AGE_SECS_MAX, RequestKey, RequestLog, RequestLogError, Seen};
use crate::{Pool, PoolError, Subscription, work};

/// Requests under way at once. What waits beyond it waits in the subscription's queue.
const CONCURRENT_MAX: usize = 128;
/// Events remembered in memory so that the second relay's copy of a read is not answered again.
const RECENT_MAX: usize = 8_192;

/// Who asks, and with how much work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Caller {
    /// Their key.
    pub pubkey: PublicKey,
    /// The proof of work that the request shows (NIP-13), in bits.
    pub work_bits: u8,
}

/// Carries out requests.
pub trait Handler: Send + Sync + 'static {
    /// True for a method that changes nothing: it is not put on record, and may run twice.
    fn is_read(&self, method: &str) -> bool;

    /// Carries out one request of `caller`. A command may come again with the same key, after a crash:
    /// it must then answer as it did, and act no second time.
    fn handle(
        &self,
        caller: Caller,
        key: RequestKey,
        method: &str,
        params: Value,
    ) -> impl Future<Output = Result<Value, Failure>> + Send;
}

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
    options: ServerOptions,
    handler: H,
    places: Arc<Semaphore>,
    limiter: Mutex<RateLimiter<PublicKey>>,
    recent: Mutex<Recent>,
    under_way: Mutex<HashSet<RequestKey>>,
}

impl<H: Handler> RpcServer<H> {
    /// A server that is not yet listening.
    pub fn new(options: ServerOptions, handler: H) -> Arc<Self> {
        let limiter = Mutex::new(RateLimiter::new(options.rate));
        Arc::new(Self {
            envelope: Envelope::new(options.keys.clone()),
            options,
            handler,
            places: Arc::new(Semaphore::new(CONCURRENT_MAX)),
            limiter,
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
        self.options.pool.subscribe(filter).await
    }

    /// Answers the requests of a subscription until it ends or the future is dropped. Requests under
    /// way then go on to their end.
    pub async fn run(self: Arc<Self>, mut requests: Subscription) {
        while let Some(event) = requests.next().await {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                server.answer(&event).await;
                drop(place);
            });
        }
    }

    /// Waits until no request is under way.
    pub async fn drain(&self) {
        let all = u32::try_from(CONCURRENT_MAX).unwrap_or(u32::MAX);
        drop(self.places.acquire_many(all).await);
    }

    async fn answer(&self, event: &CheckedEvent) {
        if !lock(&self.recent).insert(event.id) {
            return;
        }
        let took = Stopwatch::start();
        let Some((method, reply)) = self.reply_to(event).await else { return };
        // Strangers choose the names of methods, and each label is kept for ever.
        let method = if reply.is_refused_with(Code::MethodUnknown) { "unknown".to_owned() } else { method };
        metrics::counter!("rpc_requests_total", "method" => method.clone(), "code" => reply.code())
            .increment(1);
        metrics::histogram!("rpc_request_seconds", "method" => method).record(took.elapsed().as_secs_f64());
        let now = self.options.clock.now();
        match self.envelope.seal(self.options.kind, &event.pubkey, &reply.text(), now) {
            Ok(sealed) => {
                let report = self.options.pool.publish(&sealed).await;
                if !report.is_published() {
                    tracing::warn!("no relay took the reply to {}: {:?}", event.pubkey, report.refused);
                }
            }
            Err(e) => tracing::error!("a reply could not be sealed: {e}"),
        }
    }

    /// The reply, if there is to be one, and the method's name for the metrics.
    async fn reply_to(&self, event: &CheckedEvent) -> Option<(String, Answer)> {
        let now_ms = self.options.clock.now_ms();
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
            Err(failure) => {
                return Some(("invalid".into(), Answer::New(Reply::new(String::new(), Err(failure)))));
            }
        };
        let id = request.id.clone();
        let refuse = |failure| Some(("refused".into(), Answer::New(Reply::new(id.clone(), Err(failure)))));
        if !lock(&self.limiter).allow(&event.pubkey, now_ms) {
            return refuse(Failure::new(Code::RateLimited, "too many requests; wait a few seconds"));
        }
        let age_secs = (now_ms / 1_000).abs_diff(event.created_at().0);
        if age_secs > AGE_SECS_MAX || event.is_expired_at(Timestamp::from_secs(now_ms / 1_000)) {
            return refuse(Failure::new(
                Code::StaleRequest,
                format!("the request is {age_secs} s off this server's clock or has expired; sign a new one"),
            ));
        }
        if self.options.recovered_at.is_some_and(|at| event.created_at() < at) {
            return refuse(Failure::new(
                Code::StaleRequest,
                "the request was made before this server came back from its backup; look at what became of \
                 it, and sign a new one",
            ));
        }
        if self.handler.is_read(&request.method) {
            let key = RequestKey::new(&event.pubkey, &request.id, &request.body_sha256());
            let method = request.method.clone();
            let outcome = self.handler.handle(caller(event), key, &request.method, request.params).await;
            return Some((method, Answer::New(bounded(Reply::new(id, outcome)))));
        }
        self.run_command(event, request).await
    }

    async fn run_command(&self, event: &CheckedEvent, request: Request) -> Option<(String, Answer)> {
        let body = request.body_sha256();
        let key = RequestKey::new(&event.pubkey, &request.id, &body);
        let id = request.id.clone();
        let _under_way = UnderWay::begin(&self.under_way, key)?;
        let seen = self.options.log.begin(&event.id, &event.pubkey, &id, &body, self.options.clock.now());
        match seen {
            Ok(Seen::Never | Seen::Unanswered) => {}
            Ok(Seen::SameEvent) => return None,
            Ok(Seen::Answered(text)) => return Some(("repeated".into(), Answer::Old(text))),
            Ok(Seen::OtherCommand) => {
                let failure =
                    Failure::new(Code::IdReused, "this id was used for another command; choose a new one");
                return Some(("refused".into(), Answer::New(Reply::new(id, Err(failure)))));
            }
            Err(e) => return Some(("refused".into(), Answer::New(Reply::new(id, Err(log_failure(&e)))))),
        }
        let outcome = self.handler.handle(caller(event), key, &request.method, request.params).await;
        let settled = !matches!(&outcome, Err(failure) if is_passing(failure.code));
        let answer = Answer::New(bounded(Reply::new(id.clone(), outcome)));
        // A passing failure is not the command's answer: the same id may succeed later.
        if settled && let Err(e) = self.options.log.finish(&event.pubkey, &id, &answer.text()) {
            tracing::error!("an answer could not be put on record: {e}");
        }
        Some((request.method, answer))
    }
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
    tracing::error!("a command could not be put on record: {error}");
    if matches!(error, RequestLogError::Full) {
        let message = "this server was sent more commands than it can remember; ask again in some minutes";
        return Failure::new(Code::RateLimited, message);
    }
    Failure::new(Code::Internal, "the command could not be put on record; nothing was done; try again")
}

fn bounded(reply: Reply) -> Reply {
    let bytes = serde_json::to_vec(&reply).map_or(usize::MAX, |text| text.len());
    if bytes <= MESSAGE_BYTES_MAX {
        return reply;
    }
    Reply::new(reply.id, Err(Failure::new(Code::Internal, "the answer is too long for one event")))
}

enum Answer {
    New(Reply),
    Old(String),
}

impl Answer {
    fn text(&self) -> String {
        match self {
            Self::New(reply) => serde_json::to_string(reply).unwrap_or_default(),
            Self::Old(text) => text.clone(),
        }
    }

    fn is_refused_with(&self, code: Code) -> bool {
        matches!(self, Self::New(Reply { code: Some(own), .. }) if own == code.as_str())
    }

    fn code(&self) -> String {
        match self {
            Self::New(reply) => reply.code.clone().unwrap_or_else(|| "ok".into()),
            Self::Old(_) => "repeated".into(),
        }
    }
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

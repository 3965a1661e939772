//! The use cases over HTTP: JSON, signed per request (NIP-98), with server-sent events for what flows.
//!
//! Here TLS ends before us or not at all; what counts is signed by the caller's key, and the answer is as
//! trustworthy as the connection. A web page on any host may ask: nothing is kept in cookies.

mod asking;
mod auth;
mod connections;
mod document;
mod params;
mod routes;
mod status;
mod streams;
mod used;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, RawPathParams, Request};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, CONTENT_TYPE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on};
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use protocol::rpc::{Code, Failure};
use relay::request_log::{RequestKey, RequestLog, RequestLogError, Seen};
use relay::rpc::{Caller, Effect, RateLimit, RateLimiter};
use relay::work;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::api::{Api, methods};
use crate::config::Http;
use crate::sparing::Sparing;
use asking::Asking;
use auth::Asked;
pub(crate) use connections::listen;
use connections::{Connections, Limits, Via};
use routes::{ROUTES, Route, Verb, Way};
use streams::{Reader, Streams};
use used::Used;

/// How often one address may ask, counted before anything else is done: to check a signature is the dearest
/// part of most requests, and keys cost nothing.
const ADDRESS_RATE: RateLimit = RateLimit { per_sec: 50, burst: 200 };
/// Requests that are carried out at once, whether or not their clients still wait.
const CONCURRENT_MAX: usize = 128;
/// What a web page may send, and for how long its browser remembers that.
const CORS: [(axum::http::HeaderName, &str); 4] = [
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
    (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, idempotency-key"),
    (ACCESS_CONTROL_MAX_AGE, "86400"),
];

/// Answers requests over HTTP.
#[derive(Debug)]
pub struct HttpServer {
    api: Api,
    log: Arc<RequestLog>,
    /// What the addresses that clients sign begin with.
    url: String,
    document: String,
    callers: Mutex<RateLimiter<PublicKey>>,
    addresses: Mutex<RateLimiter<IpAddr>>,
    floods: Sparing,
    faults: Sparing,
    used: Mutex<Used>,
    under_way: Mutex<HashSet<RequestKey>>,
    streams: Arc<Streams>,
    places: Arc<Semaphore>,
    connections: Arc<Connections>,
}

impl HttpServer {
    /// A server whose clients sign addresses that begin with `url`.
    #[must_use]
    pub fn new(api: Api, log: Arc<RequestLog>, url: String, settings: &Http) -> Arc<Self> {
        let rate = api.context().config.rate;
        let document = document::document(&url).to_json().unwrap_or_default();
        Arc::new(Self {
            api,
            log,
            url,
            document,
            callers: Mutex::new(RateLimiter::new(rate)),
            addresses: Mutex::new(RateLimiter::new(ADDRESS_RATE)),
            floods: Sparing::default(),
            faults: Sparing::default(),
            used: Mutex::default(),
            under_way: Mutex::default(),
            streams: Streams::new(),
            places: Arc::new(Semaphore::new(CONCURRENT_MAX)),
            connections: Connections::new(Limits::default(), settings.proxies.clone()),
        })
    }

    /// Answers until [`Self::end`].
    pub async fn listen(self: Arc<Self>, listener: tokio::net::TcpListener) {
        let router = self.router();
        Arc::clone(&self.connections).serve(listener, router).await;
    }

    /// Takes nothing more, and tells those who follow something that it ends.
    pub fn end(&self) {
        self.connections.end();
    }

    /// Waits until everything that was asked is carried out, and answered to whoever still listens.
    pub async fn drain(&self) {
        self.connections.drain().await;
        // Commands go on when their clients are gone.
        let all = u32::try_from(CONCURRENT_MAX).unwrap_or(u32::MAX);
        drop(self.places.acquire_many(all).await);
    }

    fn router(self: &Arc<Self>) -> Router {
        let server = Arc::clone(self);
        let document = move || {
            let text = server.document.clone();
            async move { ([(CONTENT_TYPE, "application/json")], text) }
        };
        let mut router = Router::new().route("/v1/openapi.json", get(document));
        for route in ROUTES {
            let filter = match route.verb {
                Verb::Get => MethodFilter::GET,
                Verb::Post => MethodFilter::POST,
            };
            let server = Arc::clone(self);
            let handler = move |Extension(via): Extension<Via>, params: RawPathParams, request: Request| {
                let container = params.iter().next().map(|(_, value)| value.to_owned());
                async move { server.answer(route, via, container, request).await }
            };
            router = router.route(route.path, on(filter, handler));
        }
        let none =
            || async { status::refuse(Failure::new(Code::NotFound, "no such path; see /v1/openapi.json")) };
        router.fallback(none).layer(axum::middleware::from_fn(cross_origin))
    }

    async fn answer(
        self: Arc<Self>,
        route: &'static Route,
        via: Via,
        container: Option<String>,
        request: Request,
    ) -> Response {
        let outcome = match self.let_in(via.from.ip(), request.headers()) {
            Ok(()) => match Asking::read(route.verb, via, container, request).await {
                Ok(asking) => Arc::clone(&self).carry_on(route, asking).await,
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(failure),
        };
        let code = outcome.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "ok");
        metrics::counter!("http_requests_total", "path" => route.path, "code" => code).increment(1);
        outcome.unwrap_or_else(status::refuse)
    }

    fn let_in(&self, from: IpAddr, headers: &HeaderMap) -> Result<(), Failure> {
        let now_ms = self.api.context().clock.now_ms();
        let Some(address) = self.connections.counted_client(from, headers) else { return Ok(()) };
        if lock(&self.addresses).allow(&address, now_ms) {
            return Ok(());
        }
        // There are more addresses than lines that anybody reads.
        if let Some(times) = self.floods.due(now_ms) {
            tracing::warn!(%address, times, "HTTP: addresses that ask too much are refused, this one last");
        }
        Err(rate_limited())
    }

    /// To its end, even if the client goes away: half a command would be worse than either.
    async fn carry_on(self: Arc<Self>, route: &'static Route, asking: Asking) -> Result<Response, Failure> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Failure::new(Code::ServerBusy, "too many requests are under way; ask again in a moment")
        })?;
        let carried = tokio::spawn(async move {
            let outcome = self.carry_out(route, asking).await;
            drop(place);
            outcome
        });
        carried.await.unwrap_or_else(|e| {
            tracing::error!("a request ended early: {e}");
            Err(Failure::new(Code::Internal, "a fault of the server; try again"))
        })
    }

    async fn carry_out(&self, route: &Route, asking: Asking) -> Result<Response, Failure> {
        let (caller, method) = match route.way {
            Way::Open(method) => {
                // Who asks does not matter to what is open.
                let nobody = Caller { pubkey: self.api.context().keys.public_key(), work_bits: 0 };
                let key = RequestKey::new(&nobody.pubkey, "open", &[0; 32]);
                let params = params::read(route, &asking)?;
                let answer = methods::call(&self.api, nobody, key, method, params).await?;
                return Ok(json(answer.to_string()));
            }
            Way::Signed(method) => (self.authorize(&asking)?, Some(method)),
            Way::Output | Way::States => (self.authorize(&asking)?, None),
        };
        let params = params::read(route, &asking)?;
        match method {
            Some(method) => self.call(&caller, &asking, method, params).await,
            None => {
                let pubkey = params::pubkey(&params)?;
                let place = self.streams.begin(caller.pubkey, self.api.has_paid(&caller.pubkey))?;
                let reader = Reader { api: self.api.clone(), caller: caller.pubkey, closing: asking.closing };
                match route.way {
                    Way::Output => streams::output(reader, pubkey, place),
                    Way::Open(_) | Way::Signed(_) | Way::States => streams::states(reader, pubkey, place),
                }
            }
        }
    }

    /// Who asks. Their event is used up by this.
    fn authorize(&self, asking: &Asking) -> Result<CheckedEvent, Failure> {
        let ctx = self.api.context();
        let (now_ms, now) = (ctx.clock.now_ms(), ctx.clock.now());
        let url = format!("{}{}", self.url, asking.target);
        let asked = Asked { method: asking.verb.as_str(), url: &url, body: &asking.body };
        let event = auth::check(asking.authorization.as_deref(), asked, now)?;
        if !lock(&self.callers).allow(&event.pubkey, now_ms) {
            return Err(rate_limited());
        }
        // Whether it was acted on may have been forgotten.
        if ctx.recovered.is_some_and(|recovered| event.created_at() < recovered.at) {
            return Err(Failure::new(
                Code::StaleRequest,
                "the event was made before this server came back from its backup; look at what became of \
                 the request, and sign a new one",
            ));
        }
        if lock(&self.used).take(event.id, event.created_at(), now) { Ok(event) } else { Err(auth_used()) }
    }

    /// Puts a command on record, so that it is taken once, and says what is known of it.
    fn begin(&self, event: &CheckedEvent, id: &str, body: &[u8; 32]) -> Result<Seen, Failure> {
        let now = self.api.context().clock.now();
        let is_known = || self.api.has_paid(&event.pubkey);
        match self.log.begin(&event.id, &event.pubkey, id, body, now, is_known) {
            // Used up before a restart.
            Ok(Seen::SameEvent) => Err(auth_used()),
            Ok(Seen::OtherCommand) => Err(Failure::new(
                Code::IdReused,
                "this Idempotency-Key was used for another command; choose a new one",
            )),
            Ok(seen) => Ok(seen),
            Err(RequestLogError::Full) => Err(Failure::new(
                Code::RateLimited,
                "this server was sent more than it can remember; ask again in some minutes",
            )),
            Err(e) => {
                self.say_fault("a request could not be put on record", &e);
                let message = "the request could not be put on record; nothing was done; try again";
                Err(Failure::new(Code::Internal, message))
            }
        }
    }

    /// Clients can make each request fail so; lines are not written at their pace.
    fn say_fault(&self, what: &str, e: &RequestLogError) {
        if let Some(times) = self.faults.due(self.api.context().clock.now_ms()) {
            tracing::error!(times, "HTTP: {what}: {e}");
        }
    }

    async fn call(
        &self,
        caller: &CheckedEvent,
        asking: &Asking,
        method: &str,
        params: Value,
    ) -> Result<Response, Failure> {
        // Apart from the ids of direct messages, and from what a client can choose.
        let id = match auth::idempotency_key(caller, asking.id.as_deref())? {
            Some(id) => format!("http:key:{id}"),
            None => format!("http:{}", caller.id),
        };
        let request = protocol::rpc::Request { id, method: method.to_owned(), params };
        let body = request.body_sha256();
        let key = RequestKey::new(&caller.pubkey, &request.id, &body);
        let by = Caller { pubkey: caller.pubkey, work_bits: work::shown(caller) };
        let _in_flight = self.api.begin(&caller.pubkey, method)?;
        // What only asks may be asked again, and leaves nothing behind.
        if methods::is_read(method) {
            return Ok(json(methods::call(&self.api, by, key, method, request.params).await?.to_string()));
        }
        let _under_way = UnderWay::begin(&self.under_way, key)?;
        match self.begin(caller, &request.id, &body)? {
            Seen::Answered(text) => return Ok(json(text)),
            Seen::Done => {
                let again = methods::answer_again(&self.api, by, key, method, request.params);
                return Ok(json(again.await?.to_string()));
            }
            Seen::Never | Seen::Unanswered | Seen::SameEvent | Seen::OtherCommand => {}
        }
        let answer = methods::call(&self.api, by, key, method, request.params).await?.to_string();
        // A refusal changed nothing: the same command may pass later.
        let is_kept = methods::method(method).is_some_and(|method| method.effect == Effect::Answers);
        let recorded = match is_kept {
            true => self.log.finish(&caller.pubkey, &request.id, &answer),
            false => self.log.done(&caller.pubkey, &request.id),
        };
        if let Err(e) = recorded {
            self.say_fault("an answer could not be put on record", &e);
        }
        Ok(json(answer))
    }
}

fn json(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

fn auth_used() -> Failure {
    Failure::new(Code::AuthUsed, "the event was used before; sign a new one for each request")
}

fn rate_limited() -> Failure {
    Failure::new(Code::RateLimited, "too many requests; wait a few seconds")
}

/// Lets web pages of any origin ask.
async fn cross_origin(request: Request<Body>, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    for (name, value) in CORS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Marks a command as under way, so that a second request with it does not run it at the same time.
struct UnderWay<'s>(&'s Mutex<HashSet<RequestKey>>, RequestKey);

impl<'s> UnderWay<'s> {
    fn begin(all: &'s Mutex<HashSet<RequestKey>>, key: RequestKey) -> Result<Self, Failure> {
        let is_new = lock(all).insert(key);
        if is_new {
            return Ok(Self(all, key));
        }
        Err(Failure::new(
            Code::ServerBusy,
            "this command is under way; send it again in a moment for its answer",
        ))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(self.0).remove(&self.1);
    }
}

//! The use cases over HTTP: JSON, signed per request (NIP-98), with server-sent events for what flows.
//!
//! Here TLS ends before us or not at all; what counts is signed by the caller's key, and the answer is as
//! trustworthy as the connection. A web page on any host may ask: nothing is kept in cookies.

mod auth;
mod connections;
mod document;
mod params;
mod routes;
mod status;
mod streams;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, RawPathParams, Request};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, CONTENT_TYPE,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on};
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use protocol::rpc::{Code, Failure, ID_BYTES_MAX, MESSAGE_BYTES_MAX};
use relay::request_log::{RequestKey, RequestLog, RequestLogError, Seen};
use relay::rpc::{RateLimit, RateLimiter};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::api::{Api, methods};
use auth::Asked;
use routes::{ROUTES, Route, Verb, Way};
use streams::Streams;

/// Names a command, so that it has one effect however often it is sent.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// How often one address may ask what needs no signature.
const OPEN_RATE: RateLimit = RateLimit { per_sec: 10, burst: 50 };
/// Requests that are carried out at once, whether or not their clients still wait.
const CONCURRENT_MAX: usize = 128;
/// How long a request's body may take to come.
const BODY_WAIT: Duration = Duration::from_secs(20);
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
    under_way: Mutex<HashSet<RequestKey>>,
    streams: Arc<Streams>,
    places: Arc<Semaphore>,
}

/// A request, read.
struct Asking {
    verb: Verb,
    /// Path and query, as they came.
    target: String,
    query: Option<String>,
    authorization: Option<String>,
    id: Option<String>,
    body: Vec<u8>,
    from: IpAddr,
    container: Option<String>,
}

impl HttpServer {
    /// A server whose clients sign addresses that begin with `url`.
    #[must_use]
    pub fn new(api: Api, log: Arc<RequestLog>, url: String) -> Arc<Self> {
        let rate = api.context().config.rate;
        let document = document::document(&url).to_json().unwrap_or_default();
        Arc::new(Self {
            api,
            log,
            url,
            document,
            callers: Mutex::new(RateLimiter::new(rate)),
            addresses: Mutex::new(RateLimiter::new(OPEN_RATE)),
            under_way: Mutex::default(),
            streams: Streams::new(),
            places: Arc::new(Semaphore::new(CONCURRENT_MAX)),
        })
    }

    /// Answers until the listener breaks.
    ///
    /// # Errors
    /// What `accept` says.
    pub async fn listen(self: Arc<Self>, listener: tokio::net::TcpListener) -> std::io::Result<()> {
        connections::serve(listener, self.router()).await
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
            let handler =
                move |ConnectInfo(from): ConnectInfo<SocketAddr>, params: RawPathParams, request: Request| {
                    let container = params.iter().next().map(|(_, value)| value.to_owned());
                    async move { server.answer(route, from.ip(), container, request).await }
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
        from: IpAddr,
        container: Option<String>,
        request: Request,
    ) -> Response {
        let outcome = match read(route.verb, from, container, request).await {
            Ok(asking) => self.carry_on(route, asking).await,
            Err(failure) => Err(failure),
        };
        let code = outcome.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "ok");
        metrics::counter!("http_requests_total", "path" => route.path, "code" => code).increment(1);
        outcome.unwrap_or_else(status::refuse)
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
        let now_ms = self.api.context().clock.now_ms();
        let (caller, method) = match route.way {
            Way::Open(method) => {
                if !lock(&self.addresses).allow(&asking.from, now_ms) {
                    return Err(rate_limited());
                }
                // Who asks does not matter to what is open.
                let nobody = self.api.context().keys.public_key();
                let key = RequestKey::new(&nobody, "open", &[0; 32]);
                let params = params::read(route, &asking)?;
                let answer = methods::call(&self.api, nobody, key, method, params).await?;
                return Ok(json(answer.to_string()));
            }
            Way::Signed(method) => (self.authorize(&asking)?, Some(method)),
            Way::Output | Way::States => (self.authorize(&asking)?, None),
        };
        if !lock(&self.callers).allow(&caller.pubkey, now_ms) {
            return Err(rate_limited());
        }
        let params = params::read(route, &asking)?;
        match method {
            Some(method) => self.call(&caller, &asking, method, params).await,
            None => {
                self.begin(&caller, &format!("http:{}", caller.id), &caller.id.to_bytes())?;
                let pubkey = params::pubkey(&params)?;
                let place = self.streams.begin(caller.pubkey)?;
                match route.way {
                    Way::Output => streams::output(&self.api, caller.pubkey, pubkey, place),
                    Way::Open(_) | Way::Signed(_) | Way::States => {
                        streams::states(&self.api, caller.pubkey, pubkey, place)
                    }
                }
            }
        }
    }

    fn authorize(&self, asking: &Asking) -> Result<CheckedEvent, Failure> {
        let url = format!("{}{}", self.url, asking.target);
        let asked = Asked { method: asking.verb.as_str(), url: &url, body: &asking.body };
        auth::check(asking.authorization.as_deref(), asked, self.api.context().clock.now())
    }

    /// Puts the event on record, so that it is taken once, and says what is known of the command.
    fn begin(&self, event: &CheckedEvent, id: &str, body: &[u8; 32]) -> Result<Seen, Failure> {
        let now = self.api.context().clock.now();
        // Whether it was acted on may have been forgotten.
        if self.api.context().recovered.is_some_and(|recovered| event.created_at() < recovered.at) {
            return Err(Failure::new(
                Code::StaleRequest,
                "the event was made before this server came back from its backup; look at what became of \
                 the request, and sign a new one",
            ));
        }
        match self.log.begin(&event.id, &event.pubkey, id, body, now) {
            Ok(Seen::SameEvent) => Err(Failure::new(
                Code::AuthUsed,
                "the event was used before; sign a new one for each request",
            )),
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
                tracing::error!("a request could not be put on record: {e}");
                let message = "the request could not be put on record; nothing was done; try again";
                Err(Failure::new(Code::Internal, message))
            }
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
        let id = match &asking.id {
            Some(id) => format!("http:key:{id}"),
            None => format!("http:{}", caller.id),
        };
        let request = protocol::rpc::Request { id, method: method.to_owned(), params };
        let body = request.body_sha256();
        let key = RequestKey::new(&caller.pubkey, &request.id, &body);
        let _under_way = UnderWay::begin(&self.under_way, key)?;
        if let Seen::Answered(text) = self.begin(caller, &request.id, &body)? {
            return Ok(json(text));
        }
        let answer = methods::call(&self.api, caller.pubkey, key, method, request.params).await?.to_string();
        // A refusal changed nothing: the same command may pass later.
        if !methods::is_read(method)
            && let Err(e) = self.log.finish(&caller.pubkey, &request.id, &answer)
        {
            tracing::error!("an answer could not be put on record: {e}");
        }
        Ok(json(answer))
    }
}

async fn read(
    verb: Verb,
    from: IpAddr,
    container: Option<String>,
    request: Request,
) -> Result<Asking, Failure> {
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_WAIT, axum::body::to_bytes(body, MESSAGE_BYTES_MAX)).await;
    let body = body.map_err(|_| {
        let secs = BODY_WAIT.as_secs();
        Failure::new(Code::BadRequest, format!("the body did not come within {secs} s; send it at once"))
    })?;
    let body = body.map_err(|_| {
        Failure::new(Code::RequestTooLarge, format!("a request has at most {MESSAGE_BYTES_MAX} bytes"))
    })?;
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let id = text(IDEMPOTENCY_KEY);
    if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > ID_BYTES_MAX) {
        let message = format!("the header Idempotency-Key must have 1 to {ID_BYTES_MAX} bytes");
        return Err(Failure::new(Code::BadRequest, message));
    }
    Ok(Asking {
        verb,
        target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        query: parts.uri.query().map(str::to_owned),
        authorization: text(AUTHORIZATION.as_str()),
        id,
        body: body.into(),
        from,
        container,
    })
}

fn json(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
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

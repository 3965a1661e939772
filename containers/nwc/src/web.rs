//! Lightning addresses over HTTP. For development only: what answers here is not yet inside the
//! enclave's TLS, so whoever carries the packets could put its own invoice into the answer.
//!
//! | path | answer |
//! |---|---|
//! | `/.well-known/lnurlp/{name}` | what may be paid (LUD-06, LUD-16) |
//! | `/lnurlp/{name}/callback?amount=…[&comment=…][&nostr=…]` | an invoice (LUD-06, LUD-12, NIP-57) |
//! | `/lnurlp/verify/{hash}/{token}` | whether it was paid (LUD-21) |
//!
//! A refusal is `{"status":"ERROR","reason":"…"}` with status 200, as wallets expect, or 404 where nobody
//! lives.

mod listener;
mod payees;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use relay::rpc::RateLimiter;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use units::Clock;

use crate::service::{Asked, InvoiceQuery, LnurlError, Wallet};
use listener::{Bounded, Peer};
use payees::PayeeLimits;

/// Longest query: a zap request of 8 KiB, every byte percent-encoded, and a comment.
const QUERY_BYTES_MAX: usize = 32 * 1024;
/// Requests that wait for the disk at once: a part of the runtime's threads, so that the rest is left for relays.
const PLACES: usize = 64;

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("NWC_LNURL_LISTEN: {address} cannot be listened on")]
pub struct WebError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

#[derive(Clone, Debug)]
struct Web {
    wallet: Arc<Wallet>,
    clock: Arc<dyn Clock>,
    rates: Arc<Mutex<RateLimiter<IpAddr>>>,
    payees: Arc<Mutex<PayeeLimits>>,
    places: Arc<Semaphore>,
}

/// Serves Lightning addresses until the runtime ends.
///
/// # Errors
/// [`WebError`].
pub async fn serve(
    address: SocketAddr,
    wallet: Arc<Wallet>,
    clock: Arc<dyn Clock>,
) -> Result<SocketAddr, WebError> {
    let failed = |source| WebError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let limits = *wallet.limits();
    let rates = Arc::new(Mutex::new(RateLimiter::new(limits.lnurl_rate)));
    let payees = PayeeLimits::new(limits.lnurl_per_client, limits.anon_expiry_max_secs);
    let (payees, places) = (Arc::new(Mutex::new(payees)), Arc::new(Semaphore::new(PLACES)));
    let web = Web { wallet, clock, rates, payees, places };
    let router = Router::new()
        .route("/.well-known/lnurlp/{local}", get(offer))
        .route("/lnurlp/{local}/callback", get(invoice))
        .route("/lnurlp/verify/{hash}/{token}", get(verify))
        .with_state(web);
    let service = router.into_make_service_with_connect_info::<Peer>();
    tokio::spawn(async move {
        if let Err(e) = axum::serve(Bounded::new(listener), service).await {
            tracing::error!("Lightning addresses are not served any more: {e}");
        }
    });
    Ok(bound)
}

async fn offer(
    State(web): State<Web>,
    ConnectInfo(from): ConnectInfo<Peer>,
    Path(local): Path<String>,
    headers: HeaderMap,
) -> Response {
    let host = host(&headers);
    web.answer(from, move |wallet, _| wallet.pay_offer(&Asked { local: &local, host: host.as_deref() })).await
}

async fn invoice(
    State(web): State<Web>,
    ConnectInfo(from): ConnectInfo<Peer>,
    Path(local): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let (host, query) = (host(&headers), query.unwrap_or_default());
    if query.len() > QUERY_BYTES_MAX {
        return refusal(StatusCode::URI_TOO_LONG, "the request is too long");
    }
    let payees = Arc::clone(&web.payees);
    let make = move |wallet: &Wallet, now| {
        let asked = Asked { local: &local, host: host.as_deref() };
        let (query, payee) = (InvoiceQuery::parse(&query)?, wallet.pay_offer_payee(&asked)?);
        if !payees.lock().unwrap_or_else(PoisonError::into_inner).allow(from.0, payee, now) {
            return Err(LnurlError::Enough);
        }
        wallet.pay_offer_invoice(&asked, &query, now)
    };
    web.answer(from, make).await
}

async fn verify(
    State(web): State<Web>,
    ConnectInfo(from): ConnectInfo<Peer>,
    Path((hash, token)): Path<(String, String)>,
) -> Response {
    web.answer(from, move |wallet, _| wallet.pay_offer_verify(&hash, &token)).await
}

impl Web {
    /// Answers what `make` makes, which may block.
    async fn answer<T: Serialize + Send + 'static>(
        &self,
        from: Peer,
        make: impl FnOnce(&Wallet, units::UnixSecs) -> Result<T, LnurlError> + Send + 'static,
    ) -> Response {
        let allowed = {
            let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
            rates.allow(&from.0, self.clock.now_ms())
        };
        if !allowed {
            count("rate_limited");
            return refusal(StatusCode::TOO_MANY_REQUESTS, "too many requests; try again in a few seconds");
        }
        // It is never closed.
        let _place = self.places.acquire().await.ok();
        let (wallet, now) = (Arc::clone(&self.wallet), self.clock.now());
        let (outcome, response) = match tokio::task::spawn_blocking(move || make(&wallet, now)).await {
            Ok(Ok(answer)) => ("done", json(StatusCode::OK, &answer)),
            Ok(Err(e)) if e.is_not_found() => ("not_found", refusal(StatusCode::NOT_FOUND, &e.to_string())),
            Ok(Err(e @ LnurlError::Enough)) => {
                ("rate_limited", refusal(StatusCode::TOO_MANY_REQUESTS, &e.to_string()))
            }
            Ok(Err(e)) => ("refused", refusal(StatusCode::OK, &e.to_string())),
            Err(_panicked) => {
                let fault = "a fault of the wallet; ask again";
                ("fault", refusal(StatusCode::INTERNAL_SERVER_ERROR, fault))
            }
        };
        count(outcome);
        response
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("wallet_lnurl_requests_total", "outcome" => outcome).increment(1);
}

fn host(headers: &HeaderMap) -> Option<String> {
    headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_ascii_lowercase)
}

fn refusal(status: StatusCode, reason: &str) -> Response {
    json(status, &serde_json::json!({"status": "ERROR", "reason": reason}))
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_string(body).unwrap_or_default();
    // Web pages pay too (LUD-06); answers are of the moment.
    let headers =
        [(CONTENT_TYPE, "application/json"), (ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

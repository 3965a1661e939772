//! Attested fetches: the daemon asks an `https` server for a container and states what it answered. TLS
//! ends here, in the enclave, so that nobody on the way can have changed it.

mod request;
mod tls;

use std::time::Duration;

use guard::{AddressGuard, GuardError, Hold};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use protocol::guest::{AttestedFetch, Fetched};
use protocol::manifest::Egress;
use protocol::statement::merkle::Hash;
use protocol::statement::{Base64, Claim, FetchClaim, FetchedRequest};
use rustls::RootCertStore;
use tokio::net::TcpStream;

use super::limits::Place;
use super::refusal::{Refusal, RefusalCode};
use crate::context::Context;
use crate::store::Container;
use request::Checked;
pub use tls::FetcherError;
use tls::{Secured, Tls};

/// The longest answer, in bytes: a page or a price, not a film.
const RESPONSE_BYTES_MAX: u64 = 1 << 20;
/// The longest that a fetch may take, from the question for the name to the last byte.
const SECS_MAX: u64 = 30;
/// TCP alone; a host that needs longer is down.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// The longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Most headers of an answer.
const HEADERS_MAX: usize = 100;

/// Fetches over TLS from public addresses.
#[derive(Debug)]
pub struct Fetcher {
    guard: AddressGuard,
    tls: Tls,
}

/// What came back.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    certificates: Vec<Base64>,
}

impl Fetcher {
    /// A fetcher that connects to what `guard` lets through, and believes hosts that `roots` vouch for.
    ///
    /// # Errors
    /// [`FetcherError`] if TLS cannot be set up.
    pub fn new(guard: AddressGuard, roots: RootCertStore) -> Result<Self, FetcherError> {
        Ok(Self { guard, tls: Tls::new(roots)? })
    }

    async fn fetch(&self, request: &Checked, hold: Hold) -> Result<Answer, Refusal> {
        let asked = tokio::time::timeout(request.wait, self.ask(request, hold)).await;
        asked.unwrap_or_else(|_| {
            let why = format!("the host did not answer within {} s", request.wait.as_secs());
            Err(Refusal::new(RefusalCode::TimedOut, why))
        })
    }

    async fn ask(&self, request: &Checked, hold: Hold) -> Result<Answer, Refusal> {
        let stream = self.connect(request, hold).await?;
        let Secured { stream, certificates } = self.tls.secure(&request.host, stream).await?;
        let invalid = |e: hyper::Error| {
            Refusal::new(RefusalCode::ResponseInvalid, format!("the host's answer is not HTTP/1.1: {e}"))
        };
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let (mut sender, connection) =
            builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(invalid)?;
        // Both at once, and both end with this call.
        let exchange = async {
            let response = sender.send_request(request.http()?).await.map_err(invalid)?;
            let (head, body) = response.into_parts();
            let limit = usize::try_from(request.response_bytes_max).unwrap_or(usize::MAX);
            let body = Limited::new(body, limit).collect().await.map_err(|e| {
                if e.is::<LengthLimitError>() {
                    let why = format!("the answer has more than {limit} bytes");
                    return Refusal::new(RefusalCode::ResponseTooLarge, why);
                }
                Refusal::new(RefusalCode::ResponseInvalid, "the answer ended early")
            })?;
            Ok(Answer {
                status: head.status.as_u16(),
                headers: texts(&head.headers),
                body: body.to_bytes().to_vec(),
                certificates,
            })
        };
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            // The connection may end first, with all of the answer read.
            _ = connection => exchange.await,
        }
    }

    /// Connects to one of the addresses that were checked, and to nothing else.
    async fn connect(&self, request: &Checked, hold: Hold) -> Result<TcpStream, Refusal> {
        let found = self.guard.resolve_holding(&request.host, request.port, hold).await;
        for address in found.map_err(|e| refused_address(&e))? {
            match tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(e)) => tracing::debug!(%address, "fetch: {e}"),
                Err(_) => tracing::debug!(%address, "fetch: no connection in time"),
            }
        }
        Err(Refusal::new(RefusalCode::ConnectFailed, "the host takes no connection; try again later"))
    }
}

fn refused_address(error: &GuardError) -> Refusal {
    let code = match error {
        GuardError::Refused { .. } | GuardError::OddAddress { .. } => RefusalCode::AddressRefused,
        GuardError::NotAName { .. } | GuardError::NotResolved { .. } | GuardError::TimedOut { .. } => {
            RefusalCode::NameNotResolved
        }
    };
    Refusal::new(code, error.to_string())
}

/// Headers that are text; a guest can do nothing with others.
fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

/// Fetches something for a container, and states it. The place among names is given back when nothing looks the
/// name up any more.
pub(super) async fn attested_fetch(
    ctx: &Context,
    fetcher: &Fetcher,
    container: &Container,
    request: AttestedFetch,
    name: Place,
) -> Result<Fetched, Refusal> {
    // Whatever a host is asked, it is asked in this server's name.
    ctx.hold.require().map_err(|failure| Refusal::new(RefusalCode::NotHolding, failure.message))?;
    // Not a way around what the launch agreed on.
    if container.spec.egress == Egress::None {
        return Err(Refusal::new(
            RefusalCode::EgressRefused,
            "the launch says that this container reaches nothing outside (egress none)",
        ));
    }
    let request = Checked::new(request)?;
    let took = units::Stopwatch::start();
    let answer = fetcher.fetch(&request, Box::new(name)).await?;
    metrics::histogram!("guest_fetch_seconds").record(took.elapsed().as_secs_f64());
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|e| Refusal::internal(&e))?;
    let fetched = FetchedRequest {
        salt: Hash(salt),
        method: request.method.to_string(),
        url: request.url.clone(),
        headers: request.headers.clone(),
        body_sha256: Hash::of(&request.body),
    };
    let claim = FetchClaim {
        method: fetched.method.clone(),
        url: fetched.url.clone(),
        request_sha256: fetched.sha256().map_err(|e| Refusal::internal(&e))?,
        status: answer.status,
        response_sha256: Hash::of(&answer.body),
        response_bytes: u64::try_from(answer.body.len()).unwrap_or(u64::MAX),
        certificates: answer.certificates,
    };
    let proof = ctx.statements.state(ctx, container, Claim::Fetch(Box::new(claim))).await?;
    Ok(Fetched {
        status: answer.status,
        headers: answer.headers,
        body: Base64(answer.body),
        request_salt: fetched.salt,
        proof,
    })
}

#[cfg(test)]
mod tests;

//! One guarded HTTP request at a time.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use guard::{AddressGuard, GuardError};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use rustls::ClientConfig;
use url::{Host, Url};

use super::{RegistrySettings, RegistrySetupError};
use crate::image::error::RegistryError;

/// TCP and TLS together; a host that needs longer is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest silence within a transfer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What any transfer gets, whatever its size.
const TRANSFER_BASE: Duration = Duration::from_secs(60);

/// The slowest transfer that is put up with, beyond [`TRANSFER_BASE`]: 2 Mbit/s. A registry that
/// sends a byte now and then would otherwise hold a fetch for ever.
const TRANSFER_BYTES_PER_SEC_MIN: u64 = 256 << 10;

/// Registries redirect once, to their store; some stores redirect once more.
const REDIRECTS_MAX: usize = 5;

/// Connections kept for the next request: layers are fetched one after another.
const IDLE_CONNECTIONS_PER_HOST: usize = 2;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Get<'a> {
    pub(super) url: Url,
    pub(super) accept: &'static str,
    /// Sent to the URL's own origin only, never along a redirect to another.
    pub(super) authorization: Option<&'a HeaderValue>,
    /// The most that the answer may have; sets how long the transfer may take.
    pub(super) bytes_max: u64,
}

/// An answer that is not a redirect. Its body is not read yet.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    /// Where the answer came from, redirects followed.
    pub(super) url: Url,
}

impl Answer {
    pub(super) fn host(&self) -> String {
        host_of(&self.url)
    }

    pub(super) fn protocol_error(&self, problem: &'static str) -> RegistryError {
        RegistryError::Protocol { host: self.host(), problem }
    }
}

#[derive(Debug)]
pub(super) struct Transport {
    client: reqwest::Client,
    guard: AddressGuard,
    plain_http: BTreeSet<String>,
}

impl Transport {
    pub(super) fn new(settings: RegistrySettings) -> Result<Self, RegistrySetupError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(settings.roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .user_agent(concat!("enclaved/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls)
            .http1_only()
            // A proxy would connect where it likes, a redirect would skip the check of its host.
            .no_proxy()
            .redirect(Policy::none())
            .dns_resolver(Arc::new(GuardedNames(settings.guard.clone())))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(IDLE_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
            .build()?;
        Ok(Self { client, guard: settings.guard, plain_http: settings.plain_http })
    }

    /// The scheme that `authority` is spoken to with.
    pub(super) fn scheme(&self, authority: &str) -> &'static str {
        if self.plain_http.contains(authority) { "http" } else { "https" }
    }

    /// Sends the request and follows redirects.
    pub(super) async fn get(&self, request: Get<'_>) -> Result<Answer, RegistryError> {
        let mut url = request.url;
        let mut authorization = request.authorization;
        for _ in 0..=REDIRECTS_MAX {
            self.check(&url)?;
            let mut builder = self
                .client
                .get(url.clone())
                .header(ACCEPT, request.accept)
                .timeout(transfer_timeout(request.bytes_max));
            if let Some(value) = authorization {
                builder = builder.header(AUTHORIZATION, value);
            }
            let response = builder.send().await.map_err(|error| failed(&host_of(&url), error))?;
            let answer = Answer { response, url };
            if !is_redirect(answer.response.status()) {
                return Ok(answer);
            }
            let next = redirect_target(&answer)?;
            if next.origin() != answer.url.origin() {
                authorization = None;
            }
            url = next;
        }
        Err(RegistryError::Protocol { host: host_of(&url), problem: "it redirects too often" })
    }

    /// What must hold before a request leaves. Names are judged when they are resolved, in
    /// [`GuardedNames`]; an address in the URL is never resolved, so it is judged here. The URL parser
    /// has already read every odd spelling of an address as the address that it means.
    fn check(&self, url: &Url) -> Result<(), RegistryError> {
        let protocol = |problem| Err(RegistryError::Protocol { host: host_of(url), problem });
        match url.host() {
            None => return protocol("it uses a URL without a host"),
            Some(Host::Domain(_)) => {}
            Some(Host::Ipv4(address)) => self.check_address(url, address.into())?,
            Some(Host::Ipv6(address)) => self.check_address(url, address.into())?,
        }
        if !url.username().is_empty() || url.password().is_some() {
            return protocol("it uses a URL with a user name");
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.plain_http.contains(&authority_of(url)) => Ok(()),
            _ => protocol("it uses a URL that is not https"),
        }
    }

    fn check_address(&self, url: &Url, address: IpAddr) -> Result<(), RegistryError> {
        let checked = self.guard.check(address);
        checked.map_err(|source| Arc::new(GuardError::Refused { host: host_of(url), source }).into())
    }
}

/// Turns what the HTTP client says into what is wrong.
pub(super) fn failed(host: &str, error: reqwest::Error) -> RegistryError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<Arc<GuardError>>() {
            return Arc::clone(refused).into();
        }
        cause = inner.source();
    }
    if error.is_timeout() {
        return RegistryError::TimedOut { host: host.to_owned() };
    }
    // The URL of a redirect can carry a signature that grants access.
    RegistryError::Unreachable { host: host.to_owned(), source: error.without_url() }
}

/// Answers the HTTP client's questions for names with addresses that were checked; the client
/// connects to those.
struct GuardedNames(AddressGuard);

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            // The client puts the URL's port in place of zero.
            let found = guard.resolve(name.as_str(), 0).await.map_err(Arc::new)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// How long a transfer of `bytes` may take.
pub(crate) fn transfer_timeout(bytes: u64) -> Duration {
    TRANSFER_BASE + Duration::from_secs(bytes / TRANSFER_BYTES_PER_SEC_MIN)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

fn redirect_target(answer: &Answer) -> Result<Url, RegistryError> {
    let location = answer.response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let target = location.and_then(|location| answer.url.join(location).ok());
    target.ok_or_else(|| answer.protocol_error("it redirects to nowhere"))
}

fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// `host` or `host:port`, as a reference writes it.
fn authority_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

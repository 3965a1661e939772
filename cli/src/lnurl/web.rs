//! One small question over HTTP at a time.

use std::sync::Arc;
use std::time::Duration;

use guard::AddressGuard;
use nostr::types::{Host, Url};
use reqwest::Response;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use super::invalid;
use crate::error::{Failure, with_causes};

/// How long an answer may take.
const WAIT: Duration = Duration::from_secs(20);
/// Longest answer that is read: an offer with a picture in its metadata has some 100 KiB.
const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// Asks the server of an address, and whom it names.
#[derive(Debug)]
pub(crate) struct Web {
    /// Scheme, host and port that the user named.
    origin: String,
}

impl Web {
    pub(super) fn of(url: &Url) -> Self {
        Self { origin: url.origin().ascii_serialization() }
    }

    /// The JSON at this URL.
    ///
    /// # Errors
    /// `address_unreachable`, `address_refused` with the server's reason, `address_invalid`.
    pub(super) async fn get(&self, url: &Url) -> Result<Value, Failure> {
        let client = self.client(url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let failed = |e: reqwest::Error| {
            let why = with_causes(&e.without_url());
            Failure::no_answer("address_unreachable", format!("{host} does not answer: {why}"))
        };
        let response = client.get(url.as_str()).send().await.map_err(failed)?;
        let status = response.status();
        let body = read(response).await?;
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        let reason = value.as_ref().filter(|value| value["status"] == "ERROR").map(|value| &value["reason"]);
        match (reason, value.as_ref()) {
            (Some(reason), _) => {
                let reason = reason.as_str().unwrap_or("it gives no reason");
                Err(Failure::refused("address_refused", format!("{host} refuses: {reason}")))
            }
            (None, Some(_)) if status.is_success() => value.ok_or_else(|| invalid("answers no JSON")),
            _ => Err(Failure::refused("address_invalid", format!("{host} answers with HTTP {status}"))),
        }
    }

    /// The user's own host is connected to wherever it is. Any other was named by that host: it must be
    /// on the public internet and speak https, or an address could make this machine ask its neighbours.
    fn client(&self, url: &Url) -> Result<reqwest::Client, Failure> {
        let own = url.origin().ascii_serialization() == self.origin;
        let guard = AddressGuard::public_only();
        let public = match url.host() {
            Some(Host::Ipv4(ip)) => guard.check(ip.into()).is_ok(),
            Some(Host::Ipv6(ip)) => guard.check(ip.into()).is_ok(),
            // Checked once it is resolved.
            Some(Host::Domain(_)) => true,
            None => false,
        };
        let may_be_named = public && url.scheme() == "https";
        if !own && !may_be_named {
            return Err(invalid("names a URL that is not https on the public internet"));
        }
        let broken = |e: &dyn std::error::Error| Failure::refused("tls", format!("TLS cannot start: {e}"));
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| broken(&e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            // It would skip the check of its host.
            .redirect(Policy::none())
            .timeout(WAIT);
        if !own {
            builder = builder.dns_resolver(Arc::new(PublicNames(guard)));
        }
        builder.build().map_err(|e| broken(&e))
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|e| {
            Failure::no_answer("address_unreachable", format!("the answer breaks off: {}", e.without_url()))
        })?;
        let Some(chunk) = chunk else { return Ok(body) };
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(invalid("answers with far too much"));
        }
    }
}

/// Names that a server named: connected to only where they are public.
struct PublicNames(AddressGuard);

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            // The client puts the URL's port in place of zero.
            let found = guard.resolve(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

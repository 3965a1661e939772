//! A client of the OCI distribution specification (1.1): manifests and blobs, read only.
//!
//! Every host that takes part was named by a stranger: the registry in the reference, the realm that
//! hands out its tokens, the store that it redirects to. So each request goes through one
//! [`Transport`], which lets the address guard judge the host, connects to the
//! addresses that were judged, speaks `https` only (but for the registries that configuration names),
//! follows redirects one by one, and bounds time and size.
//!
//! ```text
//! GET /v2/<repository>/manifests/<tag>
//!     401  WWW-Authenticate: Bearer realm="https://…",service="…",scope="…"
//! GET realm?service=…&scope=…          → {"token": "…"}
//! GET /v2/<repository>/manifests/<tag> with Authorization: Bearer …
//! GET /v2/<repository>/blobs/<digest>  → 307 Location: https://store…   (without the token)
//! ```

mod body;
mod challenge;
mod session;
mod transport;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use guard::AddressGuard;
use rustls::RootCertStore;

pub(crate) use self::body::BlobStream;
pub(crate) use self::session::{Session, Wanted};
use self::transport::Transport;
pub(crate) use self::transport::transfer_timeout;
use super::reference::Reference;

/// What a [`RegistryClient`] trusts.
#[derive(Clone)]
pub struct RegistrySettings {
    /// Which addresses may be connected to.
    pub guard: AddressGuard,
    /// Hosts that are spoken to without TLS, as references write them (`localhost:5000`). For
    /// development; the caller refuses them when the trust root is AWS's.
    pub plain_http: BTreeSet<String>,
    /// The certificate authorities that vouch for registries.
    pub roots: RootCertStore,
}

impl RegistrySettings {
    /// TLS everywhere, vouched for by Mozilla's list of authorities.
    #[must_use]
    pub fn new(guard: AddressGuard) -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self { guard, plain_http: BTreeSet::new(), roots }
    }
}

impl fmt::Debug for RegistrySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrySettings")
            .field("guard", &self.guard)
            .field("plain_http", &self.plain_http)
            .field("roots", &self.roots.len())
            .finish()
    }
}

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum RegistrySetupError {
    /// TLS is misconfigured.
    #[error("the TLS settings of the registry client are not valid")]
    Tls(#[from] rustls::Error),
    /// The HTTP client refused its settings.
    #[error("the registry client could not be set up")]
    Http(#[from] reqwest::Error),
}

/// Speaks to any registry. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct RegistryClient {
    transport: Arc<Transport>,
}

impl RegistryClient {
    /// A client that opens no connection yet.
    ///
    /// # Errors
    /// [`RegistrySetupError`] if the TLS library or the HTTP client refuses the settings.
    pub fn new(settings: RegistrySettings) -> Result<Self, RegistrySetupError> {
        Ok(Self { transport: Arc::new(Transport::new(settings)?) })
    }

    /// Begins a conversation about one repository; its token is good for that only.
    pub(crate) fn session<'a>(&'a self, reference: &'a Reference) -> Session<'a> {
        Session::new(&self.transport, reference)
    }
}

//! TLS that ends in the daemon, and the certificates that the host showed.

use std::sync::Arc;

use protocol::statement::Base64;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::guest::refusal::{Refusal, RefusalCode};

/// Longest chain; the web's have two to four certificates.
const CERTIFICATES_MAX: usize = 8;
/// All of them together, in bytes: they stand in the statement.
const CERTIFICATES_BYTES_MAX: usize = 32 * 1024;

/// TLS cannot be set up.
#[derive(Debug, Error)]
#[error("attested fetches cannot be set up")]
pub struct FetcherError(#[from] rustls::Error);

/// A connection whose other end is who it should be.
pub(super) struct Secured {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) certificates: Vec<Base64>,
}

pub(super) struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(…)")
    }
}

impl Tls {
    pub(super) fn new(roots: RootCertStore) -> Result<Self, FetcherError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session shows no certificates.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Checks that the other end holds a certificate for `host`.
    pub(super) async fn secure(&self, host: &str, stream: TcpStream) -> Result<Secured, Refusal> {
        let failed = |why: String| Refusal::new(RefusalCode::TlsFailed, why);
        // An IPv6 address stands in brackets in a URL, and without them in a certificate.
        let name = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| failed("the host's name cannot stand in a certificate".to_owned()))?;
        let stream = self
            .0
            .connect(name, stream)
            .await
            .map_err(|e| failed(format!("the host does not prove who it is: {e}")))?;
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let bytes: usize = shown.iter().map(|certificate| certificate.len()).sum();
        if shown.is_empty() || shown.len() > CERTIFICATES_MAX || bytes > CERTIFICATES_BYTES_MAX {
            return Err(failed(format!(
                "the host shows more than {CERTIFICATES_MAX} certificates, or too long ones"
            )));
        }
        let certificates = shown.iter().map(|certificate| Base64(certificate.to_vec())).collect();
        Ok(Secured { stream, certificates })
    }
}

//! A host on the internet, with a certificate for its address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Who vouches for hosts.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    pub(super) fn new() -> Result<Self> {
        let mut params = CertificateParams::new(vec![])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("root.der"), issuer.der())?;
        Ok(Self { issuer, dir })
    }

    pub(super) fn root_file(&self) -> PathBuf {
        self.dir.path().join("root.der")
    }
}

/// Answers everything with one page.
pub(super) struct TlsHost {
    address: SocketAddr,
    certificate: Vec<u8>,
}

impl TlsHost {
    pub(super) async fn serve(authority: &Authority, at: Ipv4Addr, page: &'static str) -> Result<Self> {
        service::init_tls();
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![])?;
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(at)));
        let certificate = params.signed_by(&key, &authority.issuer)?.der().clone();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(
            vec![certificate.clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((at, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = vec![0; 4_096];
                drop(stream.read(&mut request).await);
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len());
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
            }
        });
        Ok(Self { address, certificate: certificate.to_vec() })
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}/", self.address)
    }

    pub(super) fn certificate(&self) -> &[u8] {
        &self.certificate
    }
}

//! Fetches from a host of our own, with a certificate authority of our own.

use std::net::SocketAddr;
use std::sync::Arc;

use guard::{Lookup, LookupFuture};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;

const HOST: &str = "host.example";

/// Every name is this machine's.
#[derive(Debug)]
struct Here;

impl Lookup for Here {
    fn lookup(&self, _: &str) -> LookupFuture {
        Box::pin(async { Ok(vec![std::net::Ipv4Addr::LOCALHOST.into()]) })
    }
}

struct Host {
    address: SocketAddr,
    root: CertificateDer<'static>,
    leaf: CertificateDer<'static>,
    /// What was asked.
    asked: mpsc::Receiver<String>,
}

impl Host {
    /// A host that answers everything with these bytes, and then ends the connection if `ends`.
    async fn answering(answer: Vec<u8>, ends: bool) -> Self {
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf =
            CertificateParams::new(vec![HOST.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let leaf = leaf.der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, asked) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = vec![0; 16 * 1024];
                let length = stream.read(&mut request).await.unwrap_or(0);
                drop(told.send(String::from_utf8_lossy(&request[..length]).into_owned()).await);
                drop(stream.write_all(&answer).await);
                drop(stream.flush().await);
                if ends {
                    drop(stream.shutdown().await);
                } else {
                    // Until the other end leaves.
                    drop(stream.read(&mut request).await);
                }
            }
        });
        Self { address, root: authority.der().clone(), leaf, asked }
    }

    async fn saying(body: &str) -> Self {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-a: b\r\n\r\n{body}", body.len());
        Self::answering(answer.into_bytes(), false).await
    }

    fn fetcher(&self) -> Fetcher {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let guard = AddressGuard::with_exceptions(vec!["127.0.0.0/8".parse().unwrap()]);
        Fetcher::new(guard.with_lookup(Arc::new(Here)), roots).unwrap()
    }

    fn url(&self) -> String {
        format!("https://{HOST}:{}/a?b=c", self.address.port())
    }

    async fn fetch(&self, more: Value) -> Result<Answer, Refusal> {
        self.fetch_with(&self.fetcher(), more).await
    }

    async fn fetch_with(&self, fetcher: &Fetcher, more: Value) -> Result<Answer, Refusal> {
        let mut request = json!({"url": self.url()});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fetcher.fetch(&Checked::new(serde_json::from_value(request).unwrap())?, Box::new(())).await
    }
}

fn code(outcome: Result<Answer, Refusal>) -> &'static str {
    outcome.map_or_else(|refusal| refusal.code.as_str(), |_| "ok")
}

#[tokio::test]
async fn answer_comes_with_the_hosts_own_certificate() {
    let mut host = Host::saying("hello").await;
    let more = json!({"method": "POST", "headers": [["X-Key", "k"]], "body": "Ym9keQ=="});
    let answer = host.fetch(more).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hello"[..]));
    assert!(answer.headers.contains(&("x-a".to_owned(), "b".to_owned())));
    assert_eq!(answer.certificates, [Base64(host.leaf.to_vec())]);
    let asked = host.asked.recv().await.unwrap();
    assert!(asked.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: {HOST}:{}\r\n", host.address.port())), "{asked}");
    assert!(asked.contains("x-key: k\r\n") && asked.contains("content-length: 4\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\nbody"), "{asked}");
}

#[tokio::test]
async fn redirect_is_an_answer_and_is_not_followed() {
    let answer = b"HTTP/1.1 302 Found\r\nlocation: https://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
    let mut host = Host::answering(answer.to_vec(), false).await;
    let answer = host.fetch(json!({})).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (302, 0));
    host.asked.recv().await.unwrap();
    assert!(host.asked.try_recv().is_err(), "it was asked again");
}

#[tokio::test]
async fn host_without_a_certificate_for_its_name_is_refused() {
    let host = Host::saying("hello").await;
    // Mozilla's authorities do not vouch for it; another one of ours does not either.
    let public = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let mut others = RootCertStore::empty();
    others.add(Host::saying("").await.root).unwrap();
    for roots in [public, others] {
        let guard = AddressGuard::with_exceptions(vec!["127.0.0.0/8".parse().unwrap()]);
        let fetcher = Fetcher::new(guard.with_lookup(Arc::new(Here)), roots).unwrap();
        assert_eq!(code(host.fetch_with(&fetcher, json!({})).await), "tls_failed");
    }
    let other_name = json!({"url": format!("https://other.example:{}/", host.address.port())});
    assert_eq!(code(host.fetch(other_name).await), "tls_failed");
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_before_anything_is_sent() {
    let mut host = Host::saying("hello").await;
    let mut roots = RootCertStore::empty();
    roots.add(host.root.clone()).unwrap();
    let guarded = Fetcher::new(AddressGuard::public_only().with_lookup(Arc::new(Here)), roots).unwrap();
    assert_eq!(code(host.fetch_with(&guarded, json!({})).await), "address_refused");
    for url in [
        "https://127.0.0.1/",
        "https://169.254.169.254/",
        "https://[::1]/",
        "https://0x7f.1/",
        "https://10.0.0.1/",
    ] {
        assert_eq!(code(host.fetch_with(&guarded, json!({"url": url})).await), "address_refused", "{url}");
    }
    assert!(host.asked.try_recv().is_err());
    // The same fetch with the guard's exception arrives.
    assert_eq!(code(host.fetch(json!({})).await), "ok");
    assert!(host.asked.recv().await.is_some());
}

#[tokio::test]
async fn answers_that_never_end_or_never_begin_are_cut() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n".to_vec();
    let endless = Host::answering([head.clone(), vec![b'x'; 2_000_000]].concat(), false).await;
    assert_eq!(code(endless.fetch(json!({})).await), "response_too_large");
    let limited = Host::saying("hello").await;
    assert_eq!(code(limited.fetch(json!({"response_bytes_max": 4})).await), "response_too_large");
    assert_eq!(code(limited.fetch(json!({"response_bytes_max": 5})).await), "ok");
    let silent = Host::answering(Vec::new(), false).await;
    assert_eq!(code(silent.fetch(json!({"timeout_secs": 1})).await), "timed_out");
    let cut = Host::answering([head, vec![b'x'; 10]].concat(), true).await;
    assert_eq!(code(cut.fetch(json!({})).await), "response_invalid");
    for malformed in [&b"SSH-2.0-x\r\n"[..], b"HTTP/1.1 999999 x\r\n\r\n", b""] {
        let host = Host::answering(malformed.to_vec(), true).await;
        assert_eq!(code(host.fetch(json!({})).await), "response_invalid", "{malformed:?}");
    }
    let many = (0..200).map(|n| format!("h{n}: x\r\n")).collect::<String>();
    let host = Host::answering(format!("HTTP/1.1 200 OK\r\n{many}\r\n").into_bytes(), true).await;
    assert_eq!(code(host.fetch(json!({})).await), "response_invalid");
}

#[tokio::test]
async fn nobody_at_the_port_is_said_so() {
    let host = Host::saying("hello").await;
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let url = json!({"url": format!("https://{HOST}:{free}/")});
    assert_eq!(code(host.fetch(url).await), "connect_failed");
}

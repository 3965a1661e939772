//! A container's end of the guest API's socket: HTTP over the Unix socket that `ENCLAVED_SOCKET` names.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use nostr::key::PublicKey;
use protocol::guest::{
    AppInfo, Attest, AttestedFetch, CertificateChain, CreateCertificate, DeriveKey, DerivedKey, Done,
    Fetched, GuestInfo, Log, ManifestReply, SetInfo, WalletReply,
};
use protocol::nwc::ConnectionUri;
use protocol::statement::StatementProof;
use protocol::statement::merkle::Hash;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

/// Longer than the daemon takes over the slowest of its methods, a fetch.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// Longest answer, in bytes: a fetched megabyte in base64, with its proof.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const KEY_BYTES: usize = 32;

/// The daemon did not do what was asked.
#[derive(Debug, Error)]
pub enum GuestSocketError {
    /// The socket is not there, or nobody answers: the daemon restarts.
    #[error("the guest socket {} does not answer", .0.display())]
    Gone(PathBuf, #[source] std::io::Error),
    /// The connection broke.
    #[error("the guest socket broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    #[error("the guest API did not answer within {} s", ANSWER_WAIT.as_secs())]
    TimedOut,
    /// The daemon said no.
    #[error("the guest API refused: {message} [{code}]")]
    Refused {
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
    /// The answer is not what was asked for.
    #[error("the guest API's answer is not understood: {0}")]
    Malformed(String),
}

/// Where the socket is. One connection per call: calls are rare, and a daemon that restarts strands
/// nothing.
#[derive(Clone, Debug)]
pub struct GuestSocket {
    path: PathBuf,
}

#[derive(Deserialize)]
struct Refused {
    error: Refusal,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
}

impl GuestSocket {
    /// A client of the socket at the path in `ENCLAVED_SOCKET`.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What the container is, and how it stands.
    ///
    /// # Errors
    /// [`GuestSocketError`].
    pub async fn info(&self) -> Result<GuestInfo, GuestSocketError> {
        self.call("info", &json!({})).await
    }

    /// What was agreed to run.
    ///
    /// # Errors
    /// [`GuestSocketError`].
    pub async fn manifest(&self) -> Result<ManifestReply, GuestSocketError> {
        self.call("manifest", &json!({})).await
    }

    /// The chain of certificates from AWS to the key `app`.
    ///
    /// # Errors
    /// [`GuestSocketError`].
    pub async fn create_certificate(&self, app: PublicKey) -> Result<CertificateChain, GuestSocketError> {
        self.call("create_certificate", &CreateCertificate { pubkey: app }).await
    }

    /// Tells the world which key is the app's.
    ///
    /// # Errors
    /// [`GuestSocketError`].
    pub async fn set_info(&self, app: PublicKey) -> Result<(), GuestSocketError> {
        let Done { .. } = self.call("set_info", &SetInfo { info: AppInfo { pubkey: app } }).await?;
        Ok(())
    }

    /// Writes a line to the operator's log.
    ///
    /// # Errors
    /// [`GuestSocketError`].
    pub async fn log(&self, message: String) -> Result<(), GuestSocketError> {
        let Done { .. } = self.call("log", &Log { message }).await?;
        Ok(())
    }

    /// A statement that this container had this hash now, for anybody to check offline.
    ///
    /// # Errors
    /// [`GuestSocketError`].
    pub async fn attest(&self, digest: Hash) -> Result<StatementProof, GuestSocketError> {
        self.call("attest", &Attest { digest }).await
    }

    /// Has the daemon fetch something, and state what was answered.
    ///
    /// # Errors
    /// [`GuestSocketError`].
    pub async fn attested_fetch(&self, request: &AttestedFetch) -> Result<Fetched, GuestSocketError> {
        self.call("attested_fetch", request).await
    }

    /// The container's key for `path`: the same each time, and nobody else's.
    ///
    /// # Errors
    /// [`GuestSocketError`].
    pub async fn derive_key(&self, path: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, GuestSocketError> {
        let derived: DerivedKey = self.call("derive_key", &DeriveKey { path: path.to_owned() }).await?;
        let text = Zeroizing::new(derived.key);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(text.as_bytes(), &mut *key)
            .map_err(|_| GuestSocketError::Malformed("the key is not 64 hex digits".to_owned()))?;
        Ok(key)
    }

    /// The connection to the account that pays for the container.
    ///
    /// # Errors
    /// [`GuestSocketError`].
    pub async fn wallet(&self) -> Result<ConnectionUri, GuestSocketError> {
        let reply: WalletReply = self.call("wallet", &json!({})).await?;
        let text = Zeroizing::new(reply.nwc);
        text.parse()
            .map_err(|e: protocol::nwc::ConnectionUriError| GuestSocketError::Malformed(e.to_string()))
    }

    /// Calls any method, for those that this client does not know.
    ///
    /// # Errors
    /// [`GuestSocketError`].
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &(impl Serialize + Sync),
    ) -> Result<T, GuestSocketError> {
        let body = serde_json::to_vec(params).map_err(|e| GuestSocketError::Malformed(e.to_string()))?;
        let answered = tokio::time::timeout(ANSWER_WAIT, self.ask(method, body)).await;
        let (is_done, body) = answered.map_err(|_| GuestSocketError::TimedOut)??;
        let malformed = |e: serde_json::Error| GuestSocketError::Malformed(e.to_string());
        if is_done {
            return serde_json::from_slice(&body).map_err(malformed);
        }
        let Refused { error } = serde_json::from_slice(&body).map_err(malformed)?;
        Err(GuestSocketError::Refused { code: error.code, message: error.message })
    }

    async fn ask(&self, method: &str, body: Vec<u8>) -> Result<(bool, Bytes), GuestSocketError> {
        let broken = |e: hyper::Error| GuestSocketError::Broken(e.into());
        let stream = UnixStream::connect(&self.path).await;
        let stream = stream.map_err(|e| GuestSocketError::Gone(self.path.clone(), e))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::post(format!("/v1/{method}"))
            .header(HOST, "enclaved")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| GuestSocketError::Malformed(e.to_string()))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let is_done = response.status().is_success();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok((is_done, body.map_err(GuestSocketError::Broken)?.to_bytes()))
        };
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            // The daemon may close first, with all of the answer read.
            _ = connection => exchange.await,
        }
    }
}

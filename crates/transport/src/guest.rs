//! A container's end of the guest API: the daemon that runs it, asked over its WebSocket.

use std::fmt;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nostr::key::PublicKey;
use protocol::guest::{
    AppInfo, CertificateChain, ContainerInfoReply, CreateCertificate, Done, GuestContainer, Log, SetInfo,
    TOKEN_HEADER,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use zeroize::Zeroizing;

/// The daemon is on the other end of a bridge; what takes longer is an outage.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// The daemon did not do what was asked.
#[derive(Debug, Error)]
pub enum GuestError {
    /// The token cannot be sent.
    #[error("the token is not one that the daemon gave")]
    Token,
    /// The daemon cannot be reached, or closed the connection.
    #[error("the guest API does not answer")]
    Gone(#[source] Option<tungstenite::Error>),
    /// No answer in time.
    #[error("the guest API did not answer within {} s", ANSWER_WAIT.as_secs())]
    TimedOut,
    /// The daemon said no.
    #[error("the guest API refused: {0}")]
    Refused(String),
    /// The answer is not what was asked for.
    #[error("the guest API's answer is not understood")]
    Malformed(#[source] serde_json::Error),
}

impl From<tungstenite::Error> for GuestError {
    fn from(error: tungstenite::Error) -> Self {
        Self::Gone(Some(error))
    }
}

/// Where the daemon is, and what admits us. One connection per call: calls are rare, and a daemon that
/// restarts strands nothing.
#[derive(Clone)]
pub struct GuestClient {
    endpoint: String,
    token: Zeroizing<String>,
}

impl fmt::Debug for GuestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestClient").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl GuestClient {
    /// A client for the values of `ENCLAVED_ENDPOINT` and `ENCLAVED_TOKEN`.
    #[must_use]
    pub fn new(endpoint: String, token: String) -> Self {
        Self { endpoint, token: Zeroizing::new(token) }
    }

    /// The token, which the daemon's internal relay wants, too.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The chain of certificates from AWS to the key `app`.
    ///
    /// # Errors
    /// [`GuestError`].
    pub async fn create_certificate(&self, app: PublicKey) -> Result<CertificateChain, GuestError> {
        self.call("create_certificate", &CreateCertificate { pubkey: app }).await
    }

    /// Tells the world which key is the app's.
    ///
    /// # Errors
    /// [`GuestError`].
    pub async fn set_info(&self, app: PublicKey) -> Result<(), GuestError> {
        let Done { .. } = self.call("set_info", &SetInfo { info: AppInfo { pubkey: app } }).await?;
        Ok(())
    }

    /// The container as the daemon sees it.
    ///
    /// # Errors
    /// [`GuestError`].
    pub async fn container_info(&self) -> Result<GuestContainer, GuestError> {
        let reply: ContainerInfoReply = self.call("get_container_info", &json!({})).await?;
        Ok(reply.container)
    }

    /// Writes a line to the operator's log.
    ///
    /// # Errors
    /// [`GuestError`].
    pub async fn log(&self, message: String) -> Result<(), GuestError> {
        let Done { .. } = self.call("log", &Log { message }).await?;
        Ok(())
    }

    /// Tells the app's key and stays connected; returns when the connection ends, as it does when the
    /// daemon restarts and has to be told again.
    ///
    /// # Errors
    /// [`GuestError`] if the daemon could not be told.
    pub async fn set_info_and_stay(&self, app: PublicKey) -> Result<(), GuestError> {
        let mut socket = self.connect().await?;
        let params = SetInfo { info: AppInfo { pubkey: app } };
        let Done { .. } = exchange(&mut socket, "set_info", &params).await?;
        while let Some(Ok(_)) = socket.next().await {}
        Ok(())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &(impl Serialize + Sync),
    ) -> Result<T, GuestError> {
        let mut socket = self.connect().await?;
        exchange(&mut socket, method, params).await
    }

    async fn connect(&self) -> Result<Socket, GuestError> {
        let mut request = self.endpoint.as_str().into_client_request()?;
        let mut token = HeaderValue::from_str(&self.token).map_err(|_| GuestError::Token)?;
        token.set_sensitive(true);
        request.headers_mut().insert(TOKEN_HEADER, token);
        let connected = tokio::time::timeout(ANSWER_WAIT, connect_async(request)).await;
        Ok(connected.map_err(|_| GuestError::TimedOut)??.0)
    }
}

async fn exchange<T: DeserializeOwned>(
    socket: &mut Socket,
    method: &str,
    params: &(impl Serialize + Sync),
) -> Result<T, GuestError> {
    let answered = async {
        let text = json!({"id": "1", "method": method, "params": params}).to_string();
        socket.send(Message::text(text)).await?;
        while let Some(message) = socket.next().await {
            if let Message::Text(text) = message? {
                return Ok(text);
            }
        }
        Err(GuestError::Gone(None))
    };
    let text = tokio::time::timeout(ANSWER_WAIT, answered).await.map_err(|_| GuestError::TimedOut)??;
    let reply: Value = serde_json::from_str(&text).map_err(GuestError::Malformed)?;
    if let Some(error) = reply.get("error") {
        return Err(GuestError::Refused(error.as_str().unwrap_or_default().to_owned()));
    }
    serde_json::from_value(reply.get("result").cloned().unwrap_or_default()).map_err(GuestError::Malformed)
}

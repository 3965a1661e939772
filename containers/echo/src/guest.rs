//! A client of the guest API: the daemon that runs us, asked over its WebSocket.

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use nostr::key::PublicKey;
use protocol::guest::{
    AppInfo, CertificateChain, CreateCertificate, Done, ENDPOINT_VARIABLE, SetInfo, TOKEN_HEADER,
    TOKEN_VARIABLE,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// Where the daemon is, and what admits us.
#[derive(Clone)]
pub(crate) struct Guest {
    endpoint: String,
    token: String,
}

impl Guest {
    /// Reads what the daemon put into our environment.
    #[expect(clippy::disallowed_methods, reason = "the daemon tells a container by its environment")]
    pub(crate) async fn from_environment() -> anyhow::Result<Self> {
        let endpoint = std::env::var(ENDPOINT_VARIABLE).context(ENDPOINT_VARIABLE)?;
        let token = std::env::var(TOKEN_VARIABLE).context(TOKEN_VARIABLE)?;
        Ok(Self { endpoint, token })
    }

    /// The chain of certificates from AWS to `app`.
    pub(crate) async fn create_certificate(&self, app: PublicKey) -> anyhow::Result<CertificateChain> {
        self.call("create_certificate", &CreateCertificate { pubkey: app }).await
    }

    /// Tells the world which key is the app's.
    pub(crate) async fn set_info(&self, app: PublicKey) -> anyhow::Result<()> {
        let Done { ok } = self.call("set_info", &SetInfo { info: AppInfo { pubkey: app } }).await?;
        if ok { Ok(()) } else { bail!("set_info was not done") }
    }

    /// One connection per call: calls are rare, and a daemon that restarts strands nothing.
    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &(impl Serialize + Sync),
    ) -> anyhow::Result<T> {
        let mut request = self.endpoint.as_str().into_client_request()?;
        request.headers_mut().insert(TOKEN_HEADER, HeaderValue::from_str(&self.token)?);
        let (mut socket, _) = connect_async(request).await.context("the guest API does not answer")?;
        let text = json!({"id": "1", "method": method, "params": params}).to_string();
        socket.send(Message::text(text)).await?;
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            let reply: Value = serde_json::from_str(&text)?;
            if let Some(error) = reply.get("error") {
                bail!("{method}: {error}");
            }
            let result = reply.get("result").cloned().unwrap_or_default();
            return serde_json::from_value(result).with_context(|| format!("the answer to {method}"));
        }
        bail!("{method}: the guest API closed the connection")
    }
}

//! HTTP with signed requests (NIP-98).

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use devnet::world::World;
use nostr::event::Kind;
use nostr::key::Keys;
use protocol::event::sign;
use protocol::tag;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use units::{Clock, SystemClock};

use crate::stranger::{SOON, Stranger};

/// A client with one key.
pub(crate) struct Http {
    url: String,
    keys: Keys,
    client: reqwest::Client,
}

impl Http {
    pub(crate) fn new(world: &World, who: &Stranger) -> Self {
        service::init_tls();
        let client = reqwest::Client::builder().no_proxy().timeout(SOON).build().unwrap();
        Self { url: world.http_url(), keys: who.keys.clone(), client }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The header that stands for one request. No two are the same, however soon they follow each other.
    pub(crate) fn token(&self, method: &str, path: &str, body: &str) -> Result<String> {
        self.token_for(method, path, body, None)
    }

    /// The same for a command that may come again under this name.
    pub(crate) fn token_for(&self, method: &str, path: &str, body: &str, id: Option<&str>) -> Result<String> {
        let mut tags = vec![
            tag!["u", self.url(path)],
            tag!["method", method],
            tag!["nonce", Keys::generate().public_key().to_hex()],
        ];
        if !body.is_empty() {
            tags.push(tag!["payload", hex::encode(Sha256::digest(body))]);
        }
        tags.extend(id.map(|id| tag!["idempotency-key", id]));
        let event = sign(&self.keys, Kind::HttpAuth, SystemClock.now(), tags, String::new())?;
        Ok(format!("Nostr {}", STANDARD.encode(event.as_json())))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(u16, Value)> {
        let request = self.client.get(self.url(path)).header("authorization", self.token("GET", path, "")?);
        answer(request).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value, id: Option<&str>) -> Result<(u16, Value)> {
        let body = body.to_string();
        let token = self.token_for("POST", path, &body, id)?;
        let mut request = self.client.post(self.url(path)).header("authorization", token).body(body);
        if let Some(id) = id {
            request = request.header("idempotency-key", id);
        }
        answer(request).await
    }

    /// The same with a header that was made before.
    pub(crate) async fn get_with(&self, path: &str, token: &str) -> Result<(u16, Value)> {
        answer(self.client.get(self.url(path)).header("authorization", token)).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        body: &str,
        token: &str,
        id: &str,
    ) -> Result<(u16, Value)> {
        let request = self.client.post(self.url(path)).header("authorization", token);
        answer(request.header("idempotency-key", id).body(body.to_owned())).await
    }

    /// Sends a command and does not wait for its answer.
    pub(crate) async fn send(&self, path: &str, body: &Value) -> Result<TcpStream> {
        let body = body.to_string();
        let (token, host) = (self.token("POST", path, &body)?, self.url.trim_start_matches("http://"));
        let mut stream = TcpStream::connect(host).await?;
        let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: {token}\r\n");
        let rest = format!("content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(format!("{head}{rest}").as_bytes()).await?;
        Ok(stream)
    }

    /// What is answered to a command that is carried out.
    pub(crate) async fn done<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T> {
        let (status, value) = self.post(path, body, None).await?;
        ensure!(status == 200, "{path}: {status} {value}");
        serde_json::from_value(value).with_context(|| path.to_owned())
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<(u16, Value)> {
    let answer = request.send().await?;
    let (status, text) = (answer.status().as_u16(), answer.text().await?);
    Ok((status, serde_json::from_str(&text).with_context(|| format!("{status} {text}"))?))
}

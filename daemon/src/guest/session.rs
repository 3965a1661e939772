//! One guest's connection.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use nostr::key::PublicKey;
use protocol::guest::MESSAGE_BYTES_MAX;
use relay::rpc::{RateLimit, RateLimiter};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::methods;
use crate::deploy::Fleet;

/// How often a guest may ask: it certifies a key now and then, and writes log lines.
const RATE: RateLimit = RateLimit { per_sec: 10, burst: 50 };
/// Longest request id that is repeated in the answer.
const ID_BYTES_MAX: usize = 128;

#[derive(Deserialize)]
struct Request {
    id: String,
    method: String,
    #[serde(default)]
    params: Value,
}

/// Answers a guest until it leaves. One request at a time: a guest that floods waits for itself.
pub(super) async fn run(fleet: &Arc<Fleet>, pubkey: PublicKey, mut socket: WebSocketStream<TcpStream>) {
    let clock = Arc::clone(&fleet.context().clock);
    let mut limiter = RateLimiter::new(RATE);
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let answer = if !limiter.allow(&(), clock.now_ms()) {
            json!({"id": id_of(&text), "error": "too many requests; wait a second"})
        } else {
            answer(fleet, pubkey, &text).await
        };
        if socket.send(Message::text(answer.to_string())).await.is_err() {
            return;
        }
    }
}

fn id_of(text: &str) -> String {
    serde_json::from_str::<Request>(text).map(|request| request.id).unwrap_or_default()
}

async fn answer(fleet: &Arc<Fleet>, pubkey: PublicKey, text: &str) -> Value {
    if text.len() > MESSAGE_BYTES_MAX {
        return json!({"id": "", "error": format!("a request has at most {MESSAGE_BYTES_MAX} bytes")});
    }
    let request: Request = match serde_json::from_str(text) {
        Ok(request) => request,
        Err(e) => return json!({"id": "", "error": format!("not a request {{id, method, params}}: {e}")}),
    };
    if request.id.len() > ID_BYTES_MAX {
        return json!({"id": "", "error": format!("an id has at most {ID_BYTES_MAX} bytes")});
    }
    match methods::call(fleet, pubkey, &request.method, &request.params).await {
        Ok(result) => json!({"id": request.id, "result": result}),
        Err(refusal) => json!({"id": request.id, "error": refusal}),
    }
}

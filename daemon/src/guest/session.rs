//! One guest's connection to the WebSocket.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use nostr::key::PublicKey;
use protocol::guest::MESSAGE_BYTES_MAX;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::Guests;
use super::methods::{self, Door};
use super::refusal::{Refusal, RefusalCode};

/// Longest request id that is repeated in the answer.
const ID_BYTES_MAX: usize = 128;

#[derive(Deserialize)]
struct Request {
    id: String,
    method: String,
    #[serde(default)]
    params: Value,
}

/// What a request is known by.
#[derive(Deserialize)]
struct Id<'a> {
    id: &'a str,
}

/// Answers a guest until it leaves. One request at a time: a guest that floods waits for itself.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    guests: &Arc<Guests>,
    pubkey: PublicKey,
    mut socket: WebSocketStream<S>,
) {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let answer = answer(guests, pubkey, &text).await;
        if socket.send(Message::text(answer.to_string())).await.is_err() {
            return;
        }
    }
}

async fn answer(guests: &Arc<Guests>, pubkey: PublicKey, text: &str) -> Value {
    let bad = |why: String| refused("", &Refusal::new(RefusalCode::BadRequest, why));
    if let Err(refusal) = guests.admit(pubkey) {
        // What it belongs to is said if that is cheap to find out.
        let id = (text.len() <= MESSAGE_BYTES_MAX).then(|| serde_json::from_str::<Id>(text).ok()).flatten();
        return refused(id.map_or("", |id| id.id), &refusal);
    }
    if text.len() > MESSAGE_BYTES_MAX {
        return bad(format!("a request has at most {MESSAGE_BYTES_MAX} bytes"));
    }
    let request: Request = match serde_json::from_str(text) {
        Ok(request) => request,
        Err(e) => return bad(format!("not a request {{id, method, params}}: {e}")),
    };
    if request.id.len() > ID_BYTES_MAX {
        return bad(format!("an id has at most {ID_BYTES_MAX} bytes"));
    }
    match methods::call(guests, pubkey, Door::WebSocket, &request.method, &request.params).await {
        Ok(answer) => json!({"id": request.id, "result": answer.value}),
        Err(refusal) => refused(&request.id, &refusal),
    }
}

/// `error` is a sentence, as the reference has it.
fn refused(id: &str, refusal: &Refusal) -> Value {
    json!({"id": id, "error": refusal.message, "code": refusal.code.as_str()})
}

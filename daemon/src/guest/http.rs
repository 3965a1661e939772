//! One request over HTTP: `POST /v1/METHOD` with the parameters as JSON.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use nostr::key::PublicKey;
use protocol::guest::MESSAGE_BYTES_MAX;
use serde_json::{Value, json};

use super::Guests;
use super::body::Written;
use super::methods::{self, Answer, Door};
use super::refusal::{Refusal, RefusalCode};

/// What every path begins with.
const PREFIX: &str = "/v1/";
/// How long a guest may take to send a request's body.
const BODY_WAIT: Duration = Duration::from_secs(10);

pub(super) async fn answer<B>(
    guests: &Arc<Guests>,
    pubkey: PublicKey,
    request: Request<B>,
) -> Response<Written>
where
    B: Body + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Err(refusal) = guests.admit(pubkey) {
        return respond(Err(refusal));
    }
    let read = tokio::time::timeout(BODY_WAIT, read(request)).await;
    let read = read.unwrap_or_else(|_| {
        Err(Refusal::new(RefusalCode::TimedOut, format!("send a request within {} s", BODY_WAIT.as_secs())))
    });
    let outcome = match read {
        Ok((method, params)) => methods::call(guests, pubkey, Door::Socket, &method, &params).await,
        Err(refusal) => Err(refusal),
    };
    respond(outcome)
}

/// The method's name, and its parameters.
async fn read<B>(request: Request<B>) -> Result<(String, Value), Refusal>
where
    B: Body + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let Some(method) = head.uri.path().strip_prefix(PREFIX).map(ToOwned::to_owned) else {
        return Err(Refusal::new(RefusalCode::NotFound, format!("every path begins with {PREFIX}")));
    };
    if head.method != Method::POST {
        return Err(Refusal::new(RefusalCode::HttpMethod, "every method is asked with POST"));
    }
    let body = Limited::new(body, MESSAGE_BYTES_MAX).collect().await.map_err(|e| {
        if e.is::<LengthLimitError>() {
            let why = format!("a request has at most {MESSAGE_BYTES_MAX} bytes");
            return Refusal::new(RefusalCode::RequestTooLarge, why);
        }
        Refusal::new(RefusalCode::BadRequest, "the request ended early")
    })?;
    let body = body.to_bytes();
    if body.is_empty() {
        return Ok((method, Value::Null));
    }
    let params = serde_json::from_slice(&body)
        .map_err(|e| Refusal::new(RefusalCode::BadRequest, format!("the body is not JSON: {e}")))?;
    Ok((method, params))
}

fn respond(outcome: Result<Answer, Refusal>) -> Response<Written> {
    let (status, text, place, code) = match outcome {
        Ok(Answer { value, place }) => (200, value.to_string(), place, None),
        Err(Refusal { code, message }) => {
            let text = json!({"error": {"code": code.as_str(), "message": message}}).to_string();
            (code.status(), text, None, Some(code))
        }
    };
    let mut response = Response::new(Written::new(text.into(), place));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match code {
        Some(RefusalCode::RateLimited | RefusalCode::ServerBusy) => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Some(RefusalCode::HttpMethod) => {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        _ => {}
    }
    response
}

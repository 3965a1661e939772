//! A request, read.

use std::time::Duration;

use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use protocol::rpc::{Code, Failure, ID_BYTES_MAX, MESSAGE_BYTES_MAX};
use tokio::sync::watch;

use super::connections::Via;
use super::routes::Verb;

/// Names a command, so that it has one effect however often it is sent.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// How long a request's body may take to come.
const BODY_WAIT: Duration = Duration::from_secs(20);

/// A request, read.
pub(super) struct Asking {
    pub(super) verb: Verb,
    /// Path and query, as they came.
    pub(super) target: String,
    pub(super) query: Option<String>,
    pub(super) authorization: Option<String>,
    /// What the header [`IDEMPOTENCY_KEY`] says; whether it is believed is for the event to say.
    pub(super) id: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) container: Option<String>,
    /// True once its connection is to end.
    pub(super) closing: watch::Receiver<bool>,
}

impl Asking {
    pub(super) async fn read(
        verb: Verb,
        via: Via,
        container: Option<String>,
        request: Request,
    ) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let body = tokio::time::timeout(BODY_WAIT, axum::body::to_bytes(body, MESSAGE_BYTES_MAX)).await;
        let body = body.map_err(|_| {
            let secs = BODY_WAIT.as_secs();
            Failure::new(Code::BadRequest, format!("the body did not come within {secs} s; send it at once"))
        })?;
        let body = body.map_err(|_| {
            Failure::new(Code::RequestTooLarge, format!("a request has at most {MESSAGE_BYTES_MAX} bytes"))
        })?;
        let text =
            |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let id = text(IDEMPOTENCY_KEY);
        if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > ID_BYTES_MAX) {
            let message = format!("the header Idempotency-Key must have 1 to {ID_BYTES_MAX} bytes");
            return Err(Failure::new(Code::BadRequest, message));
        }
        Ok(Self {
            verb,
            target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            query: parts.uri.query().map(str::to_owned),
            authorization: text(AUTHORIZATION.as_str()),
            id,
            body: body.into(),
            container,
            closing: via.closing,
        })
    }
}

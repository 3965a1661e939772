//! What the daemon does for its guests, shown over HTTP to whoever asks.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use nostr::key::{Keys, SecretKey};
use protocol::guest::{AttestedFetch, Fetched, GuestInfo};
use protocol::statement::StatementProof;
use protocol::statement::merkle::Hash;
use serde::Deserialize;
use transport::{GuestSocket, GuestSocketError};

type Refusal = (StatusCode, String);

#[derive(Deserialize)]
pub(crate) struct OfDigest {
    digest: Hash,
}

#[derive(Deserialize)]
pub(crate) struct OfUrl {
    url: String,
}

#[derive(Deserialize)]
pub(crate) struct OfPath {
    path: String,
}

/// What this container is.
pub(crate) async fn info(State(guest): State<Arc<GuestSocket>>) -> Result<Json<GuestInfo>, Refusal> {
    guest.info().await.map(Json).map_err(refused)
}

/// A statement over the caller's hash: `encli container statement verify` checks it.
pub(crate) async fn attest(
    State(guest): State<Arc<GuestSocket>>,
    Query(OfDigest { digest }): Query<OfDigest>,
) -> Result<Json<StatementProof>, Refusal> {
    guest.attest(digest).await.map(Json).map_err(refused)
}

/// A page, and the daemon's statement that its host answered it.
pub(crate) async fn fetch(
    State(guest): State<Arc<GuestSocket>>,
    Query(OfUrl { url }): Query<OfUrl>,
) -> Result<Json<Fetched>, Refusal> {
    let request = AttestedFetch {
        method: "GET".to_owned(),
        url,
        headers: Vec::new(),
        body: None,
        response_bytes_max: None,
        timeout_secs: None,
    };
    guest.attested_fetch(&request).await.map(Json).map_err(refused)
}

/// The public half of a key that this container has at every start, and nobody else ever.
pub(crate) async fn key(
    State(guest): State<Arc<GuestSocket>>,
    Query(OfPath { path }): Query<OfPath>,
) -> Result<String, Refusal> {
    let secret = guest.derive_key(&path).await.map_err(refused)?;
    let secret = SecretKey::from_slice(&*secret)
        .map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "choose another path\n".to_owned()))?;
    Ok(format!("{}\n", Keys::new(secret).public_key()))
}

fn refused(error: GuestSocketError) -> Refusal {
    let status = match &error {
        GuestSocketError::Refused { .. } => StatusCode::BAD_REQUEST,
        GuestSocketError::Gone(..)
        | GuestSocketError::Broken(_)
        | GuestSocketError::TimedOut
        | GuestSocketError::Malformed(_) => StatusCode::BAD_GATEWAY,
    };
    (status, format!("{error}\n"))
}

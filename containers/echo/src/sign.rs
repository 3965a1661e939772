//! Signs nonces.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use nostr::event::{Event, Kind};
use nostr::key::Keys;
use protocol::event::{expiration, sign as sign_event};
use protocol::guest::CertificateChain;
use protocol::tag;
use serde::Deserialize;
use tokio::sync::Mutex;
use transport::GuestClient;
use units::{Clock, SystemClock};

/// Longest nonce that is signed, in bytes.
const NONCE_BYTES_MAX: usize = 256;
/// A chain that ends sooner is replaced first.
const LEFT_SECS_MIN: u64 = 600;
/// Kind of the signed answer: ephemeral, and nobody else's.
const ANSWER: Kind = Kind::Custom(27_797);

/// The app's key and the chain that vouches for it.
pub(crate) struct Signer {
    keys: Keys,
    guest: GuestClient,
    chain: Mutex<CertificateChain>,
}

impl Signer {
    pub(crate) async fn new(keys: Keys, guest: GuestClient) -> anyhow::Result<Self> {
        let chain = Mutex::new(guest.create_certificate(keys.public_key()).await?);
        guest.set_info(keys.public_key()).await?;
        Ok(Self { keys, guest, chain })
    }

    async fn chain(&self) -> anyhow::Result<CertificateChain> {
        let mut chain = self.chain.lock().await;
        let until = expiration(&chain.root).ok().flatten().unwrap_or_default();
        if until.secs_since(SystemClock.now()) < LEFT_SECS_MIN {
            *chain = self.guest.create_certificate(self.keys.public_key()).await?;
        }
        Ok(chain.clone())
    }
}

#[derive(Deserialize)]
pub(crate) struct Question {
    nonce: String,
}

type Refusal = (StatusCode, String);

/// Signs the caller's nonce: an event whose content is the nonce, with the chain in its tags.
pub(crate) async fn sign(
    State(signer): State<Arc<Signer>>,
    Query(question): Query<Question>,
) -> Result<Json<Event>, Refusal> {
    if question.nonce.is_empty() || question.nonce.len() > NONCE_BYTES_MAX {
        return Err((StatusCode::BAD_REQUEST, format!("nonce: 1 to {NONCE_BYTES_MAX} bytes, please\n")));
    }
    let chain = signer.chain().await.map_err(internal)?;
    let mut tags = vec![tag!["tee_root", chain.root.as_json()]];
    tags.extend(chain.certs.iter().map(|certificate| tag!["tee_cert", certificate.as_json()]));
    let event =
        sign_event(&signer.keys, ANSWER, SystemClock.now(), tags, question.nonce).map_err(internal)?;
    Ok(Json(event.into_event()))
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    tracing::error!("{error:#}");
    (StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be signed; try again\n".to_owned())
}

//! The proof that comes with each request: a document made for the key that signs it.

use std::sync::Arc;

use attestation::nsm::{Nsm, NsmError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::key::PublicKey;
use thiserror::Error;
use tokio::sync::Mutex;
use units::Clock;

/// A document is used for so long. Key stores take older ones, as clocks differ and relays are slow.
const REUSED_MS: u64 = 60_000;

/// There is no proof.
#[derive(Debug, Error)]
pub enum ProofError {
    /// The NSM failed.
    #[error("the NSM gave no attestation document: {0}")]
    Nsm(#[from] NsmError),
    /// The thread that asked is gone.
    #[error("the NSM was not asked: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Attestation documents of one key, each used for a minute.
#[derive(Debug)]
pub struct Proof {
    nsm: Nsm,
    key: PublicKey,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<(u64, String)>>,
}

impl Proof {
    /// Proofs for requests that `key` signs.
    #[must_use]
    pub fn new(nsm: Nsm, key: PublicKey, clock: Arc<dyn Clock>) -> Self {
        Self { nsm, key, clock, current: Mutex::new(None) }
    }

    /// A document, base64.
    ///
    /// # Errors
    /// [`ProofError`].
    pub async fn document(&self) -> Result<String, ProofError> {
        let mut current = self.current.lock().await;
        let now_ms = self.clock.now_ms();
        if let Some((made_ms, document)) = current.as_ref()
            && now_ms.abs_diff(*made_ms) < REUSED_MS
        {
            return Ok(document.clone());
        }
        let (nsm, key) = (self.nsm.clone(), self.key.to_bytes());
        // The device blocks.
        let raw = tokio::task::spawn_blocking(move || nsm.attest(Some(&key), None, None)).await??;
        let document = STANDARD.encode(raw);
        *current = Some((now_ms, document.clone()));
        Ok(document)
    }
}

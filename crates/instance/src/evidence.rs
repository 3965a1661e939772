//! The evidence of this program: its attestation, kept fresh.

use std::sync::Arc;

use attestation::nsm::{Nsm, NsmError};
use attestation::{Expectations, TrustRoot, VerifiedDocument, VerifyAt, VerifyError, verify};
use nostr::key::Keys;
use protocol::event::{CheckedEvent, SignError};
use protocol::nec::{Env, root};
use relay::next_announcement_secs;
use thiserror::Error;
use tokio::sync::Mutex;
use units::{Clock, UnixSecs};

/// The program cannot prove itself.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// The NSM failed.
    #[error("the NSM gave no attestation document: {0}")]
    Nsm(#[from] NsmError),
    /// The document does not verify under the configured root.
    #[error("the NSM's attestation document does not verify under trust_root: {0}")]
    Refused(#[from] VerifyError),
    /// The document could not be asked for.
    #[error("the attestation could not be expressed: {0}")]
    Expectation(#[from] attestation::ExpectationError),
    /// The event could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The thread that asked is gone.
    #[error("the NSM was not asked: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// An attestation document of the service key, and the event that carries it.
#[derive(Debug)]
pub struct Evidence {
    /// The raw document.
    pub raw: Vec<u8>,
    /// The document.
    pub document: VerifiedDocument,
    /// The event, kind 23793.
    pub root: CheckedEvent,
    /// What this program is for.
    pub env: Env,
    obtained_at: UnixSecs,
}

impl Evidence {
    /// When it is to be replaced: well before anybody refuses it.
    #[must_use]
    pub fn fresh_until(&self) -> UnixSecs {
        let secs = next_announcement_secs(self.obtained_at, self.document.leaf_not_after());
        self.obtained_at.plus_secs(secs)
    }
}

/// Gets evidence from the NSM.
#[derive(Debug)]
pub struct Attestor {
    nsm: Nsm,
    keys: Keys,
    trust_root: TrustRoot,
    production: bool,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Arc<Evidence>>>,
}

impl Attestor {
    /// An attestor that has asked nothing yet.
    #[must_use]
    pub fn new(nsm: Nsm, keys: Keys, trust_root: TrustRoot, clock: Arc<dyn Clock>) -> Self {
        Self { nsm, keys, trust_root, production: false, clock, current: Mutex::new(None) }
    }

    /// Calls this a production instance, which counts under AWS's root only.
    #[must_use]
    pub fn production(self, production: bool) -> Self {
        // Evidence from before says something else.
        let current = Mutex::new(None);
        Self { production: production && self.trust_root.is_aws(), current, ..self }
    }

    /// The root that ends our evidence.
    #[must_use]
    pub const fn trust_root(&self) -> &TrustRoot {
        &self.trust_root
    }

    /// Evidence that is fresh: the last, or new.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub async fn current(&self) -> Result<Arc<Evidence>, EvidenceError> {
        self.at_most(u64::MAX).await
    }

    /// Evidence that is fresh and at most so many seconds old, for those who ask for that.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub async fn at_most(&self, age_secs_max: u64) -> Result<Arc<Evidence>, EvidenceError> {
        let mut current = self.current.lock().await;
        let now = self.clock.now();
        let is_fresh = |evidence: &&Arc<Evidence>| {
            now < evidence.fresh_until() && now.secs_since(evidence.obtained_at) <= age_secs_max
        };
        if let Some(evidence) = current.as_ref().filter(is_fresh) {
            return Ok(Arc::clone(evidence));
        }
        let evidence = Arc::new(self.obtain(now, None).await?);
        *current = Some(Arc::clone(&evidence));
        Ok(evidence)
    }

    /// New evidence with `user_data` in it, for those who want to see that we said this.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub async fn over(&self, user_data: &[u8]) -> Result<Evidence, EvidenceError> {
        self.obtain(self.clock.now(), Some(user_data)).await
    }

    async fn obtain(&self, now: UnixSecs, user_data: Option<&[u8]>) -> Result<Evidence, EvidenceError> {
        let (nsm, key) = (self.nsm.clone(), self.keys.public_key().to_bytes());
        let carried = user_data.map(<[u8]>::to_vec);
        // The device blocks.
        let asked = tokio::task::spawn_blocking(move || nsm.attest(Some(&key), carried.as_deref(), None));
        let raw = asked.await??;
        // Debug mode is nothing to hide from ourselves; others refuse it.
        let mut expectations = Expectations::none().allow_debug(true).public_key(&key)?;
        if let Some(user_data) = user_data {
            expectations = expectations.user_data(user_data)?;
        }
        let document = verify(&raw, &expectations, &self.trust_root, VerifyAt::now(self.clock.as_ref()))?;
        let env = match (document.is_debug(), self.production) {
            (true, _) => Env::Debug,
            (false, true) => Env::Prod,
            (false, false) => Env::Dev,
        };
        let root = root::build(&self.keys, &raw, env, document.leaf_not_after(), now)?;
        Ok(Evidence { raw, document, root, env, obtained_at: now })
    }
}

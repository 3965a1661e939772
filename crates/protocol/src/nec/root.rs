//! NEC-01: the attestation of a service key, kind 23793, embedded as `tee_root`.

use attestation::{VerifiedDocument, verify};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::key::{Keys, PublicKey};
use units::UnixSecs;

use super::{Env, NecError, Policy, tags};
use crate::event::{CheckedEvent, SignError, sign};
use crate::kinds::TEE_ROOT;
use crate::tag;

/// Longest attestation document that an event carries, in base64: the NSM's own limit is 12 KiB.
const DOCUMENT_BASE64_MAX: usize = 16 * 1024 + 1_024;

/// Signs the attestation event of a service key.
///
/// `document` is the raw document, made for the key's 32 bytes; `leaf_not_after` is when its leaf
/// certificate ends, which is when the event expires.
///
/// # Errors
/// [`SignError`].
pub fn build(
    keys: &Keys,
    document: &[u8],
    env: Env,
    leaf_not_after: UnixSecs,
    now: UnixSecs,
) -> Result<CheckedEvent, SignError> {
    let tags = vec![
        tag!["-"],
        tag!["t", env],
        tag!["expiration", leaf_not_after],
        tag!["alt", "attestation of a service in an AWS Nitro Enclave"],
    ];
    sign(keys, TEE_ROOT, now, tags, STANDARD.encode(document))
}

/// An attestation event that was verified: AWS, or the root that the policy names, vouches that this
/// service key was made in this enclave.
#[derive(Clone, Debug)]
pub struct VerifiedRoot {
    service: PublicKey,
    env: Env,
    document: VerifiedDocument,
    expires_at: UnixSecs,
}

impl VerifiedRoot {
    /// Verifies an attestation event.
    ///
    /// # Errors
    /// [`NecError`].
    pub fn verify(event: &CheckedEvent, policy: &Policy) -> Result<Self, NecError> {
        if event.kind != TEE_ROOT {
            return Err(NecError::Event(format!("`tee_root` is of kind {}, not {TEE_ROOT}", event.kind)));
        }
        let root = Self::from_content(event, policy)?;
        let stated = Env::stated(event)?.unwrap_or_default();
        if (stated == Env::Debug) != root.document.is_debug() {
            return Err(NecError::event(
                "the `t` tag of `tee_root` contradicts the document about debug mode",
            ));
        }
        let until = tags::expiration(event, "`tee_root`")?;
        if until > root.document.leaf_not_after() {
            return Err(NecError::event("`tee_root` claims to outlive its certificate"));
        }
        if policy.at > until {
            return Err(NecError::Expired { what: "the attestation event", until });
        }
        Ok(Self { env: stated, expires_at: until, ..root })
    }

    /// Verifies a document that stands in an event's content: of a `tee_root`, or of the reference's
    /// older announcements.
    pub(super) fn from_content(event: &CheckedEvent, policy: &Policy) -> Result<Self, NecError> {
        if event.content.len() > DOCUMENT_BASE64_MAX {
            return Err(NecError::event("the attestation document is longer than any NSM makes"));
        }
        let raw = STANDARD
            .decode(event.content.as_bytes())
            .map_err(|_| NecError::event("the attestation document is not base64"))?;
        let service = event.pubkey;
        let document = verify(&raw, &policy.expectations(&service)?, &policy.root, policy.verify_at())?;
        let env = if document.is_debug() { Env::Debug } else { Env::default() };
        let expires_at = document.leaf_not_after();
        Ok(Self { service, env, document, expires_at })
    }

    pub(super) fn with_env(self, env: Env) -> Self {
        Self { env, ..self }
    }

    /// The service key.
    #[must_use]
    pub const fn service(&self) -> PublicKey {
        self.service
    }

    /// What the instance is for.
    #[must_use]
    pub const fn env(&self) -> Env {
        self.env
    }

    /// The attestation document.
    #[must_use]
    pub const fn document(&self) -> &VerifiedDocument {
        &self.document
    }

    /// When this evidence ends.
    #[must_use]
    pub const fn expires_at(&self) -> UnixSecs {
        self.expires_at
    }
}

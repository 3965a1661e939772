//! What a verifier wants to see.

use std::collections::BTreeSet;

use attestation::{Expectations, Pcr, TrustRoot, VerifyAt};
use nostr::key::PublicKey;
use units::UnixSecs;

use super::{Env, NecError, Version};

/// What an instance must show to be believed. Nothing left out is guessed: a policy without
/// maintainers and PCRs verifies that some enclave made the evidence, not which code runs there, and
/// the result says so (`pinned`).
#[derive(Clone, Debug)]
pub struct Policy {
    /// The root of the attestation.
    pub root: TrustRoot,
    /// The moment at which everything must be valid.
    pub at: UnixSecs,
    /// The repository that the announcement and the releases must name.
    pub repo: Option<String>,
    /// What the instance must be for.
    pub env: Option<Env>,
    /// Whose release signatures count.
    pub maintainers: BTreeSet<PublicKey>,
    /// How many of them must have signed. Not below one where there are maintainers.
    pub threshold: usize,
    /// The oldest release that is accepted. Every release signature that is shown must then name its
    /// version: an old release that was signed once stays signed.
    pub min_version: Option<Version>,
    /// Registers that must have these values.
    pub pcrs: Vec<(u8, Pcr)>,
    /// Accept an enclave with a console attached.
    pub allow_debug: bool,
    /// Oldest attestation document that is accepted, in seconds.
    pub max_age_secs: Option<u64>,
}

impl Policy {
    /// Wants evidence under `root` that is valid at `at`, and nothing else.
    #[must_use]
    pub const fn new(root: TrustRoot, at: UnixSecs) -> Self {
        Self {
            root,
            at,
            repo: None,
            env: None,
            maintainers: BTreeSet::new(),
            threshold: 1,
            min_version: None,
            pcrs: Vec::new(),
            allow_debug: false,
            max_age_secs: None,
        }
    }

    /// True if it says which code may run.
    #[must_use]
    pub fn pins_code(&self) -> bool {
        !self.maintainers.is_empty() || !self.pcrs.is_empty()
    }

    pub(super) fn check_env(&self, found: Env) -> Result<(), NecError> {
        match self.env {
            Some(wanted) if wanted != found => {
                Err(NecError::Event(format!("its `t` tag says {found}, and {wanted} is wanted")))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn verify_at(&self) -> VerifyAt {
        VerifyAt::from(self.at)
    }

    /// What the attestation document must say for the service key `service`.
    pub(super) fn expectations(&self, service: &PublicKey) -> Result<Expectations, NecError> {
        let unusable = |e| NecError::Event(format!("the policy cannot be used: {e}"));
        let mut expectations = Expectations::none().allow_debug(self.allow_debug);
        expectations = expectations.public_key(&service.to_bytes()).map_err(unusable)?;
        if !self.pcrs.is_empty() {
            expectations = expectations.pcrs(self.pcrs.iter().copied()).map_err(unusable)?;
        }
        if let Some(secs) = self.max_age_secs {
            expectations = expectations.max_age_secs(secs);
        }
        Ok(expectations)
    }
}

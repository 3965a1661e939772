//! Which key stores count, and where they are.

mod search;

use std::collections::BTreeSet;

use attestation::TrustRoot;
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use protocol::kinds::ANNOUNCEMENT;
use protocol::nec::{Env, NecError, Policy, VerifiedInstance, Version};
use quorum::{Boot, MemberId};
use thiserror::Error;
use units::UnixSecs;

pub use search::{Directory, Known};

/// Which key stores count.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The root of their attestation.
    pub root: TrustRoot,
    /// The repository of their code.
    pub repo: String,
    /// What they must be for.
    pub env: Option<Env>,
    /// Who signs their releases.
    pub maintainers: BTreeSet<PublicKey>,
    /// How many of them must have signed.
    pub threshold: usize,
    /// The oldest release that counts.
    pub min_version: Option<Version>,
    /// The launchers that have a vote each.
    pub members: BTreeSet<PublicKey>,
}

/// Why an announcement is not one of a key store that counts.
#[derive(Debug, Error)]
pub enum TrustError {
    /// It does not verify.
    #[error(transparent)]
    Unverified(#[from] NecError),
    /// The old form, or something else.
    #[error("kind {0} is not the announcement of a key store")]
    Kind(u16),
    /// Nobody says which code may run.
    #[error("no maintainers are configured, so any code would pass")]
    Unpinned,
    /// Its launcher has no vote.
    #[error("its launcher {0:?} is not a member of the group")]
    NotMember(Option<PublicKey>),
}

/// A key store that counts: a build that the maintainers signed, on a machine of a member. Made by
/// [`Trust::verify`] alone.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Member {
    launcher: PublicKey,
    announced_at: UnixSecs,
    service: PublicKey,
}

impl Member {
    /// The key of the instance.
    #[must_use]
    pub const fn service(&self) -> PublicKey {
        self.service
    }

    /// Who launched it.
    #[must_use]
    pub const fn launcher(&self) -> PublicKey {
        self.launcher
    }

    /// Whose vote it has.
    #[must_use]
    pub fn id(&self) -> MemberId {
        MemberId(self.launcher.to_bytes())
    }

    /// Which life of the member it is: its service key is made when it starts.
    #[must_use]
    pub fn boot(&self) -> Boot {
        Boot(self.service.to_bytes())
    }
}

impl Trust {
    /// Verifies an announcement; with `age_secs_max`, only with an attestation that is not older.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn verify(
        &self,
        event: &CheckedEvent,
        at: UnixSecs,
        age_secs_max: Option<u64>,
    ) -> Result<Member, TrustError> {
        if event.kind != ANNOUNCEMENT {
            return Err(TrustError::Kind(event.kind.as_u16()));
        }
        let policy = Policy {
            repo: Some(self.repo.clone()),
            env: self.env,
            maintainers: self.maintainers.clone(),
            threshold: self.threshold,
            min_version: self.min_version.clone(),
            max_age_secs: age_secs_max,
            ..Policy::new(self.root.clone(), at)
        };
        if !policy.pins_code() {
            return Err(TrustError::Unpinned);
        }
        let instance = VerifiedInstance::verify(event, &policy)?;
        let is_member = |launcher: &PublicKey| self.members.contains(launcher);
        match instance.launcher().filter(is_member) {
            Some(launcher) => {
                Ok(Member { launcher, announced_at: event.created_at(), service: instance.service() })
            }
            None => Err(TrustError::NotMember(instance.launcher())),
        }
    }
}

//! What a build shows beside its attestation.

use protocol::event::CheckedEvent;
use protocol::nec::release::Release;
use protocol::nec::{PolicyApproval, Version};
use protocol::rpc::keycrux::{Input, SIGNATURES_MAX};
use protocol::rpc::{Code, Failure};

/// What a build shows, read: signatures whose id, signature and form were checked.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub(super) repo: Option<String>,
    pub(super) releases: Vec<Release>,
    pub(super) approvals: Vec<PolicyApproval>,
}

impl Shown {
    /// Reads what a build shows. A signature that cannot be read is as good as none.
    ///
    /// # Errors
    /// [`Failure`] for more signatures than are read.
    pub fn read(input: Input) -> Result<Self, Failure> {
        if input.release_signatures.len() > SIGNATURES_MAX {
            let problem = format!("input.release_signatures has more than {SIGNATURES_MAX} events");
            return Err(Failure::new(Code::ParamsInvalid, problem));
        }
        let mut shown = Self { repo: input.repo, ..Self::default() };
        for event in input.release_signatures {
            let Ok(event) = CheckedEvent::check(event) else { continue };
            match (Release::read(&event), PolicyApproval::read(&event)) {
                (Ok(release), _) => shown.releases.push(release),
                (Err(_), Ok(approval)) => shown.approvals.push(approval),
                (Err(_), Err(_)) => {}
            }
        }
        Ok(shown)
    }

    /// The same, with what else is shown.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.releases.extend(other.releases);
        self.approvals.extend(other.approvals);
        self
    }

    /// The same, without the releases of other versions.
    #[must_use]
    pub fn of_version(&self, version: &Version) -> Self {
        let mut shown = self.clone();
        shown.releases.retain(|release| release.version.as_ref() == Some(version));
        shown
    }

    /// Releases that were read elsewhere.
    #[must_use]
    pub const fn new(repo: Option<String>, releases: Vec<Release>) -> Self {
        Self { repo, releases, approvals: Vec::new() }
    }

    /// The same with approvals that were read elsewhere.
    #[must_use]
    pub fn with_approvals(self, approvals: Vec<PolicyApproval>) -> Self {
        Self { approvals, ..self }
    }
}

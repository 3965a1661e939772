//! Why evidence is refused.

use attestation::VerifyError;
use thiserror::Error;
use units::UnixSecs;

/// Why an announcement, a container or a certificate is not what it claims.
#[derive(Debug, Error)]
pub enum NecError {
    /// The attestation document is refused.
    #[error("the attestation is refused: {0}")]
    Attestation(#[from] VerifyError),
    /// An event is malformed, contradicts itself, or nobody signed it.
    #[error("the event is not valid: {0}")]
    Event(String),
    /// Evidence ended before the time of verification.
    #[error("{what} ended at {until}; ask the instance for a newer one")]
    Expired {
        /// What ended.
        what: &'static str,
        /// When.
        until: UnixSecs,
    },
    /// The announcement is for another repository.
    #[error("the instance runs code of {found:?}, not of {wanted:?}")]
    Ref {
        /// What was asked for.
        wanted: String,
        /// What it says.
        found: String,
    },
    /// The builder's signature does not belong to this build.
    #[error("the builder's signature is refused: {0}")]
    Builder(String),
    /// The launcher's signature does not belong to this machine.
    #[error("the launcher's signature is refused: {0}")]
    Launcher(String),
    /// A maintainer's signature does not belong to this build.
    #[error("a release signature is refused: {0}")]
    Release(String),
    /// Too few of the expected maintainers signed this build.
    #[error("{found} of the expected maintainers signed this build; {wanted} are wanted")]
    ReleaseMissing {
        /// How many signed.
        found: usize,
        /// How many are wanted.
        wanted: usize,
    },
    /// A statement is malformed, or not what the attestation document carries.
    #[error("the statement is refused: {0}")]
    Statement(String),
    /// Receipts are malformed, incomplete, or not the ones that were stated.
    #[error("the receipts are refused: {0}")]
    Receipt(String),
    /// A link of the chain is about another key than the next.
    #[error("the chain of keys is broken: {0}")]
    Key(String),
}

impl NecError {
    pub(super) fn event(problem: impl Into<String>) -> Self {
        Self::Event(problem.into())
    }

    pub(super) fn statement(problem: impl Into<String>) -> Self {
        Self::Statement(problem.into())
    }

    pub(super) fn receipt(problem: impl Into<String>) -> Self {
        Self::Receipt(problem.into())
    }

    /// What is wrong, for a sentence that says in which part of an event.
    pub(super) fn problem(self) -> String {
        if let Self::Event(problem) = self { problem } else { self.to_string() }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Attestation(error) => error.code(),
            Self::Event(_) => "event_invalid",
            Self::Expired { .. } => "expired",
            Self::Ref { .. } => "ref_mismatch",
            Self::Builder(_) => "builder_invalid",
            Self::Launcher(_) => "launcher_invalid",
            Self::Release(_) => "release_invalid",
            Self::ReleaseMissing { .. } => "release_missing",
            Self::Statement(_) => "statement_invalid",
            Self::Receipt(_) => "receipt_invalid",
            Self::Key(_) => "key_mismatch",
        }
    }
}

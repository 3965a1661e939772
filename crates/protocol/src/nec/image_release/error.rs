//! Why a release of an image is refused.

use nostr::key::PublicKey;
use thiserror::Error;

use crate::nec::{Env, NecError};

/// Why a release of an image is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ImageReleaseError {
    /// A tag is missing, doubled or malformed, or a signature in it is.
    #[error("the release is not valid: {0}")]
    Invalid(String),
    /// Somebody else made it.
    #[error("the release is by {0}, who is none of the image's signers")]
    Author(PublicKey),
    /// It is for other code.
    #[error("the release is for {found:?}, and the image that runs is of {wanted:?}")]
    Repo {
        /// The running image's label.
        wanted: String,
        /// What the release says.
        found: String,
    },
    /// It is for another use.
    #[error("the release is for {found}, and this server takes releases for {wanted}")]
    Env {
        /// What this server takes.
        wanted: Env,
        /// What the release says.
        found: Env,
    },
    /// Its version is not higher than what runs.
    #[error("version {found} is not higher than {running}, which runs")]
    TooOld {
        /// The running image's label.
        running: String,
        /// What the release says.
        found: String,
    },
    /// A signer did not sign it.
    #[error("{0} did not sign the release, and every signer of the image that runs must")]
    Missing(PublicKey),
    /// The image says something else of itself.
    #[error("the image's label {what} is {found:?}, and the release says {wanted:?}")]
    Image {
        /// Which label.
        what: &'static str,
        /// What the release says.
        wanted: String,
        /// What the image says.
        found: String,
    },
}

impl ImageReleaseError {
    pub(super) fn tag(name: &str) -> Self {
        Self::Invalid(format!("it has no `{name}` tag"))
    }

    /// The stable code (NEC-07).
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) | Self::Author(_) | Self::Env { .. } => "release_invalid",
            Self::Repo { .. } => "ref_mismatch",
            Self::TooOld { .. } => "version_too_old",
            Self::Missing(_) => "release_missing",
            Self::Image { .. } => "image_mismatch",
        }
    }
}

/// What the readers of tags say.
impl From<NecError> for ImageReleaseError {
    fn from(error: NecError) -> Self {
        Self::Invalid(error.problem())
    }
}

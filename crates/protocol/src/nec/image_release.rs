//! Releases of container images (NEC-07, part B): signatures of kind 63795 by every signer, carried by a
//! release of kind 63796.
//!
//! An [`ImageRelease`] is made by [`verify`] alone: whoever holds one knows that every signer that the
//! *running* image names approved that digest under that version, and that the version is higher. Whether
//! the image behind the digest says the same of itself is for whoever fetches it to check
//! ([`ImageRelease::check_image`]).

mod dotted;
mod error;
mod labels;
mod terms;

use std::collections::BTreeSet;

use nostr::event::EventId;
use nostr::key::PublicKey;
use units::UnixSecs;

pub use error::ImageReleaseError;
pub use labels::{ImageLabels, LabelError, SIGNERS_MAX};
pub use terms::{ReleaseDigest, ReleaseTerms, check_signature, release_draft, signature_draft};

use super::{Env, Version, tags};
use crate::event::{CheckedEvent, tags_named};
use crate::kinds::IMAGE_RELEASE;

/// A release that every signer of the running image signed, of a higher version than what runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImageRelease {
    id: EventId,
    terms: ReleaseTerms,
    image: String,
    created_at: UnixSecs,
}

impl ImageRelease {
    /// The id of the release event.
    #[must_use]
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.terms.version
    }

    /// What it approves.
    #[must_use]
    pub const fn digest(&self) -> &ReleaseDigest {
        &self.terms.digest
    }

    /// Where the image is, `registry/repository@sha256:…`; never a tag alone.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }

    /// When its author says that it was made.
    #[must_use]
    pub const fn created_at(&self) -> UnixSecs {
        self.created_at
    }

    /// Checks what an image says of itself against the release: the labels are part of what the digest
    /// covers, and name the signers of what comes next.
    ///
    /// # Errors
    /// [`ImageReleaseError::Image`] if version or repository differ.
    pub fn check_image(&self, labels: &ImageLabels) -> Result<(), ImageReleaseError> {
        // As texts: versions that differ in build metadata alone are equal, and are two images.
        if labels.version.to_string() != self.terms.version.to_string() {
            return Err(ImageReleaseError::Image {
                what: "version",
                wanted: self.terms.version.to_string(),
                found: labels.version.to_string(),
            });
        }
        if labels.repo != self.terms.repo {
            return Err(ImageReleaseError::Image {
                what: "repo",
                wanted: self.terms.repo.clone(),
                found: labels.repo.clone(),
            });
        }
        Ok(())
    }
}

/// Verifies a release for a container that runs an image with the labels `running`. With `wanted`, the
/// release must be for that use.
///
/// # Errors
/// [`ImageReleaseError`] with the first reason to refuse it.
pub fn verify(
    event: &CheckedEvent,
    running: &ImageLabels,
    wanted: Option<Env>,
) -> Result<ImageRelease, ImageReleaseError> {
    if event.kind != IMAGE_RELEASE {
        return Err(ImageReleaseError::Invalid(format!("kind {} is not an image's release", event.kind)));
    }
    if !running.signers.contains(&event.pubkey) {
        return Err(ImageReleaseError::Author(event.pubkey));
    }
    let terms = ReleaseTerms::read(event)?;
    if terms.repo != running.repo {
        return Err(ImageReleaseError::Repo { wanted: running.repo.clone(), found: terms.repo });
    }
    if let Some(wanted) = wanted.filter(|wanted| *wanted != terms.env) {
        return Err(ImageReleaseError::Env { wanted, found: terms.env });
    }
    let image = tags::single(event, "u")?.ok_or_else(|| ImageReleaseError::tag("u"))?.to_owned();
    terms.digest.check_reference(&image)?;
    if !dotted::is_newer(&terms.version, &running.version) {
        return Err(ImageReleaseError::TooOld {
            running: running.version.to_string(),
            found: terms.version.to_string(),
        });
    }
    let signed = signed_by(event, &terms)?;
    if let Some(missing) = running.signers.iter().find(|signer| !signed.contains(*signer)) {
        return Err(ImageReleaseError::Missing(*missing));
    }
    Ok(ImageRelease { id: event.id, terms, image, created_at: event.created_at() })
}

/// Whose signatures the release carries. One that is not sound, or is for something else, spoils the
/// release: its author had them all at hand.
fn signed_by(event: &CheckedEvent, terms: &ReleaseTerms) -> Result<BTreeSet<PublicKey>, ImageReleaseError> {
    if tags_named(event, "release").count() > SIGNERS_MAX {
        return Err(ImageReleaseError::Invalid(format!("it carries more than {SIGNERS_MAX} signatures")));
    }
    tags_named(event, "release")
        .map(|tag| {
            let json = tag.get(1).map(String::as_str).unwrap_or_default();
            let signature = CheckedEvent::parse(json)
                .map_err(|e| ImageReleaseError::Invalid(format!("in a `release` tag: {e}")))?;
            check_signature(&signature, terms)
        })
        .collect()
}

//! Releases of what runs: fetched from the relays that the running image names, and judged.

use std::time::Duration;

use guard::AddressGuard;
use lifecycle::upgrade::Candidate;
use nostr::filter::{Filter, SingleLetterTag};
use protocol::event::{CheckedEvent, tag_value};
use protocol::kinds::IMAGE_RELEASE;
use protocol::nec::image_release::{ImageLabels, ImageRelease, ImageReleaseError, verify};
use protocol::nec::{Env, Version};
use relay::{Pool, PoolError};

use crate::context::Context;
use crate::store::ReleaseRef;

/// How long the relays of an image may take to be reached, and to answer.
const RELAY_WAIT: Duration = Duration::from_secs(10);
/// Releases that are read at a time: those since the last upgrade. Each is a signature for each signer.
const RELEASES_MAX: usize = 64;
/// Longest text of a stranger's that is kept in a row, in characters.
const TEXT_CHARS_MAX: usize = 300;

/// A release that is not taken, with what is known of it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) release: ReleaseRef,
    pub(super) image: String,
    pub(super) error: ImageReleaseError,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Fit to be taken, as far as the events say.
    pub(super) fit: Vec<ImageRelease>,
    /// Not fit, and why.
    pub(super) refused: Vec<Refused>,
}

/// Fetches the releases of the image with these labels. The relays are a stranger's to name, so the
/// address guard stands before them.
pub(super) async fn fetch(ctx: &Context, labels: &ImageLabels) -> Result<Vec<CheckedEvent>, PoolError> {
    let exceptions = ctx.config.development.as_ref().map(|d| d.addresses.clone()).unwrap_or_default();
    let guard = AddressGuard::with_exceptions(exceptions);
    let pool = Pool::builder().guard(guard).relays(labels.upgrade_relays.clone()).build().await?;
    if !pool.wait_connected(RELAY_WAIT).await {
        tracing::debug!(repo = labels.repo, "no relay of the image's answers");
        return Ok(Vec::new());
    }
    let filter = Filter::new()
        .kind(IMAGE_RELEASE)
        .authors(labels.signers.iter().copied())
        .custom_tag(SingleLetterTag::LOWERCASE_R, labels.repo.clone())
        .limit(RELEASES_MAX);
    pool.fetch_at_most(filter, RELAY_WAIT, RELEASES_MAX).await
}

/// Judges them.
pub(super) fn judge(events: &[CheckedEvent], running: &ImageLabels, wanted: Option<Env>) -> Found {
    let mut found = Found::default();
    for event in events {
        match verify(event, running, wanted) {
            Ok(release) => found.fit.push(release),
            // The one that runs was released, too.
            Err(ImageReleaseError::TooOld { running, found }) if running == found => {}
            Err(error) => {
                found.refused.push(Refused { release: named(event), image: text(event, "u"), error })
            }
        }
    }
    found
}

/// What the choice is made from.
pub(super) fn candidates(fit: &[ImageRelease]) -> Vec<Candidate<Version, String>> {
    let candidate = |release: &ImageRelease| Candidate {
        version: release.version().clone(),
        digest: release.digest().as_tag().to_owned(),
    };
    fit.iter().map(candidate).collect()
}

pub(super) fn reference(release: &ImageRelease) -> ReleaseRef {
    ReleaseRef {
        version: release.version().to_string(),
        id: release.id().to_hex(),
        digest: release.digest().as_tag().to_owned(),
    }
}

/// What a release says of itself, whatever that is worth: its owner is to recognise it.
fn named(event: &CheckedEvent) -> ReleaseRef {
    ReleaseRef { version: text(event, "v"), id: event.id.to_hex(), digest: text(event, "x") }
}

fn text(event: &CheckedEvent, tag: &str) -> String {
    tag_value(event, tag)
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(TEXT_CHARS_MAX)
        .collect()
}

//! What a release and each of its signatures say alike.

use nostr::event::Event;
use nostr::key::PublicKey;
use units::UnixSecs;

use super::ImageReleaseError;
use crate::event::CheckedEvent;
use crate::kinds::{IMAGE_RELEASE, IMAGE_RELEASE_SIGNATURE};
use crate::nec::{Draft, Env, Version, tags};
use crate::tag;

/// What the `x` tag names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReleaseDigest {
    /// `sha256:…`: the manifest or index that the registry serves.
    Manifest(String),
    /// The image's configuration. Existing programs write it, as hex without `sha256:`.
    Config(String),
}

impl ReleaseDigest {
    /// Reads the value of an `x` tag.
    ///
    /// # Errors
    /// [`ImageReleaseError::Invalid`].
    pub fn read(text: &str) -> Result<Self, ImageReleaseError> {
        match text.strip_prefix("sha256:") {
            Some(hex) if tags::is_sha256_hex(hex) => Ok(Self::Manifest(text.to_owned())),
            None if tags::is_sha256_hex(text) => Ok(Self::Config(format!("sha256:{text}"))),
            Some(_) | None => Err(ImageReleaseError::Invalid(
                "its `x` tag is no digest: sha256: and 64 small hex digits are wanted".to_owned(),
            )),
        }
    }

    /// The value of the `x` tag.
    #[must_use]
    pub fn as_tag(&self) -> &str {
        match self {
            Self::Manifest(digest) => digest,
            Self::Config(digest) => digest.strip_prefix("sha256:").unwrap_or(digest),
        }
    }

    /// Checks that a reference names its image by a digest, and by this one if it is a manifest's: a tag
    /// can be moved.
    pub(super) fn check_reference(&self, image: &str) -> Result<(), ImageReleaseError> {
        let invalid = |problem: &str| Err(ImageReleaseError::Invalid(problem.to_owned()));
        let Some((_, digest)) = image.rsplit_once('@') else {
            return invalid("its `u` tag does not name the image by its digest");
        };
        if !digest.strip_prefix("sha256:").is_some_and(tags::is_sha256_hex) {
            return invalid("its `u` tag does not name the image by its digest");
        }
        match self {
            Self::Manifest(wanted) if wanted != digest => {
                invalid("its `u` tag names another digest than its `x` tag")
            }
            Self::Manifest(_) | Self::Config(_) => Ok(()),
        }
    }
}

/// What is released: the tags `r`, `v`, `x` and `t`, each of which stands exactly once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReleaseTerms {
    /// The repository of the code.
    pub repo: String,
    /// The version.
    pub version: Version,
    /// The image.
    pub digest: ReleaseDigest,
    /// What it is for.
    pub env: Env,
}

impl ReleaseTerms {
    /// Reads them from a release or from a signature.
    pub(super) fn read(event: &Event) -> Result<Self, ImageReleaseError> {
        let wanted = |name: &'static str| -> Result<&str, ImageReleaseError> {
            tags::single(event, name)?.ok_or_else(|| ImageReleaseError::tag(name))
        };
        let version = wanted("v")?;
        let env = Env::stated(event)?.ok_or_else(|| ImageReleaseError::tag("t"))?;
        if env == Env::Debug {
            return Err(ImageReleaseError::Invalid("its `t` tag must be prod or dev".to_owned()));
        }
        Ok(Self {
            repo: wanted("r")?.to_owned(),
            version: version
                .parse()
                .map_err(|e| ImageReleaseError::Invalid(format!("its `v` tag {version:.80?}: {e}")))?,
            digest: ReleaseDigest::read(wanted("x")?)?,
            env,
        })
    }

    fn tags(&self) -> Vec<Vec<String>> {
        vec![
            tag!["r", self.repo],
            tag!["v", self.version],
            tag!["x", self.digest.as_tag()],
            tag!["t", self.env],
        ]
    }
}

/// A signature, for a signer to sign.
#[must_use]
pub fn signature_draft(terms: &ReleaseTerms, now: UnixSecs) -> Draft {
    Draft::new(IMAGE_RELEASE_SIGNATURE, terms.tags(), now)
}

/// A release, for one of the signers to sign. `image` is `registry/repository@sha256:…`, `signatures` are
/// those of all signers, and `prev` is the digest of the image before.
///
/// # Errors
/// [`ImageReleaseError::Invalid`] if `image` does not name what the terms name, or a signature is for
/// something else.
pub fn release_draft(
    terms: &ReleaseTerms,
    image: &str,
    signatures: &[CheckedEvent],
    prev: Option<&str>,
    now: UnixSecs,
) -> Result<Draft, ImageReleaseError> {
    terms.digest.check_reference(image)?;
    let mut tags = terms.tags();
    tags.push(tag!["u", image]);
    for signature in signatures {
        check_signature(signature, terms)?;
        tags.push(tag!["release", signature.as_json()]);
    }
    tags.extend(prev.map(|digest| tag!["prev", digest]));
    Ok(Draft::new(IMAGE_RELEASE, tags, now))
}

/// Checks that a signature is for these terms, and returns the signer.
///
/// # Errors
/// [`ImageReleaseError::Invalid`].
pub fn check_signature(
    signature: &CheckedEvent,
    terms: &ReleaseTerms,
) -> Result<PublicKey, ImageReleaseError> {
    if signature.kind != IMAGE_RELEASE_SIGNATURE {
        let problem = format!("kind {} is not a signature of an image's release", signature.kind);
        return Err(ImageReleaseError::Invalid(problem));
    }
    let signed = ReleaseTerms::read(signature)?;
    let differs = [
        ("r", signed.repo == terms.repo),
        // As texts: build metadata does not count in the order, and does in what was approved.
        ("v", signed.version.to_string() == terms.version.to_string()),
        ("x", signed.digest == terms.digest),
        ("t", signed.env == terms.env),
    ];
    match differs.into_iter().find(|(_, same)| !same) {
        Some((name, _)) => Err(ImageReleaseError::Invalid(format!(
            "the signature of {} has another `{name}` tag",
            signature.pubkey
        ))),
        None => Ok(signature.pubkey),
    }
}

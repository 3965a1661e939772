//! From a reference to a pinned image.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::digest::Digest;
use super::error::{RegistryError, ResolveError};
use super::limits::{ImageLimits, Platform};
use super::manifest::{Document, Layer, Manifest};
use super::reference::{Reference, Selector};
use super::registry::{RegistryClient, Session, Wanted};
use super::spec::{ImageConfig, ImageSpec};

/// How long it may take to find out what a reference means: strangers ask for it, unpaid, and a
/// registry that answers a byte at a time must not keep others waiting.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(45);

/// An image whose manifest and configuration were fetched and checked, for one platform.
///
/// Only [`resolve`] makes one, so whoever holds one knows: the reference names the manifest of the
/// platform by its digest, the manifest and the configuration are the bytes of their digests, and the
/// declared sizes are within the limits that were given. Nothing is known yet about the layers.
/// Cheap to clone.
#[derive(Clone)]
pub struct PinnedImage {
    inner: Arc<Inner>,
}

struct Inner {
    reference: Reference,
    manifest_digest: Digest,
    manifest: Manifest,
    config: ImageConfig,
    config_bytes: Vec<u8>,
}

impl PinnedImage {
    /// The image as `registry/repository@sha256:…`, the digest being that of the platform's manifest.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.inner.reference
    }

    /// Digest of the platform's manifest: what is certified and announced.
    #[must_use]
    pub fn manifest_digest(&self) -> Digest {
        self.inner.manifest_digest
    }

    /// Digest of the configuration: the engine's id of the image.
    #[must_use]
    pub fn config_digest(&self) -> Digest {
        self.inner.manifest.config.digest
    }

    /// What the image's author set.
    #[must_use]
    pub fn spec(&self) -> &ImageSpec {
        &self.inner.config.spec
    }

    /// Sum of the layers as they travel, in bytes.
    #[must_use]
    pub fn compressed_bytes(&self) -> u64 {
        self.inner.manifest.compressed_bytes
    }

    /// Number of layers.
    #[must_use]
    pub fn layer_count(&self) -> usize {
        self.inner.manifest.layers.len()
    }

    pub(crate) fn config_bytes(&self) -> &[u8] {
        &self.inner.config_bytes
    }

    /// Each layer with the digest that it must have unpacked, from the lowest.
    pub(crate) fn layers(&self) -> impl ExactSizeIterator<Item = (Layer, Digest)> {
        let layers = self.inner.manifest.layers.iter().copied();
        layers.zip(self.inner.config.diff_ids.iter().copied())
    }
}

#[cfg(test)]
impl PinnedImage {
    /// An image of no layers, which nobody was asked for.
    pub(crate) fn example() -> Self {
        let digest = Digest::of(b"example");
        let reference: Reference = "registry.example/app".parse().unwrap();
        let manifest = Manifest {
            config: super::manifest::Blob { digest, size_bytes: 0 },
            layers: Vec::new(),
            compressed_bytes: 0,
        };
        let config = ImageConfig { spec: ImageSpec::default(), diff_ids: Vec::new() };
        let reference = reference.at(digest);
        let inner = Inner { reference, manifest_digest: digest, manifest, config, config_bytes: Vec::new() };
        Self { inner: Arc::new(inner) }
    }
}

impl fmt::Debug for PinnedImage {
    /// The reference says it all; a configuration can have a megabyte.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedImage({})", self.inner.reference)
    }
}

/// Finds out what `reference` means for `platform`: at most three requests for documents, and those for
/// a token. A tag is looked up here, once, and never again.
///
/// # Errors
/// [`ResolveError`]; each has a code.
pub async fn resolve(
    client: &RegistryClient,
    reference: &Reference,
    platform: &Platform,
    limits: &ImageLimits,
) -> Result<PinnedImage, ResolveError> {
    let found = tokio::time::timeout(RESOLVE_DEADLINE, find(client, reference, platform, limits)).await;
    found.unwrap_or_else(|_elapsed| {
        Err(RegistryError::TimedOut { host: reference.registry().to_owned() }.into())
    })
}

async fn find(
    client: &RegistryClient,
    reference: &Reference,
    platform: &Platform,
    limits: &ImageLimits,
) -> Result<PinnedImage, ResolveError> {
    let mut session = client.session(reference);
    let (manifest_digest, manifest) = platform_manifest(&mut session, reference, platform, limits).await?;
    let wanted = Wanted {
        part: "configuration",
        digest: manifest.config.digest,
        size_bytes: manifest.config.size_bytes,
    };
    let config_bytes = session.small_blob(wanted).await?;
    let config = ImageConfig::parse(&config_bytes, manifest.layers.len(), platform)?;
    let reference = reference.at(manifest_digest);
    tracing::debug!(image = %reference, layers = manifest.layers.len(), "image resolved");
    Ok(PinnedImage { inner: Arc::new(Inner { reference, manifest_digest, manifest, config, config_bytes }) })
}

/// The manifest itself, or the one of the platform if there is an index of several.
async fn platform_manifest(
    session: &mut Session<'_>,
    reference: &Reference,
    platform: &Platform,
    limits: &ImageLimits,
) -> Result<(Digest, Manifest), ResolveError> {
    let first = session.manifest(reference.selector(), limits.manifest_bytes).await?;
    let index = match Document::parse(&first.bytes, first.content_type.as_deref(), None, limits)? {
        Document::Manifest(manifest) => return Ok((first.digest, manifest)),
        Document::Index(index) => index,
    };
    let entry = index.choose(platform)?;
    if entry.blob.size_bytes > limits.manifest_bytes {
        return Err(RegistryError::TooLarge { part: "manifest", limit_bytes: limits.manifest_bytes }.into());
    }
    let second = session.manifest(Selector::Digest(entry.blob.digest), limits.manifest_bytes).await?;
    if u64::try_from(second.bytes.len()) != Ok(entry.blob.size_bytes) {
        return Err(ResolveError::Malformed {
            part: "index",
            problem: "it states a wrong size for a manifest",
        });
    }
    let described_as = Some(entry.media_type.as_str());
    match Document::parse(&second.bytes, second.content_type.as_deref(), described_as, limits)? {
        Document::Manifest(manifest) => Ok((second.digest, manifest)),
        Document::Index(_) => Err(ResolveError::Unsupported {
            what: "an index within an index".to_owned(),
            remedy: "name the inner index by its digest",
        }),
    }
}

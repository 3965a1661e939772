//! Manifests and indexes: OCI image specification 1.1 (`manifest.md`, `image-index.md`) and their
//! older twins of Docker ("image manifest version 2, schema 2" and the manifest list).

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::digest::{Digest, DigestError};
use super::error::{ResolveError, shown};
use super::limits::{ImageLimits, Platform};

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// At most this many platforms are listed to somebody whose image has not ours.
const PLATFORMS_SHOWN_MAX: usize = 8;

/// A parsed manifest or index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Document {
    Index(Index),
    Manifest(Manifest),
}

/// The manifests of one image, each for another platform.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Index(Vec<IndexEntry>);

/// One image for one platform.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) config: Blob,
    pub(crate) layers: Vec<Layer>,
    /// Sum of the layers' sizes.
    pub(crate) compressed_bytes: u64,
}

/// What a descriptor points at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct IndexEntry {
    pub(crate) blob: Blob,
    pub(crate) media_type: String,
    platform: Option<Platform>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Layer {
    pub(crate) blob: Blob,
    pub(crate) compression: Compression,
}

/// How a layer's tar stream is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: u64,
    media_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    fs_layers: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<RawPlatform>,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Document {
    /// Reads a document whose type is known from up to three places: the document itself, the
    /// `Content-Type` of the answer, and the descriptor that pointed here. They must not contradict
    /// each other, or two readers could see two images under one digest (CVE-2021-41190).
    ///
    /// # Errors
    /// `Json`, `Malformed`, `Unsupported`, or `TooLarge` against the limits.
    pub(crate) fn parse(
        bytes: &[u8],
        content_type: Option<&str>,
        described_as: Option<&str>,
        limits: &ImageLimits,
    ) -> Result<Self, ResolveError> {
        let raw: RawDocument = serde_json::from_slice(bytes).map_err(|source| {
            // Schema 1 has other fields, so it fails here already if it is not recognised first.
            if content_type.is_some_and(|it| it.starts_with(DOCKER_SCHEMA_1)) {
                return schema_1();
            }
            ResolveError::Json { part: "manifest", source }
        })?;
        if raw.schema_version == 1 || raw.fs_layers.is_some() {
            return Err(schema_1());
        }
        if raw.schema_version != 2 {
            return malformed("its schemaVersion is not 2");
        }
        let kind = agreed_type(&raw, content_type, described_as)?;
        if kind == OCI_INDEX || kind == DOCKER_LIST {
            if raw.config.is_some() || raw.layers.is_some() {
                return malformed("it is an index and has layers");
            }
            let Some(manifests) = raw.manifests else { return malformed("it is an index without manifests") };
            return Ok(Self::Index(Index::try_from(manifests)?));
        }
        if raw.manifests.is_some() {
            return malformed("it is not an index and has manifests");
        }
        let (Some(config), Some(layers)) = (raw.config, raw.layers) else {
            return malformed("it has no config or no layers");
        };
        Ok(Self::Manifest(Manifest::new(&config, &layers, limits)?))
    }
}

impl Index {
    /// The entry for `wanted`. An entry that needs a newer variant of the processor is not taken.
    ///
    /// # Errors
    /// `Platform`, listing what there is.
    pub(crate) fn choose(&self, wanted: &Platform) -> Result<&IndexEntry, ResolveError> {
        let matching = |entry: &&IndexEntry| entry.platform.as_ref().is_some_and(|it| serves(it, wanted));
        self.0.iter().find(matching).ok_or_else(|| {
            let platforms = self.0.iter().filter_map(|entry| entry.platform.as_ref());
            let found: Vec<_> = platforms
                // Attestations are listed as images for this platform.
                .filter(|it| it.os != "unknown")
                .take(PLATFORMS_SHOWN_MAX)
                .map(|it| shown(&it.to_string()))
                .collect();
            let found = if found.is_empty() { "none named".to_owned() } else { found.join(", ") };
            ResolveError::Platform { wanted: wanted.clone(), found }
        })
    }
}

/// The variant that an architecture has when none is named (containerd's `platforms` package).
fn serves(offered: &Platform, wanted: &Platform) -> bool {
    fn variant(platform: &Platform) -> &str {
        match (platform.architecture.as_str(), platform.variant.as_deref()) {
            ("amd64", None) => "v1",
            ("arm64", None) => "v8",
            (_, variant) => variant.unwrap_or_default(),
        }
    }
    offered.os == wanted.os
        && offered.architecture == wanted.architecture
        && variant(offered) == variant(wanted)
}

impl TryFrom<Vec<RawDescriptor>> for Index {
    type Error = ResolveError;

    fn try_from(manifests: Vec<RawDescriptor>) -> Result<Self, ResolveError> {
        let entries = manifests.into_iter().map(|raw| {
            let blob = Blob::try_from(&raw)?;
            let platform = raw.platform.map(|it| Platform {
                os: it.os,
                architecture: it.architecture,
                variant: it.variant.filter(|variant| !variant.is_empty()),
            });
            Ok(IndexEntry { blob, media_type: raw.media_type, platform })
        });
        entries.collect::<Result<_, _>>().map(Self)
    }
}

impl Manifest {
    fn new(
        config: &RawDescriptor,
        layers: &[RawDescriptor],
        limits: &ImageLimits,
    ) -> Result<Self, ResolveError> {
        if config.media_type != OCI_CONFIG && config.media_type != DOCKER_CONFIG {
            return Err(ResolveError::Unsupported {
                what: format!("an artifact of type `{}`", shown(&config.media_type)),
                remedy: "name a container image",
            });
        }
        if layers.is_empty() {
            return malformed("it has no layers");
        }
        within("list of layers", "layers", as_u64(layers.len()), as_u64(limits.layers))?;
        let config = Blob::try_from(config)?;
        within("configuration", "bytes", config.size_bytes, limits.config_bytes)?;
        let layers = layers
            .iter()
            .map(|raw| Ok(Layer { blob: Blob::try_from(raw)?, compression: compression(&raw.media_type)? }))
            .collect::<Result<Vec<_>, ResolveError>>()?;
        let sum = layers.iter().try_fold(0_u64, |sum, layer| sum.checked_add(layer.blob.size_bytes));
        let compressed_bytes = sum.unwrap_or(u64::MAX);
        within("layers", "compressed bytes", compressed_bytes, limits.compressed_bytes)?;
        Ok(Self { config, layers, compressed_bytes })
    }
}

impl TryFrom<&RawDescriptor> for Blob {
    type Error = ResolveError;

    fn try_from(raw: &RawDescriptor) -> Result<Self, ResolveError> {
        match raw.digest.parse() {
            Ok(digest) => Ok(Self { digest, size_bytes: raw.size }),
            Err(DigestError::Malformed) => malformed("a digest in it is not valid"),
            Err(DigestError::Algorithm) => Err(ResolveError::Unsupported {
                what: "an image with other digests than sha256".to_owned(),
                remedy: "push it with sha256 digests",
            }),
        }
    }
}

/// The one type of a document, out of what is known about it.
fn agreed_type(
    raw: &RawDocument,
    content_type: Option<&str>,
    described_as: Option<&str>,
) -> Result<&'static str, ResolveError> {
    // A registry that does not know the type of what it stores sends `application/json` or nothing, so
    // a `Content-Type` counts only if it is one of the four.
    let claims = [raw.media_type.as_deref(), described_as, content_type.filter(|it| known(it).is_some())];
    let mut agreed = None;
    for claim in claims.into_iter().flatten() {
        let Some(kind) = known(claim) else {
            return Err(ResolveError::Unsupported {
                what: format!("an image manifest of type `{}`", shown(claim)),
                remedy: "push the image with a current tool",
            });
        };
        if agreed.is_some_and(|agreed| agreed != kind) {
            return malformed("its type is not the one that it is announced with");
        }
        agreed = Some(kind);
    }
    agreed.map_or_else(|| malformed("nothing says of which type it is"), Ok)
}

fn known(media_type: &str) -> Option<&'static str> {
    [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].into_iter().find(|known| *known == media_type)
}

fn compression(media_type: &str) -> Result<Compression, ResolveError> {
    match media_type {
        "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
            Ok(Compression::None)
        }
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Ok(Compression::Gzip),
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(Compression::Zstd),
        // Those are fetched from elsewhere, by URLs in the manifest.
        foreign if foreign.contains("nondistributable") || foreign.contains("foreign") => {
            Err(ResolveError::Unsupported {
                what: "a layer that may not be distributed".to_owned(),
                remedy: "build the image on a base that may be",
            })
        }
        other => Err(ResolveError::Unsupported {
            what: format!("a layer of type `{}`", shown(other)),
            remedy: "push the image with gzip or zstd layers",
        }),
    }
}

fn schema_1() -> ResolveError {
    ResolveError::Unsupported {
        what: "Docker's image manifest schema 1".to_owned(),
        remedy: "push the image with a current tool",
    }
}

fn within(part: &'static str, unit: &'static str, actual: u64, limit: u64) -> Result<(), ResolveError> {
    if actual > limit { Err(ResolveError::TooLarge { part, unit, actual, limit }) } else { Ok(()) }
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

const fn malformed<T>(problem: &'static str) -> Result<T, ResolveError> {
    Err(ResolveError::Malformed { part: "manifest", problem })
}

#[cfg(test)]
mod tests;

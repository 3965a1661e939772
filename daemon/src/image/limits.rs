//! How large an image may be, and for which machine.

use std::fmt;

use units::Resources;

/// What one image may cost. The caller gives it; every part is checked before anything of it is
/// fetched, as far as it is declared, and again while it streams.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ImageLimits {
    /// Sum of the layers as they travel, in bytes.
    pub compressed_bytes: u64,
    /// Sum of the layers as tar streams, in bytes, with every hole of a sparse file counted as written.
    pub unpacked_bytes: u64,
    /// Size of a manifest or index, in bytes.
    pub manifest_bytes: u64,
    /// Size of the image's configuration, in bytes.
    pub config_bytes: u64,
    /// Number of layers.
    pub layers: usize,
    /// Number of tar headers in all layers together: each becomes an inode, which no size limits.
    pub entries: u64,
}

impl ImageLimits {
    /// The distribution specification asks registries to take manifests of at least 4 MiB; clients
    /// refuse larger ones.
    const MANIFEST_BYTES: u64 = 4 << 20;
    /// Real configurations have a few kilobytes; labels can make them grow. Kept in memory.
    const CONFIG_BYTES: u64 = 1 << 20;
    /// The most that the engine stacks (`maxLayerDepth` of its layer store).
    const LAYERS: usize = 125;
    /// Three times what a full distribution with a desktop has.
    const ENTRIES: u64 = 500_000;

    /// The limits of an image that may take `unpacked_bytes` of disk. It may take as much on the wire:
    /// a layer that does not shrink when packed is not suspicious.
    #[must_use]
    pub const fn for_unpacked_bytes(unpacked_bytes: u64) -> Self {
        Self {
            compressed_bytes: unpacked_bytes,
            unpacked_bytes,
            manifest_bytes: Self::MANIFEST_BYTES,
            config_bytes: Self::CONFIG_BYTES,
            layers: Self::LAYERS,
            entries: Self::ENTRIES,
        }
    }
}

impl From<Resources> for ImageLimits {
    fn from(resources: Resources) -> Self {
        Self::for_unpacked_bytes(resources.image_disk_bytes)
    }
}

/// The machine that an image is made for, in the words of the OCI image specification.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Platform {
    /// Operating system, as Go names it: `linux`.
    pub os: String,
    /// Processor architecture, as Go names it: `amd64`, `arm64`.
    pub architecture: String,
    /// Variant of the architecture; none means the base one.
    pub variant: Option<String>,
}

impl Default for Platform {
    /// `linux/amd64`.
    fn default() -> Self {
        Self { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

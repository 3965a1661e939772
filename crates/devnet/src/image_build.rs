//! OCI images made from files, the same bytes every time.
//!
//! Format: OCI image specification 1.0 (manifest, config, index, image layout). One gzip layer, its
//! entries sorted, owned by root and dated 1970.

mod layer;
mod layout;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use layout::{Descriptor, MediaType, Writer};

/// A file of an image.
#[derive(Clone, Debug)]
pub struct ImageFile {
    /// Where it is in the image, from `/`; the directories above it are made as needed.
    pub path: String,
    /// What is in it.
    pub content: Content,
    /// Its permission bits.
    pub mode: u32,
}

/// What is in a file.
#[derive(Clone)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The bytes of a file of this machine.
    HostFile(PathBuf),
    /// Not a file, but a symbolic link to this target.
    Symlink(PathBuf),
    /// So many zero bytes, which gzip packs about 1,000 to 1: a small layer that unpacks to a large one.
    Zeros {
        /// How many.
        bytes: u64,
    },
    /// So many bytes that gzip cannot pack, the same each time: a layer as large as it unpacks.
    Noise {
        /// How many.
        bytes: u64,
    },
}

/// Contents may be secrets, and long.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::HostFile(path) => f.debug_tuple("HostFile").field(path).finish(),
            Self::Symlink(target) => f.debug_tuple("Symlink").field(target).finish(),
            Self::Zeros { bytes } => write!(f, "Zeros({bytes} bytes)"),
            Self::Noise { bytes } => write!(f, "Noise({bytes} bytes)"),
        }
    }
}

/// What an image's programs run on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Platform {
    /// `linux`, as Go calls it.
    pub os: String,
    /// `amd64` or `arm64`, as Go calls them.
    pub architecture: String,
}

impl Platform {
    /// Linux on this architecture.
    #[must_use]
    pub fn linux(architecture: &str) -> Self {
        Self { os: "linux".to_owned(), architecture: architecture.to_owned() }
    }
}

impl Default for Platform {
    /// The platform of Nitro Enclaves with Intel or AMD processors, and of the tests.
    fn default() -> Self {
        Self::linux("amd64")
    }
}

/// An image `FROM scratch`.
#[derive(Clone, Debug, Default)]
pub struct ImageSpec {
    /// Its files, in any order; of two with one path, the later counts.
    pub files: Vec<ImageFile>,
    /// The program that it starts, with its first arguments.
    pub entrypoint: Vec<String>,
    /// Further arguments, unless a launch gives others.
    pub cmd: Vec<String>,
    /// Environment variables, `NAME=value`.
    pub env: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The user that the program runs as, `name` or `uid:gid`; empty means root.
    pub user: String,
    /// Ports that it listens on, like `8080/tcp`.
    pub exposed_ports: Vec<String>,
    /// The directory that it starts in; empty means `/`.
    pub workdir: String,
    /// What it runs on.
    pub platform: Platform,
}

impl ImageSpec {
    /// Adds a file.
    #[must_use]
    pub fn file(mut self, path: &str, content: Content, mode: u32) -> Self {
        self.files.push(ImageFile { path: path.to_owned(), content, mode });
        self
    }

    /// Adds an executable of this machine. It must be linked statically: the image has no libraries.
    #[must_use]
    pub fn program(self, path: &str, from: impl Into<PathBuf>) -> Self {
        self.file(path, Content::HostFile(from.into()), 0o755)
    }

    /// Sets the program to start.
    #[must_use]
    pub fn entrypoint(mut self, words: &[&str]) -> Self {
        self.entrypoint = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Sets its further arguments.
    #[must_use]
    pub fn cmd(mut self, words: &[&str]) -> Self {
        self.cmd = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Sets what it runs on.
    #[must_use]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// Writes the image as an OCI layout into `dir`, which is made, and must not hold one already.
    ///
    /// # Errors
    /// When a file cannot be read or written, or a path leads out of the image.
    pub fn write_layout(&self, dir: &Path) -> Result<OciLayout> {
        let writer = Writer::new(dir)?;
        let manifest = self.write(&writer)?;
        writer.finish(&manifest)
    }

    /// Writes layer, config and manifest; returns what refers to the manifest.
    fn write(&self, writer: &Writer) -> Result<Descriptor> {
        let layer = layer::write(&self.files, writer)?;
        let config = writer.json(MediaType::Config, &self.config(&layer.diff_id))?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::Manifest.name(),
            "config": config,
            "layers": [layer.descriptor],
        });
        let descriptor = writer.json(MediaType::Manifest, &manifest)?;
        Ok(descriptor.on(&self.platform))
    }

    fn config(&self, diff_id: &str) -> Value {
        let ports: BTreeMap<&str, Value> =
            self.exposed_ports.iter().map(|port| (port.as_str(), json!({}))).collect();
        json!({
            "created": "1970-01-01T00:00:00Z",
            "os": self.platform.os,
            "architecture": self.platform.architecture,
            "config": {
                "Entrypoint": self.entrypoint,
                "Cmd": self.cmd,
                "Env": self.env,
                "Labels": self.labels,
                "User": self.user,
                "ExposedPorts": ports,
                "WorkingDir": self.workdir,
            },
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
            "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "devnet" }],
        })
    }
}

/// Writes an index of images for several platforms as an OCI layout into `dir`.
///
/// # Errors
/// As [`ImageSpec::write_layout`], and when there is no image.
pub fn write_index_layout(images: &[ImageSpec], dir: &Path) -> Result<OciLayout> {
    ensure!(!images.is_empty(), "an index needs an image");
    let writer = Writer::new(dir)?;
    let manifests = images.iter().map(|image| image.write(&writer)).collect::<Result<Vec<_>>>()?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::Index.name(),
        "manifests": manifests,
    });
    let index = writer.json(MediaType::Index, &index)?;
    writer.finish(&index)
}

/// A directory with an image, or with an index and its images.
#[derive(Clone, Debug)]
pub struct OciLayout {
    dir: PathBuf,
    digest: String,
}

impl OciLayout {
    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The digest of the manifest or index, `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The file with the blob of this digest.
    #[must_use]
    pub fn blob(&self, digest: &str) -> PathBuf {
        layout::blob_path(&self.dir, digest)
    }
}

#[cfg(test)]
mod tests;

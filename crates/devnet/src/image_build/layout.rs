//! The image layout: blobs named by their digests, and the index that names the first.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{OciLayout, Platform};

/// What a blob is.
#[derive(Clone, Copy, Debug)]
pub(super) enum MediaType {
    Index,
    Manifest,
    Config,
    LayerGzip,
}

impl MediaType {
    /// Its name (OCI image specification, media-types.md).
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Index => "application/vnd.oci.image.index.v1+json",
            Self::Manifest => "application/vnd.oci.image.manifest.v1+json",
            Self::Config => "application/vnd.oci.image.config.v1+json",
            Self::LayerGzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        }
    }
}

/// What refers to a blob (OCI image specification, descriptor.md).
#[derive(Debug, Serialize)]
pub(super) struct Descriptor {
    #[serde(rename = "mediaType")]
    media_type: &'static str,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Value>,
}

impl Descriptor {
    /// The same, said to be for this platform.
    pub(super) fn on(self, platform: &Platform) -> Self {
        let platform = json!({ "os": platform.os, "architecture": platform.architecture });
        Self { platform: Some(platform), ..self }
    }
}

/// Writes a layout.
#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
}

impl Writer {
    /// Begins a layout in `dir`.
    pub(super) fn new(dir: &Path) -> Result<Self> {
        ensure!(!dir.join("index.json").exists(), "{} holds an image already", dir.display());
        let blobs = dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("cannot make {}", blobs.display()))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Adds a blob of JSON.
    pub(super) fn json(&self, media_type: MediaType, value: &Value) -> Result<Descriptor> {
        let mut blob = self.blob()?;
        serde_json::to_writer(&mut blob, value).context("cannot write a blob")?;
        blob.finish(media_type)
    }

    /// Begins a blob whose digest is not known yet.
    pub(super) fn blob(&self) -> Result<Blob> {
        let unfinished = self.dir.join("unfinished");
        let file =
            File::create(&unfinished).with_context(|| format!("cannot make {}", unfinished.display()))?;
        Ok(Blob { dir: self.dir.clone(), unfinished, output: Hashing::new(file) })
    }

    /// Ends the layout, whose index names one image or index.
    pub(super) fn finish(self, top: &Descriptor) -> Result<OciLayout> {
        let index = json!({ "schemaVersion": 2, "mediaType": MediaType::Index.name(), "manifests": [top] });
        let write = |name: &str, value: &Value| {
            fs::write(self.dir.join(name), value.to_string())
                .with_context(|| format!("cannot write {name} in {}", self.dir.display()))
        };
        write("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
        write("index.json", &index)?;
        Ok(OciLayout { dir: self.dir, digest: top.digest.clone() })
    }
}

/// A blob being written.
#[derive(Debug)]
pub(super) struct Blob {
    dir: PathBuf,
    unfinished: PathBuf,
    output: Hashing<File>,
}

impl Blob {
    /// Gives the blob its name.
    pub(super) fn finish(self, media_type: MediaType) -> Result<Descriptor> {
        let (digest, size) = self.output.finish();
        let path = blob_path(&self.dir, &digest);
        fs::rename(&self.unfinished, &path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Descriptor { media_type: media_type.name(), digest, size, platform: None })
    }
}

impl Write for Blob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Passes bytes on, hashing and counting them.
#[derive(Debug)]
pub(super) struct Hashing<W> {
    output: W,
    hash: Sha256,
    size: u64,
}

impl<W> Hashing<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, hash: Sha256::new(), size: 0 }
    }

    /// The digest and the number of the bytes that passed.
    pub(super) fn finish(self) -> (String, u64) {
        (format!("sha256:{}", hex::encode(self.hash.finalize())), self.size)
    }

    pub(super) fn into_parts(self) -> (W, String) {
        (self.output, format!("sha256:{}", hex::encode(self.hash.finalize())))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Where the blob of this digest lies.
pub(super) fn blob_path(dir: &Path, digest: &str) -> PathBuf {
    dir.join("blobs").join(digest.replace(':', "/"))
}

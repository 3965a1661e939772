//! The archive that the engine loads: the format of `docker save`.
//!
//! A tar stream of `manifest.json`, the configuration as `<digest>.json`, and each layer unpacked. The
//! engine checks every layer against the configuration's `diff_ids` and calls the image by the digest
//! of the configuration, so it ends up with exactly what was pinned.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Serialize;
use tar::{EntryType, Header};

use crate::image::digest::Digest;
use crate::image::resolve::PinnedImage;

const BLOCK_BYTES: u64 = 512;

/// Zeros, for padding and for the end of the archive.
const EMPTY_BLOCKS: [u8; 1_024] = [0; 1_024];

/// A checked image on disk, ready to be loaded. Its room is free again when it is dropped.
#[derive(Debug)]
pub struct ImageArchive {
    file: File,
    size_bytes: u64,
    config_digest: Digest,
}

impl ImageArchive {
    /// Size of the archive: the unpacked layers and a little more.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Digest of the image's configuration, which becomes the engine's id of the image.
    #[must_use]
    pub const fn config_digest(&self) -> Digest {
        self.config_digest
    }

    /// The archive from its beginning, as `docker load` takes it.
    pub(crate) fn into_file(self) -> File {
        self.file
    }
}

impl Read for ImageArchive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

/// The tag under which the engine keeps the image whose configuration has `config_digest`. Nobody else
/// can come by the same one, whatever an image is called in its registry.
pub(crate) fn engine_tag(config_digest: &Digest) -> String {
    format!("enclaved/{}:loaded", config_digest.hex())
}

/// The configuration's digest, if it is a tag that [`engine_tag`] made.
pub(crate) fn digest_of_tag(tag: &str) -> Option<Digest> {
    let hex = tag.strip_prefix("enclaved/")?.strip_suffix(":loaded")?;
    format!("sha256:{hex}").parse().ok()
}

/// The one entry of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestEntry {
    config: String,
    repo_tags: [String; 1],
    layers: Vec<String>,
}

/// Writes an archive into a file without a name.
#[derive(Debug)]
pub(super) struct ArchiveWriter {
    file: File,
    /// How much is written, which is also where the next byte goes.
    position: u64,
    /// The layer that is being written: its name, and where its header goes once its size is known.
    open_layer: Option<(String, u64)>,
    config_digest: Digest,
}

impl ArchiveWriter {
    pub(super) fn create(image: &PinnedImage, temp_dir: &Path) -> io::Result<Self> {
        let config_digest = image.config_digest();
        let file = tempfile::tempfile_in(temp_dir)?;
        let mut writer = Self { file, position: 0, open_layer: None, config_digest };
        let config = format!("{}.json", config_digest.hex());
        let manifest = [ManifestEntry {
            config: config.clone(),
            repo_tags: [engine_tag(&config_digest)],
            layers: (1..=image.layer_count()).map(layer_name).collect(),
        }];
        writer.add("manifest.json", &serde_json::to_vec(&manifest)?)?;
        writer.add(&config, image.config_bytes())?;
        Ok(writer)
    }

    /// Leaves room for the header of layer `number`.
    pub(super) fn begin_layer(&mut self, number: usize) -> io::Result<()> {
        self.open_layer = Some((layer_name(number), self.position));
        self.write(&EMPTY_BLOCKS[..512])
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.position += as_u64(bytes.len());
        Ok(())
    }

    /// Fills in the header of the layer.
    pub(super) fn end_layer(&mut self) -> io::Result<()> {
        let Some((name, at)) = self.open_layer.take() else { return Ok(()) };
        let size = self.position - at - BLOCK_BYTES;
        self.file.write_all_at(header(&name, size)?.as_bytes(), at)?;
        self.pad(size)
    }

    pub(super) fn finish(mut self) -> io::Result<ImageArchive> {
        self.write(&EMPTY_BLOCKS)?;
        self.file.seek(SeekFrom::Start(0))?;
        Ok(ImageArchive { file: self.file, size_bytes: self.position, config_digest: self.config_digest })
    }

    fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let size = as_u64(content.len());
        self.write(header(name, size)?.as_bytes())?;
        self.write(content)?;
        self.pad(size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let padding = usize::try_from(size.wrapping_neg() % BLOCK_BYTES).unwrap_or_default();
        self.write(&EMPTY_BLOCKS[..padding])
    }
}

fn layer_name(number: usize) -> String {
    format!("layer-{number}.tar")
}

fn header(name: &str, size: u64) -> io::Result<Header> {
    let mut header = Header::new_gnu();
    header.set_path(name)?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

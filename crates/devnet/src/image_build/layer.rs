//! The layer of an image: a tar archive, packed by gzip while it is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Component, Path};

use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use super::layout::{Descriptor, Hashing, MediaType, Writer};
use super::{Content, ImageFile};

/// Fast: static debug binaries are large, and these images travel over loopback.
const LEVEL: Compression = Compression::new(1);

/// A layer that was written.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) descriptor: Descriptor,
    /// The digest of the archive before it was packed.
    pub(super) diff_id: String,
}

/// An entry of the archive.
enum Entry<'a> {
    Directory,
    File(&'a ImageFile),
}

/// Writes the layer with these files as a blob.
pub(super) fn write(files: &[ImageFile], writer: &Writer) -> Result<Layer> {
    // The header's default time is 0, and the operating system "unknown": nothing differs by machine.
    let gzip = GzBuilder::new().write(BufWriter::new(writer.blob()?), LEVEL);
    let mut archive = Builder::new(Hashing::new(gzip));
    for (path, entry) in entries(files)? {
        append(&mut archive, &path, &entry).with_context(|| format!("cannot add /{path} to an image"))?;
    }
    let (gzip, diff_id) = archive.into_inner().context("cannot end a layer")?.into_parts();
    let buffered = gzip.finish().context("cannot end a layer")?;
    let blob = buffered.into_inner().map_err(io::IntoInnerError::into_error).context("cannot end a layer")?;
    Ok(Layer { descriptor: blob.finish(MediaType::LayerGzip)?, diff_id })
}

/// The files and the directories above them, each before what is in it: a prefix sorts first.
fn entries(files: &[ImageFile]) -> Result<BTreeMap<String, Entry<'_>>> {
    let mut entries = BTreeMap::new();
    for file in files {
        let path = Path::new(file.path.trim_start_matches('/'));
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if path.as_os_str().is_empty() || !path.components().all(is_plain) {
            bail!("{:?} is no path of a file in an image", file.path);
        }
        for dir in path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
            entries.entry(dir.to_string_lossy().into_owned()).or_insert(Entry::Directory);
        }
        entries.insert(path.to_string_lossy().into_owned(), Entry::File(file));
    }
    Ok(entries)
}

fn append<W: Write>(archive: &mut Builder<W>, path: &str, entry: &Entry<'_>) -> Result<()> {
    let Entry::File(file) = entry else {
        let mut header = header(EntryType::Directory, 0o755, 0);
        return Ok(archive.append_data(&mut header, format!("{path}/"), io::empty())?);
    };
    let mut regular = |size: u64, content: &mut dyn Read| -> Result<()> {
        Ok(archive.append_data(&mut header(EntryType::Regular, file.mode, size), path, content.take(size))?)
    };
    match &file.content {
        Content::Bytes(bytes) => regular(bytes.len() as u64, &mut bytes.as_slice()),
        Content::HostFile(from) => {
            let mut content = File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
            regular(content.metadata()?.len(), &mut content)
        }
        Content::Zeros { bytes } => regular(*bytes, &mut io::repeat(0)),
        Content::Noise { bytes } => regular(*bytes, &mut Noise(NOISE_SEED)),
        Content::Symlink(target) => {
            Ok(archive.append_link(&mut header(EntryType::Symlink, 0o777, 0), path, target)?)
        }
    }
}

/// The header of an entry that belongs to root and is dated 1970.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Any number but zero.
const NOISE_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Endless bytes without a pattern that gzip could find (xorshift64).
struct Noise(u64);

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for chunk in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
        Ok(buffer.len())
    }
}

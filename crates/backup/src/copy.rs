//! Copies of files that somebody writes to: whoever does is paused only while this runs.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::copy_file_range;
use nix::unistd::{Whence, lseek64};

/// Bytes copied at a time where the kernel cannot copy by itself.
const BUFFER_BYTES: usize = 1024 * 1024;

/// What was copied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Copied {
    /// The file's size.
    pub bytes: u64,
    /// How much of it is data; the rest are holes.
    pub data_bytes: u64,
}

/// Copies `from` to the new file `to`, holes as holes. A filesystem that can share blocks between files
/// (XFS, btrfs) does so, and the copy takes no time; elsewhere the kernel copies data, and nothing else.
/// It is as the page cache sees it: whoever writes has been paused, and its filesystem frozen or synced.
///
/// # Errors
/// What the operating system says; `AlreadyExists` if there is something at `to`.
pub fn copy_frozen(from: &Path, to: &Path) -> io::Result<Copied> {
    let source = File::open(from)?;
    let target = File::create_new(to)?;
    let bytes = source.metadata()?.len();
    target.set_len(bytes)?;
    let mut data_bytes = 0;
    for extent in extents(&source, bytes)? {
        data_bytes += extent.end - extent.start;
        copy_extent(&source, &target, extent)?;
    }
    Ok(Copied { bytes, data_bytes })
}

/// The parts of a file that are not holes.
pub(crate) fn extents(file: &File, bytes: u64) -> io::Result<Vec<Range<u64>>> {
    let mut extents = Vec::new();
    let mut at = 0;
    while at < bytes {
        let start = match seek(file, at, Whence::SeekData) {
            Ok(start) => start,
            // No data behind this.
            Err(Errno::ENXIO) => break,
            // A filesystem that does not know holes.
            Err(Errno::EINVAL) => {
                extents.push(at..bytes);
                break;
            }
            Err(e) => return Err(e.into()),
        };
        let end = seek(file, start, Whence::SeekHole)?.min(bytes);
        if end <= start {
            break;
        }
        extents.push(start..end);
        at = end;
    }
    Ok(extents)
}

fn seek(file: &File, at: u64, whence: Whence) -> Result<u64, Errno> {
    let at = i64::try_from(at).map_err(|_| Errno::EOVERFLOW)?;
    lseek64(file, at, whence).map(|at| u64::try_from(at).unwrap_or(0))
}

fn copy_extent(source: &File, target: &File, extent: Range<u64>) -> io::Result<()> {
    let mut at = extent.start;
    while at < extent.end {
        let left = usize::try_from(extent.end - at).unwrap_or(usize::MAX);
        let offset = i64::try_from(at).map_err(io::Error::other)?;
        let (mut from, mut to) = (offset, offset);
        match copy_file_range(source, Some(&mut from), target, Some(&mut to), left) {
            // The file became shorter under us.
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(copied) => at += u64::try_from(copied).unwrap_or(u64::MAX),
            Err(Errno::EXDEV | Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
                return copy_by_hand(source, target, at..extent.end);
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(source: &File, target: &File, extent: Range<u64>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = extent.start;
    while at < extent.end {
        let wanted = usize::try_from(extent.end - at).unwrap_or(usize::MAX).min(BUFFER_BYTES);
        let piece = buffer.get_mut(..wanted).unwrap_or_default();
        source.read_exact_at(piece, at)?;
        target.write_all_at(piece, at)?;
        at += u64::try_from(wanted).unwrap_or(u64::MAX);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn copy_has_the_same_bytes_and_the_same_holes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let file = File::create(&from).unwrap();
        file.write_all_at(&[1; 8192], 4 << 20).unwrap();
        file.write_all_at(b"end", (32 << 20) - 3).unwrap();
        file.sync_all().unwrap();
        let copied = copy_frozen(&from, &to).unwrap();
        assert_eq!(copied.bytes, 32 << 20);
        assert!(copied.data_bytes < 1 << 20, "{copied:?}");
        assert_eq!(std::fs::read(&from).unwrap(), std::fs::read(&to).unwrap());
        assert!(std::fs::metadata(&to).unwrap().blocks() * 512 < 1 << 20);
        assert_eq!(copy_frozen(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn copy_by_hand_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..3_000_001u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        std::fs::write(dir.path().join("from"), &content).unwrap();
        let target = File::create(dir.path().join("to")).unwrap();
        let source = File::open(dir.path().join("from")).unwrap();
        copy_by_hand(&source, &target, 0..3_000_001).unwrap();
        assert_eq!(std::fs::read(dir.path().join("to")).unwrap(), content);
    }

    #[test]
    fn empty_file_has_no_extents() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("e"), "").unwrap();
        let copied = copy_frozen(&dir.path().join("e"), &dir.path().join("f")).unwrap();
        assert_eq!(copied, Copied { bytes: 0, data_bytes: 0 });
    }
}

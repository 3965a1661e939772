//! Files that are named on the command line.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use protocol::event::CheckedEvent;

use crate::error::Failure;

/// Longest input, in bytes: no document or event comes near it.
const INPUT_BYTES_MAX: u64 = 1024 * 1024;
/// For the owner's eyes only.
const PRIVATE: u32 = 0o600;
/// For everybody's eyes, as far as the process's mask allows.
const PUBLIC: u32 = 0o644;

/// Reads a file, or standard input for `-`.
///
/// # Errors
/// `file_unreadable` or `file_too_large`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let unreadable =
        |e: std::io::Error| Failure::refused("file_unreadable", format!("{shown} cannot be read: {e}"));
    let mut bytes = Vec::new();
    // One byte more than is taken, to see whether there is more.
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).map_err(unreadable)?.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)
    };
    read.map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > INPUT_BYTES_MAX {
        let message = format!("{shown} has more than {INPUT_BYTES_MAX} bytes; give the right file");
        return Err(Failure::refused("file_too_large", message));
    }
    Ok(bytes)
}

/// Reads a signed event from a file, or from standard input for `-`.
///
/// # Errors
/// `event_invalid` if it is not one, or nobody signed it; as [`read`].
pub(crate) fn read_event(path: &Path) -> Result<CheckedEvent, Failure> {
    let bytes = read(path)?;
    parse_event(&bytes).map_err(|why| Failure::refused("event_invalid", format!("{}: {why}", path.display())))
}

/// Reads a release signature likewise.
///
/// # Errors
/// `release_invalid` if it is no signed event; as [`read`].
pub(crate) fn read_release(path: &Path) -> Result<CheckedEvent, Failure> {
    let bytes = read(path)?;
    parse_event(&bytes)
        .map_err(|why| Failure::refused("release_invalid", format!("{}: {why}", path.display())))
}

fn parse_event(bytes: &[u8]) -> Result<CheckedEvent, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not a Nostr event: it is no text")?;
    CheckedEvent::parse(text.trim()).map_err(|e| e.to_string())
}

/// Writes a new file that only its owner can read. Nothing is ever overwritten: it could be a key.
///
/// # Errors
/// `file_exists` or `file_unwritable`.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    write_new(path, text, PRIVATE)
}

/// Writes a new file that anybody may read.
///
/// # Errors
/// As [`write_private`].
pub(crate) fn write_public(path: &Path, text: &str) -> Result<(), Failure> {
    write_new(path, text, PUBLIC)
}

/// Refuses a path at which something is, before the work is done whose result is to be written there.
///
/// # Errors
/// `file_exists`.
pub(crate) fn check_new(path: &Path) -> Result<(), Failure> {
    // A link that leads nowhere is something, too.
    if path.symlink_metadata().is_ok() { Err(exists(path)) } else { Ok(()) }
}

fn exists(path: &Path) -> Failure {
    let shown = path.display();
    let message = format!("{shown} is there already and is not overwritten; choose another name");
    Failure::refused("file_exists", message)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let unwritable = |e: std::io::Error| {
        if e.kind() == std::io::ErrorKind::AlreadyExists {
            return exists(path);
        }
        Failure::refused("file_unwritable", format!("{} cannot be written: {e}", path.display()))
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(unwritable)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn private_file_is_private_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_private(&path, "first").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write_private(&path, "second").unwrap_err().code(), "file_exists");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\n");
        let nowhere = dir.path().join("none/key");
        assert_eq!(write_private(&nowhere, "x").unwrap_err().code(), "file_unwritable");
    }

    #[test]
    fn input_is_bounded_and_must_be_an_event() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("input");
        assert_eq!(read(&path).unwrap_err().code(), "file_unreadable");
        std::fs::write(&path, vec![b'x'; 1024 * 1024 + 1]).unwrap();
        assert_eq!(read(&path).unwrap_err().code(), "file_too_large");
        for bad in [&b""[..], b"{}", b"\xff\xfe", b"[1]"] {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(read_event(&path).unwrap_err().code(), "event_invalid");
        }
    }
}

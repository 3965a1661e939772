//! One tar header block: POSIX.1-1988 (`ustar`), GNU and older ones.

use std::str;

pub(super) const BLOCK_BYTES: usize = 512;

/// A header block that is not empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    pub(super) kind: EntryKind,
    /// Bytes that follow the block, as the block says.
    pub(super) size_bytes: u64,
    /// The name in the block is that of a directory, or could be.
    pub(super) names_directory: bool,
}

/// The types of entries that the engine unpacks or skips.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum EntryKind {
    /// A file with content.
    File,
    /// A file from before POSIX; or a directory, if its name ends with a slash.
    OldFile,
    /// A link, a device, a directory or a pipe: nothing follows.
    NoContent,
    /// POSIX.1-2001 records for the next entry.
    PaxNext,
    /// POSIX.1-2001 records for all entries; the engine ignores them.
    PaxGlobal,
    /// GNU's long name for the next entry.
    GnuName,
    /// GNU's long link target for the next entry.
    GnuLink,
}

impl Header {
    /// Reads a block. Nothing if it is all zero.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub(super) fn parse(block: &[u8; BLOCK_BYTES]) -> Result<Option<Self>, &'static str> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if !checksum_matches(block) {
            return Err("a tar header has a wrong checksum");
        }
        let size_bytes = number(&block[124..136]).ok_or("a tar header has no valid size")?;
        let kind = match block[156] {
            0 => EntryKind::OldFile,
            b'0' => EntryKind::File,
            b'1'..=b'6' => EntryKind::NoContent,
            b'x' => EntryKind::PaxNext,
            b'g' => EntryKind::PaxGlobal,
            b'L' => EntryKind::GnuName,
            b'K' => EntryKind::GnuLink,
            b'S' => return Err("it has a sparse file in GNU's old format"),
            _ => return Err("it has an entry of an unknown type"),
        };
        // Some readers skip content here and some do not: they would go on at different places.
        if kind == EntryKind::NoContent && size_bytes != 0 {
            return Err("it has a link, directory or device with content");
        }
        let name = up_to_zero(&block[..100]);
        // A prefix can make the name of a directory out of an empty one.
        let names_directory = name.is_empty() || names_directory(name);
        Ok(Some(Self { kind, size_bytes, names_directory }))
    }
}

/// The sum of all bytes with the checksum itself as spaces; old writers summed signed bytes.
fn checksum_matches(block: &[u8; BLOCK_BYTES]) -> bool {
    let Some(stated) = number(&block[148..156]) else { return false };
    let (mut unsigned, mut signed) = (0_u64, 0_i64);
    for (at, byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&at) { b' ' } else { *byte };
        unsigned += u64::from(byte);
        signed += i64::from(i8::from_ne_bytes([byte]));
    }
    stated == unsigned || i64::try_from(stated) == Ok(signed)
}

/// Octal digits amid spaces and zero bytes; or, with the highest bit set, a big-endian number (GNU).
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, rest @ ..] = field {
        let (high, low) = rest.split_last_chunk::<8>()?;
        let value = u64::from_be_bytes(*low);
        return (high.iter().all(|byte| *byte == 0) && i64::try_from(value).is_ok()).then_some(value);
    }
    let text = str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() {
        return Some(0);
    }
    if !text.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        return None;
    }
    u64::from_str_radix(text, 8).ok()
}

/// A name as C writes it: it ends at the first zero byte.
pub(super) fn up_to_zero(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == 0).next().unwrap_or_default()
}

pub(super) fn names_directory(name: &[u8]) -> bool {
    name.ends_with(b"/")
}

//! What precedes a tar entry and is about it: the records of POSIX.1-2001, and long names.

use super::tar_header::{Header, names_directory};

/// A name from outside the header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LongName {
    /// It is empty, so the one in the header counts.
    Empty,
    Directory,
    File,
}

impl LongName {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            [] => Self::Empty,
            name if names_directory(name) => Self::Directory,
            _ => Self::File,
        }
    }
}

/// The records that matter here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Pax {
    /// Bytes in the stream.
    pub(super) size_bytes: Option<u64>,
    /// Bytes on disk, if the file is sparse (`GNU.sparse.realsize`, or `GNU.sparse.size` before that).
    pub(super) sparse_bytes: Option<u64>,
    pub(super) path: Option<LongName>,
}

impl Pax {
    /// Records are `length SP keyword = value LF`, the length in decimal and counting itself.
    pub(super) fn parse(mut text: &[u8]) -> Result<Self, &'static str> {
        const INVALID: &str = "it has invalid POSIX records";
        let mut pax = Self::default();
        while !text.is_empty() {
            let space = text.iter().position(|byte| *byte == b' ').ok_or(INVALID)?;
            let length = decimal(&text[..space]).and_then(|it| usize::try_from(it).ok()).ok_or(INVALID)?;
            let record = text.get(space + 1..length).ok_or(INVALID)?.strip_suffix(b"\n").ok_or(INVALID)?;
            text = &text[length..];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(INVALID)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            if key.is_empty() || key.contains(&0) {
                return Err(INVALID);
            }
            let target = match key {
                b"path" => {
                    pax.path = Some(LongName::of(value));
                    continue;
                }
                b"size" => &mut pax.size_bytes,
                b"GNU.sparse.realsize" | b"GNU.sparse.size" => &mut pax.sparse_bytes,
                _ => continue,
            };
            if target.replace(decimal(value).ok_or(INVALID)?).is_some() {
                return Err(INVALID);
            }
        }
        Ok(pax)
    }
}

/// Digits only, within the range of Go's `int64`.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    i64::try_from(value).is_ok().then_some(value)
}

/// True if readers take a file from before POSIX for a directory, by the name that counts.
pub(super) fn is_directory(
    header: Header,
    pax: Option<LongName>,
    gnu: Option<LongName>,
) -> Result<bool, &'static str> {
    let [pax, gnu] = [pax, gnu].map(|name| name.filter(|name| *name != LongName::Empty));
    match (pax, gnu) {
        (None, None) => Ok(header.names_directory),
        (Some(name), None) | (None, Some(name)) => Ok(name == LongName::Directory),
        (Some(pax), Some(gnu)) if pax == gnu => Ok(pax == LongName::Directory),
        (Some(_), Some(_)) => Err("it has two names for one entry"),
    }
}

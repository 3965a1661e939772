//! The structure of a layer's tar stream, read as it passes.
//!
//! Nothing is extracted here; the engine does that later. What matters is that the engine will find
//! nothing in the stream that was not counted here. So the scanner goes from header to header exactly
//! as Go's `archive/tar` does, refuses whatever readers disagree about, and counts a sparse file as
//! large as the engine writes it, holes included.

use super::budget::Budget;
use super::tar_header::{BLOCK_BYTES, EntryKind, Header, up_to_zero};
use super::tar_records::{LongName, Pax, is_directory};
use crate::image::error::FetchError;

/// Longest POSIX records or GNU long name; the same as in Go.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;

/// The beginnings by which the engine recognises a compressed stream (gzip, bzip2, xz, zstd and its
/// skippable frames). A name at the start of a tar stream can be chosen to look like one: the engine
/// would then unpack something else than what was looked at here.
const COMPRESSED: [(&[u8], usize); 5] = [
    (&[0x1f, 0x8b, 0x08], 0),
    (b"BZh", 0),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], 0),
    (&[0x28, 0xb5, 0x2f, 0xfd], 0),
    (&[0x2a, 0x4d, 0x18], 1),
];

/// Why a stream was refused.
#[derive(Debug)]
pub(super) enum ScanError {
    /// It is no tar stream that all readers agree on.
    Invalid(&'static str),
    /// It holds more than there is room for.
    Budget(FetchError),
}

impl From<&'static str> for ScanError {
    fn from(problem: &'static str) -> Self {
        Self::Invalid(problem)
    }
}

impl From<FetchError> for ScanError {
    fn from(error: FetchError) -> Self {
        Self::Budget(error)
    }
}

/// Takes a tar stream in pieces of any size.
#[derive(Debug)]
pub(super) struct TarScanner {
    state: State,
    /// The header block that is being filled.
    block: [u8; BLOCK_BYTES],
    started: bool,
    /// What came before an entry and is about it.
    next: Announced,
}

#[derive(Clone, Copy, Debug, Default)]
struct Announced {
    pax: Option<Pax>,
    gnu_name: Option<LongName>,
    gnu_link: bool,
}

impl Announced {
    const fn nothing(self) -> bool {
        self.pax.is_none() && self.gnu_name.is_none() && !self.gnu_link
    }
}

/// A special entry whose content must be read.
#[derive(Clone, Copy, Debug)]
enum Extension {
    Pax,
    GnuName,
}

#[derive(Debug)]
enum State {
    /// In a header block.
    Header { filled: usize, after_empty: bool },
    /// In content and its padding.
    Content { left: u64 },
    /// In POSIX records or a long name, followed by padding.
    Extension { kind: Extension, text: Vec<u8>, left: usize, padding: u64 },
    /// After two empty blocks.
    End,
}

impl TarScanner {
    pub(super) fn new() -> Self {
        Self {
            state: State::header(false),
            block: [0; BLOCK_BYTES],
            started: false,
            next: Announced::default(),
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`ScanError`]; the scanner is of no use afterwards.
    pub(super) fn feed(&mut self, mut piece: &[u8], budget: &mut Budget) -> Result<(), ScanError> {
        while !piece.is_empty() {
            match &mut self.state {
                State::Header { filled, after_empty } => {
                    let count = piece.len().min(BLOCK_BYTES - *filled);
                    let (now, rest) = piece.split_at(count);
                    self.block[*filled..*filled + count].copy_from_slice(now);
                    *filled += count;
                    piece = rest;
                    if *filled == BLOCK_BYTES {
                        let (block, after_empty) = (self.block, *after_empty);
                        self.state = self.take_header(&block, after_empty, budget)?;
                    }
                }
                State::Content { left } => {
                    let count = at_most(*left, piece.len());
                    *left -= as_u64(count);
                    piece = &piece[count..];
                    if *left == 0 {
                        self.state = State::header(false);
                    }
                }
                State::Extension { kind, text, left, padding } => {
                    let count = piece.len().min(*left);
                    text.extend_from_slice(&piece[..count]);
                    *left -= count;
                    piece = &piece[count..];
                    if *left == 0 {
                        match kind {
                            Extension::Pax => self.next.pax = Some(Pax::parse(text)?),
                            Extension::GnuName => self.next.gnu_name = Some(LongName::of(up_to_zero(text))),
                        }
                        self.state = State::after(*padding);
                    }
                }
                State::End => {
                    if piece.iter().any(|byte| *byte != 0) {
                        return Err("something follows its end".into());
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Says that the stream is over.
    ///
    /// # Errors
    /// [`ScanError::Invalid`] if it is over too early.
    pub(super) fn finish(&self) -> Result<(), ScanError> {
        let at_rest = match &self.state {
            State::End => true,
            State::Header { filled, .. } => *filled == 0 && self.next.nothing(),
            State::Content { .. } | State::Extension { .. } => false,
        };
        if at_rest { Ok(()) } else { Err("its tar stream ends early".into()) }
    }

    fn take_header(
        &mut self,
        block: &[u8; BLOCK_BYTES],
        after_empty: bool,
        budget: &mut Budget,
    ) -> Result<State, ScanError> {
        if !self.started && looks_compressed(block) {
            return Err("it is compressed in another way than its type says".into());
        }
        self.started = true;
        let Some(header) = Header::parse(block)? else {
            if !self.next.nothing() {
                return Err("its tar stream ends after the name of an entry".into());
            }
            return Ok(if after_empty { State::End } else { State::header(true) });
        };
        if after_empty {
            return Err("something follows its end".into());
        }
        budget.take_entry()?;
        match header.kind {
            EntryKind::File | EntryKind::OldFile | EntryKind::NoContent => self.take_entry(header, budget),
            EntryKind::PaxNext if self.next.pax.is_some() => {
                Err("it has two sets of records for one entry".into())
            }
            EntryKind::PaxNext => extension(Extension::Pax, header),
            EntryKind::PaxGlobal if !self.next.nothing() => Err("it has global records amid an entry".into()),
            EntryKind::PaxGlobal => content(extension_size(header)?),
            EntryKind::GnuName => extension(Extension::GnuName, header),
            EntryKind::GnuLink => {
                self.next.gnu_link = true;
                content(extension_size(header)?)
            }
        }
    }

    fn take_entry(&mut self, header: Header, budget: &mut Budget) -> Result<State, ScanError> {
        let next = std::mem::take(&mut self.next);
        let pax = next.pax.unwrap_or_default();
        let in_stream = pax.size_bytes.unwrap_or(header.size_bytes);
        let header_only = match header.kind {
            EntryKind::OldFile => is_directory(header, pax.path, next.gnu_name)?,
            EntryKind::NoContent => true,
            EntryKind::File
            | EntryKind::PaxNext
            | EntryKind::PaxGlobal
            | EntryKind::GnuName
            | EntryKind::GnuLink => false,
        };
        if header_only {
            if in_stream != 0 || pax.sparse_bytes.is_some() {
                return Err("it has a link, directory or device with content".into());
            }
            return Ok(State::header(false));
        }
        // The bytes in the stream are taken from the budget as they come; holes never come.
        budget.take_bytes(pax.sparse_bytes.unwrap_or(0).saturating_sub(in_stream))?;
        budget.expect_bytes(in_stream)?;
        content(in_stream)
    }
}

impl State {
    const fn header(after_empty: bool) -> Self {
        Self::Header { filled: 0, after_empty }
    }

    fn after(bytes: u64) -> Self {
        if bytes == 0 { Self::header(false) } else { Self::Content { left: bytes } }
    }
}

fn looks_compressed(block: &[u8; BLOCK_BYTES]) -> bool {
    COMPRESSED.iter().any(|(magic, at)| block[*at..].starts_with(magic))
}

/// Content that must be read before the next header.
fn extension(kind: Extension, header: Header) -> Result<State, ScanError> {
    let left = usize::try_from(extension_size(header)?).map_err(|_| "it has a name that is too long")?;
    let text = Vec::with_capacity(left);
    Ok(State::Extension { kind, text, left, padding: padding(header.size_bytes) })
}

fn extension_size(header: Header) -> Result<u64, &'static str> {
    if header.size_bytes > EXTENSION_BYTES_MAX {
        Err("it has a name of over 1 MiB")
    } else {
        Ok(header.size_bytes)
    }
}

/// Content of `bytes`, padded to a whole block.
fn content(bytes: u64) -> Result<State, ScanError> {
    let padded = bytes.checked_add(padding(bytes)).ok_or("it has an entry that is too large")?;
    Ok(State::after(padded))
}

const fn padding(bytes: u64) -> u64 {
    // 512 divides 2^64, so the remainder of the wrapped negative is that of the negative.
    bytes.wrapping_neg() % (BLOCK_BYTES as u64)
}

fn at_most(left: u64, available: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(available)
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

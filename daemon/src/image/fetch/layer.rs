//! Unpacks one layer and checks everything about it, on a thread that may block.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::archive::ArchiveWriter;
use super::budget::Budget;
use super::chunks::Chunks;
use super::tar_scan::{ScanError, TarScanner};
use super::zstd::ZstdReader;
use crate::image::digest::{Digest, Hasher};
use crate::image::error::{FetchError, RegistryError};
use crate::image::manifest::{Blob, Compression};

/// How much is unpacked at a time.
const PIECE_BYTES: usize = 64 << 10;

/// What a layer must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerJob {
    /// From 1, for messages.
    pub(super) number: usize,
    pub(super) blob: Blob,
    pub(super) compression: Compression,
    pub(super) diff_id: Digest,
}

/// Why a layer was not taken.
#[derive(Debug)]
pub(super) enum LayerError {
    /// The transfer stopped; its own end knows why.
    Stopped,
    Failed(FetchError),
}

impl From<FetchError> for LayerError {
    fn from(error: FetchError) -> Self {
        Self::Failed(error)
    }
}

/// Unpacks `input` into `archive`.
///
/// # Errors
/// [`LayerError`]; `archive` is of no use afterwards.
pub(super) fn unpack(
    job: &LayerJob,
    input: Chunks,
    archive: &mut ArchiveWriter,
    budget: &mut Budget,
) -> Result<(), LayerError> {
    let mut packed = Packed { input, hasher: Hasher::default() };
    match pump(job, &mut packed, archive, budget) {
        Ok(()) => packed.expect(job.blob.digest),
        // Bytes that make no sense are most often not the bytes of the digest. If so, say that: it is
        // the registry's fault then, not the image's.
        Err(LayerError::Failed(error @ (FetchError::Layer { .. } | FetchError::DiffId { .. }))) => {
            packed.expect(job.blob.digest)?;
            Err(error.into())
        }
        Err(other) => Err(other),
    }
}

fn pump(
    job: &LayerJob,
    packed: &mut Packed,
    archive: &mut ArchiveWriter,
    budget: &mut Budget,
) -> Result<(), LayerError> {
    let mut unpacked: Box<dyn Read + '_> = match job.compression {
        Compression::None => Box::new(packed),
        Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(PIECE_BYTES, packed))),
        Compression::Zstd => Box::new(ZstdReader::new(BufReader::with_capacity(PIECE_BYTES, packed))),
    };
    let mut hasher = Hasher::default();
    let mut scanner = TarScanner::new();
    let mut buffer = vec![0; PIECE_BYTES];
    archive.begin_layer(job.number).map_err(FetchError::Storage)?;
    loop {
        let piece = match unpacked.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => &buffer[..count],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read_failed(job.number, &error)),
        };
        budget.take_bytes(u64::try_from(piece.len()).unwrap_or(u64::MAX))?;
        scanner.feed(piece, budget).map_err(|error| scan_failed(job.number, error))?;
        hasher.update(piece);
        archive.write(piece).map_err(FetchError::Storage)?;
    }
    scanner.finish().map_err(|error| scan_failed(job.number, error))?;
    archive.end_layer().map_err(FetchError::Storage)?;
    let actual = hasher.finish();
    if actual == job.diff_id {
        Ok(())
    } else {
        Err(FetchError::DiffId { number: job.number, expected: job.diff_id, actual }.into())
    }
}

/// The bytes of the blob, hashed as they are read.
struct Packed {
    input: Chunks,
    hasher: Hasher,
}

impl Packed {
    /// Reads what the decoder left over, and compares.
    fn expect(mut self, expected: Digest) -> Result<(), LayerError> {
        io::copy(&mut self, &mut io::sink()).map_err(|_| LayerError::Stopped)?;
        if self.hasher.finish() == expected {
            Ok(())
        } else {
            Err(FetchError::Registry(RegistryError::DigestMismatch { part: "layer", expected }).into())
        }
    }
}

impl Read for Packed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

fn read_failed(number: usize, error: &io::Error) -> LayerError {
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return LayerError::Stopped;
    }
    // What a decoder says is about the stranger's bytes, and short.
    FetchError::Layer { number, problem: format!("it does not unpack: {error}") }.into()
}

fn scan_failed(number: usize, error: ScanError) -> LayerError {
    match error {
        ScanError::Invalid(problem) => FetchError::Layer { number, problem: problem.to_owned() }.into(),
        ScanError::Budget(error) => error.into(),
    }
}

//! Bodies that are no longer than they may be.

use reqwest::Response;
use tokio_util::bytes::Bytes;

use super::transport::{Answer, failed};
use crate::image::digest::Digest;
use crate::image::error::RegistryError;

/// Reads a whole body into memory, at most `limit_bytes` of it.
pub(super) async fn read_bounded(
    mut answer: Answer,
    part: &'static str,
    limit_bytes: u64,
) -> Result<Vec<u8>, RegistryError> {
    let too_large = || RegistryError::TooLarge { part, limit_bytes };
    let declared = answer.response.content_length().unwrap_or(0);
    if declared > limit_bytes {
        return Err(too_large());
    }
    let mut left = limit_bytes;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.response.chunk().await.map_err(|error| failed(&answer.host(), error))? {
        left = left.checked_sub(length(&chunk)).ok_or_else(too_large)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A blob on its way: exactly as many bytes as its descriptor says, or an error. Whoever reads it
/// checks the digest.
#[derive(Debug)]
pub(crate) struct BlobStream {
    response: Response,
    host: String,
    part: &'static str,
    expected: Digest,
    left_bytes: u64,
}

impl BlobStream {
    /// Refuses a body that declares another length than the descriptor.
    pub(super) fn new(
        answer: Answer,
        part: &'static str,
        expected: Digest,
        size_bytes: u64,
    ) -> Result<Self, RegistryError> {
        let host = answer.host();
        if answer.response.content_length().is_some_and(|declared| declared != size_bytes) {
            return Err(RegistryError::DigestMismatch { part, expected });
        }
        Ok(Self { response: answer.response, host, part, expected, left_bytes: size_bytes })
    }

    /// The next bytes; nothing after the last.
    ///
    /// # Errors
    /// [`RegistryError::DigestMismatch`] as soon as the body is longer than its descriptor says, and
    /// when it ends early; the others if the connection breaks or stalls.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let mismatch = RegistryError::DigestMismatch { part: self.part, expected: self.expected };
        match self.response.chunk().await.map_err(|error| failed(&self.host, error))? {
            Some(chunk) => {
                self.left_bytes = self.left_bytes.checked_sub(length(&chunk)).ok_or(mismatch)?;
                Ok(Some(chunk))
            }
            None if self.left_bytes > 0 => Err(mismatch),
            None => Ok(None),
        }
    }
}

fn length(chunk: &Bytes) -> u64 {
    u64::try_from(chunk.len()).unwrap_or(u64::MAX)
}

//! Payloads: bytes whose number both ends know.

use std::io;

use protocol::parent::backup::ObjectId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::WRITE_BYTES_MAX;

/// How much is made room for before the first byte came.
const AHEAD_BYTES: usize = 2 * 1024 * 1024;

/// Reads exactly `bytes` bytes; the caller has checked the number against its bound.
pub(super) async fn read_raw(stream: &mut (impl AsyncRead + Unpin), bytes: u32) -> io::Result<Vec<u8>> {
    let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut payload = Vec::with_capacity(wanted.min(AHEAD_BYTES));
    stream.take(bytes.into()).read_to_end(&mut payload).await?;
    if payload.len() < wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(payload)
}

/// Writes `payload` in pieces that vsock carries safely.
pub(super) async fn write_raw(stream: &mut (impl AsyncWrite + Unpin), payload: &[u8]) -> io::Result<()> {
    for piece in payload.chunks(WRITE_BYTES_MAX) {
        stream.write_all(piece).await?;
    }
    stream.flush().await
}

/// The ids in a payload; a rest shorter than an id, which no checked length leaves, is dropped.
pub(super) fn ids(payload: &[u8]) -> Vec<ObjectId> {
    payload.chunks_exact(32).filter_map(|id| id.try_into().ok().map(ObjectId)).collect()
}

/// The payload of these ids.
pub(super) fn ids_payload(ids: &[ObjectId]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.0).collect()
}

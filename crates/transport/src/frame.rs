//! Frames: a 4-byte big-endian length, then so many bytes of JSON.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest single write. Linux 6.17 and its backports can corrupt larger vsock writes: packets above
/// 32,404 bytes are sent from nonlinear buffers.
pub const WRITE_BYTES_MAX: usize = 32_000;

/// Why a frame was not read or written.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The other end closed the stream between frames.
    #[error("the other end closed the stream")]
    Closed,
    /// The stream broke.
    #[error("the stream broke")]
    Io(#[source] io::Error),
    /// The frame is longer than is allowed here.
    #[error("a frame of {bytes} bytes; at most {max} are allowed")]
    TooLong {
        /// What was announced.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// The frame's JSON is not what is expected here.
    #[error("a frame that is not understood: {0}")]
    Malformed(#[source] serde_json::Error),
}

/// Reads one frame of at most `bytes_max` bytes. The length is checked before anything is allocated,
/// and memory grows only as bytes arrive.
///
/// # Errors
/// [`FrameError`]; the stream is unusable after any but `Malformed`.
pub async fn read_frame<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
) -> Result<T, FrameError> {
    let mut length = [0; 4];
    if let Err(e) = stream.read_exact(&mut length).await {
        return Err(if e.kind() == io::ErrorKind::UnexpectedEof {
            FrameError::Closed
        } else {
            FrameError::Io(e)
        });
    }
    let bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if bytes > bytes_max {
        return Err(FrameError::TooLong { bytes, max: bytes_max });
    }
    let mut body = Vec::new();
    let wanted = u64::try_from(bytes).unwrap_or(u64::MAX);
    stream.take(wanted).read_to_end(&mut body).await.map_err(FrameError::Io)?;
    if body.len() < bytes {
        return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&body).map_err(FrameError::Malformed)
}

/// Writes one frame of at most `bytes_max` bytes.
///
/// # Errors
/// [`FrameError`]; nothing is written if the frame is too long.
pub async fn write_frame<T: Serialize + ?Sized>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &T,
    bytes_max: usize,
) -> Result<(), FrameError> {
    let body = serde_json::to_vec(message).map_err(FrameError::Malformed)?;
    let too_long = FrameError::TooLong { bytes: body.len(), max: bytes_max };
    let Ok(length) = u32::try_from(body.len()) else { return Err(too_long) };
    if body.len() > bytes_max {
        return Err(too_long);
    }
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    for chunk in frame.chunks(WRITE_BYTES_MAX) {
        stream.write_all(chunk).await.map_err(FrameError::Io)?;
    }
    stream.flush().await.map_err(FrameError::Io)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    async fn read(mut bytes: &[u8]) -> Result<serde_json::Value, FrameError> {
        read_frame(&mut bytes, 100).await
    }

    #[test]
    fn frame_is_pinned() {
        let mut out = Vec::new();
        block_on(write_frame(&mut out, &serde_json::json!({"a": 1}), 100)).unwrap();
        assert_eq!(out, b"\0\0\0\x07{\"a\":1}");
    }

    #[test]
    fn hostile_lengths_are_refused() {
        block_on(async {
            assert!(matches!(read(b"").await, Err(FrameError::Closed)));
            assert!(matches!(read(b"\xff\xff\xff\xff").await, Err(FrameError::TooLong { .. })));
            assert!(matches!(read(b"\0\0\0\x65").await, Err(FrameError::TooLong { bytes: 101, max: 100 })));
            assert!(matches!(read(b"\0\0\0\x09{}").await, Err(FrameError::Io(_))));
            assert!(matches!(read(b"\0\0\0\x00").await, Err(FrameError::Malformed(_))));
        });
        let long = "x".repeat(200);
        let mut out = Vec::new();
        assert!(matches!(block_on(write_frame(&mut out, &long, 100)), Err(FrameError::TooLong { .. })));
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(block_on(read(&bytes)));
        }

        #[test]
        fn frames_round_trip(text in ".{0,2000}") {
            let mut out = Vec::new();
            block_on(write_frame(&mut out, &text, 100_000)).unwrap();
            let back: String = block_on(read_frame(&mut out.as_slice(), 100_000)).unwrap();
            prop_assert_eq!(back, text);
        }
    }
}

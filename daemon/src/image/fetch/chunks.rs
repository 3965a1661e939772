//! Bytes from an asynchronous sender to a blocking reader.

use std::io::{self, Read};

use tokio::sync::mpsc;
use tokio_util::bytes::{Buf, Bytes};

/// Chunks on their way: enough to keep both sides busy, few enough that they weigh little (the HTTP
/// client's chunks have at most some 400 KiB).
const CHUNKS_MAX: usize = 4;

enum Message {
    Chunk(Bytes),
    /// The stream is complete. A channel that closes without it was abandoned.
    End,
}

/// The sending half.
pub(super) struct Feeder(mpsc::Sender<Message>);

/// The reading half; an error of kind [`io::ErrorKind::ConnectionAborted`] if the sender gave up.
pub(super) struct Chunks {
    messages: mpsc::Receiver<Message>,
    current: Bytes,
    ended: bool,
}

pub(super) fn channel() -> (Feeder, Chunks) {
    let (sender, messages) = mpsc::channel(CHUNKS_MAX);
    (Feeder(sender), Chunks { messages, current: Bytes::new(), ended: false })
}

impl Feeder {
    /// Waits for room. A reader that is gone has its own reason, which it tells itself.
    pub(super) async fn send(&self, chunk: Bytes) {
        let _ = self.0.send(Message::Chunk(chunk)).await;
    }

    /// Ends when the reader has failed, or has seen enough.
    pub(super) async fn reader_gone(&self) {
        self.0.closed().await;
    }

    /// Says that nothing is missing.
    pub(super) async fn end(self) {
        let _ = self.0.send(Message::End).await;
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.messages.blocking_recv() {
                Some(Message::Chunk(chunk)) => self.current = chunk,
                Some(Message::End) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the transfer stopped")),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

//! The parent's end of the parent API.

use std::sync::Arc;

use protocol::parent::{Call, FRAME_BYTES_MAX, Message, Outcome, Push, Request};
use tokio::sync::{Semaphore, broadcast, mpsc};

use crate::frame::{FrameError, read_frame, write_frame};
use crate::{Listener, Stream};

/// Replies and pushes waiting to be written to one connection.
const QUEUE_MAX: usize = 64;
/// Connections at once: one enclave, and its predecessor's that has not noticed yet.
const CONNECTIONS_MAX: usize = 8;

/// Answers the enclave's calls.
pub trait ParentHandler: Send + Sync + 'static {
    /// Answers one call.
    fn handle(&self, call: Call) -> impl Future<Output = Outcome> + Send;
}

/// Pushes events to every connected enclave.
#[derive(Clone, Debug)]
pub struct Pusher(broadcast::Sender<Push>);

impl Default for Pusher {
    fn default() -> Self {
        Self(broadcast::channel(QUEUE_MAX).0)
    }
}

impl Pusher {
    /// Sends `event` to whoever is connected; returns how many that are.
    #[must_use]
    pub fn push(&self, event: Push) -> usize {
        self.0.send(event).unwrap_or(0)
    }

    /// How many enclaves are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.0.receiver_count()
    }
}

/// Serves connections until the listener breaks.
///
/// # Errors
/// What `accept` says.
pub async fn serve<H: ParentHandler>(
    listener: Listener,
    handler: Arc<H>,
    pusher: Pusher,
) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = listener.accept().await?;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!("more than {CONNECTIONS_MAX} connections; one was refused");
            continue;
        };
        let (handler, pushes) = (Arc::clone(&handler), pusher.0.subscribe());
        tokio::spawn(async move {
            serve_connection(stream, handler, pushes).await;
            drop(place);
        });
    }
}

async fn serve_connection<H: ParentHandler>(
    stream: Stream,
    handler: Arc<H>,
    mut pushes: broadcast::Receiver<Push>,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (out, mut out_rx) = mpsc::channel::<Message>(QUEUE_MAX);
    let writing = tokio::spawn(async move {
        while let Some(message) = out_rx.recv().await {
            if let Err(e) = write_frame(&mut writer, &message, FRAME_BYTES_MAX).await {
                tracing::warn!("a frame to the enclave was not written: {e}");
                return;
            }
        }
    });
    let pushing = tokio::spawn({
        let out = out.clone();
        async move {
            while let Ok(event) = pushes.recv().await {
                if out.send(Message::Push { event }).await.is_err() {
                    return;
                }
            }
        }
    });
    loop {
        match read_frame::<Request>(&mut reader, FRAME_BYTES_MAX).await {
            Ok(Request { id, call }) => {
                let outcome = handler.handle(call).await;
                if out.send(Message::Reply { id, outcome }).await.is_err() {
                    break;
                }
            }
            Err(FrameError::Closed) => break,
            Err(e) => {
                tracing::warn!("the enclave's connection is given up: {e}");
                break;
            }
        }
    }
    pushing.abort();
    drop(out);
    // The last replies are written before the connection goes.
    drop(writing.await);
}

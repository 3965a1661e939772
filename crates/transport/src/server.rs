//! The parent's end of the parent API.

use std::sync::Arc;
use std::time::Duration;

use protocol::parent::{Call, FRAME_BYTES_MAX, Message, Outcome, Push, Request};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::frame::{FrameError, read_frame, write_frame};
use crate::{Listener, Stream};

/// Replies and pushes waiting to be written to one connection.
const QUEUE_MAX: usize = 64;
/// Connections at once: one enclave, and its predecessor's that has not noticed yet.
const CONNECTIONS_MAX: usize = 8;
/// How long a connection may say nothing: an enclave asks something every minute, if only to be heard.
const IDLE_WAIT: Duration = Duration::from_secs(180);
/// How long the other end may take to read one frame.
const WRITE_WAIT: Duration = Duration::from_secs(30);

/// Answers the enclave's calls.
pub trait ParentHandler: Send + Sync + 'static {
    /// Answers one call.
    fn handle(&self, call: Call) -> impl Future<Output = Outcome> + Send;
}

/// Pushes events to every connected enclave. One that connects later is told the newest of them: it may have
/// been on its way back when the event happened.
#[derive(Clone, Debug)]
pub struct Pusher(watch::Sender<Option<Push>>);

impl Default for Pusher {
    fn default() -> Self {
        Self(watch::channel(None).0)
    }
}

impl Pusher {
    /// Sends `event` to whoever is connected; returns how many that are.
    #[must_use]
    pub fn push(&self, event: Push) -> usize {
        self.0.send_replace(Some(event));
        self.connected()
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
/// What `accept` says, unless it is a matter of this connection or of the moment.
pub async fn serve<H: ParentHandler>(
    listener: Listener,
    handler: Arc<H>,
    pusher: Pusher,
) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = listener.accept_next().await?;
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
    mut pushes: watch::Receiver<Option<Push>>,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (out, mut out_rx) = mpsc::channel::<Message>(QUEUE_MAX);
    let writing = tokio::spawn(async move {
        while let Some(message) = out_rx.recv().await {
            let writing = write_frame(&mut writer, &message, FRAME_BYTES_MAX);
            match tokio::time::timeout(WRITE_WAIT, writing).await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => {
                    tracing::warn!("a frame to the enclave was not written: {e}");
                    return;
                }
                Err(_) => {
                    tracing::warn!("the enclave does not read what it is told; its connection is given up");
                    return;
                }
            }
        }
    });
    let pushing = tokio::spawn({
        let out = out.clone();
        async move {
            // What happened before is news for this connection, too.
            pushes.mark_changed();
            while pushes.changed().await.is_ok() {
                let Some(event) = *pushes.borrow_and_update() else { continue };
                if out.send(Message::Push { event }).await.is_err() {
                    return;
                }
            }
        }
    });
    loop {
        let reading = read_frame::<Request>(&mut reader, FRAME_BYTES_MAX);
        let Ok(read) = tokio::time::timeout(IDLE_WAIT, reading).await else {
            tracing::warn!(
                "an enclave's connection said nothing for {} s and is given up",
                IDLE_WAIT.as_secs()
            );
            break;
        };
        match read {
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

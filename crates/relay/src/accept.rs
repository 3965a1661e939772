//! Taking connections off a listener, whatever the kernel is short of meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use units::Stopwatch;

/// How long to wait before accepting again when no more files can be opened.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How often the log says that nothing can be accepted.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// A listener that goes on: a server without descriptors for a moment has lost nobody but who came in it.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    what: &'static str,
    told: Option<Stopwatch>,
}

impl Acceptor {
    /// Takes connections off `listener`, which the log calls `what`.
    #[must_use]
    pub const fn new(listener: TcpListener, what: &'static str) -> Self {
        Self { listener, what, told: None }
    }

    /// The next connection, with `TCP_NODELAY`.
    pub async fn next(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    // It fails for a connection that is over; whoever reads from it notices.
                    drop(stream.set_nodelay(true));
                    return (stream, from);
                }
                Err(e) => {
                    if self.told.as_ref().is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                        tracing::warn!("{}: no connection can be accepted, for now: {e}", self.what);
                        self.told = Some(Stopwatch::start());
                    }
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }
}

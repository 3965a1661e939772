//! Taking connections off a listener, whatever the kernel is short of meanwhile.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use units::Stopwatch;

/// How long to wait before accepting again when no more files can be opened.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How often the log says that nothing can be accepted.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Where connections come in.
pub trait Listens: Send + Sync {
    /// A connection, and who it is from as far as that is known.
    type Accepted: Send;

    /// Takes the next connection.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Accepted>> + Send;
}

/// With `TCP_NODELAY`.
impl Listens for TcpListener {
    type Accepted = (TcpStream, SocketAddr);

    async fn accept(&self) -> io::Result<Self::Accepted> {
        let (stream, from) = Self::accept(self).await?;
        // It fails for a connection that is over; whoever reads from it notices.
        drop(stream.set_nodelay(true));
        Ok((stream, from))
    }
}

impl Listens for UnixListener {
    type Accepted = UnixStream;

    async fn accept(&self) -> io::Result<Self::Accepted> {
        Ok(Self::accept(self).await?.0)
    }
}

/// A listener that goes on: a server without descriptors for a moment has lost nobody but who came in it.
#[derive(Debug)]
pub struct Acceptor<L> {
    listener: L,
    what: Cow<'static, str>,
    told: Option<Stopwatch>,
}

impl<L: Listens> Acceptor<L> {
    /// Takes connections off `listener`, which the log calls `what`.
    #[must_use]
    pub fn new(listener: L, what: impl Into<Cow<'static, str>>) -> Self {
        Self { listener, what: what.into(), told: None }
    }

    /// The listener.
    #[must_use]
    pub const fn listener(&self) -> &L {
        &self.listener
    }

    /// The next connection. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> L::Accepted {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
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

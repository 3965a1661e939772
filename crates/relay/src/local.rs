//! A small relay of our own: the daemon's internal one, and the one that development worlds use.

use std::net::SocketAddr;
use std::sync::Arc;

use nostr_sdk::local_relay::{LocalRelay, RateLimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_tungstenite::accept_async;

use crate::accept::Acceptor;

/// Limits of a [`LocalRelayServer`], per connection unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub struct LocalRelayLimits {
    /// Connections in all.
    pub connections: usize,
    /// Events a minute.
    pub events_per_minute: u32,
    /// Longest event, in bytes.
    pub event_bytes: usize,
}

impl Default for LocalRelayLimits {
    fn default() -> Self {
        Self { connections: 512, events_per_minute: 1_000_000, event_bytes: protocol::event::EVENT_BYTES_MAX }
    }
}

/// A relay that keeps its events in memory.
#[derive(Clone, Debug)]
pub struct LocalRelayServer {
    relay: LocalRelay,
    places: Arc<Semaphore>,
}

impl LocalRelayServer {
    /// A relay with these limits and no events.
    #[must_use]
    pub fn new(limits: LocalRelayLimits) -> Self {
        let relay = LocalRelay::builder()
            .rate_limit(RateLimit { max_reqs: 500, notes_per_minute: limits.events_per_minute })
            .messages_per_minute(limits.events_per_minute.saturating_mul(2))
            .queries_per_minute(limits.events_per_minute)
            .max_event_size(limits.event_bytes)
            .max_connections(limits.connections)
            .build();
        Self { relay, places: Arc::new(Semaphore::new(limits.connections)) }
    }

    /// Serves a stream whose WebSocket handshake is done, until it ends.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, from: SocketAddr) {
        let Ok(place) = self.places.try_acquire() else {
            tracing::warn!("the relay is full; a connection was refused");
            return;
        };
        if let Err(e) = self.relay.take_connection(stream, from).await {
            tracing::debug!("a connection to the relay ended: {e}");
        }
        drop(place);
    }

    /// Accepts connections until the future is dropped.
    pub async fn listen(&self, listener: TcpListener) {
        let mut acceptor = Acceptor::new(listener, "relay");
        loop {
            let (stream, from) = acceptor.next().await;
            let server = self.clone();
            tokio::spawn(async move {
                match accept_async(stream).await {
                    Ok(socket) => server.serve(socket.into_inner(), from).await,
                    Err(e) => tracing::debug!("a handshake with the relay failed: {e}"),
                }
            });
        }
    }
}

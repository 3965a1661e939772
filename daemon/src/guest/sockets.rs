//! Serving containers' Unix sockets.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use relay::Acceptor;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::{GuestServer, Guests, WRITE_WAIT, http};
use crate::runtime::Door;
use crate::stalls::Stalls;

/// How long a guest may take to send a request's head, the wait for its next request included.
const HEAD_WAIT: Duration = Duration::from_secs(60);
/// Longest head, in bytes: the least that the library takes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Most headers of a request.
const HEADERS_MAX: usize = 32;

impl GuestServer {
    /// Serves the sockets that come until there are no more.
    pub async fn serve_doors(self: Arc<Self>, mut doors: mpsc::Receiver<Door>) {
        while let Some(door) = doors.recv().await {
            let guests = Arc::clone(&self.guests);
            tokio::spawn(async move { serve_door(guests, door).await });
        }
    }
}

async fn serve_door(guests: Arc<Guests>, door: Door) {
    let Door { pubkey, listener, closed } = door;
    let mut acceptor = Acceptor::new(listener, format!("guest socket of {pubkey}"));
    loop {
        let stream = tokio::select! {
            () = closed.cancelled() => return,
            stream = acceptor.next() => stream,
        };
        let now_ms = guests.fleet.context().clock.now_ms();
        let Some(place) = guests.limits.opens(pubkey, now_ms) else {
            guests.floods.tell(pubkey, now_ms);
            continue;
        };
        let (guests, closed) = (Arc::clone(&guests), closed.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = closed.cancelled() => {}
                () = serve_connection(&guests, pubkey, stream) => {}
            }
            drop(place);
        });
    }
}

async fn serve_connection(guests: &Arc<Guests>, pubkey: nostr::key::PublicKey, stream: UnixStream) {
    let service = service_fn(|request| async move {
        Ok::<_, std::convert::Infallible>(http::answer(guests, pubkey, request).await)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Stalls::new(stream, WRITE_WAIT)), service)
        .await;
    if let Err(e) = served {
        tracing::debug!(container = %pubkey, "guest socket: {e}");
    }
}

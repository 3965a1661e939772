//! The guest API: what containers ask of the daemon, by two doors.
//!
//! One port on every container's gateway, admitted by source address *and* token: `/` is the reference's
//! WebSocket API; `/relay` is the internal relay, for built-ins only. And a Unix socket for each
//! container, mounted there and nowhere else, with HTTP.

mod derive;
mod fetch;
mod floods;
mod http;
mod limits;
mod methods;
mod refusal;
mod session;
mod sockets;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use relay::LocalRelayServer;
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::deploy::Fleet;
use crate::store::Container;
use protocol::guest::TOKEN_HEADER;

pub use fetch::{Fetcher, FetcherError};
use floods::Floods;
use limits::Limits;

/// Connections of all containers; each has a handful.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a guest may take over the handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);
/// Longest message on either door, in bytes; a session of the API refuses shorter ones already.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// What both doors have in common.
#[derive(Debug)]
struct Guests {
    fleet: Arc<Fleet>,
    limits: Limits,
    floods: Floods,
    fetcher: Fetcher,
}

/// Serves the guest API.
#[derive(Debug)]
pub struct GuestServer {
    guests: Arc<Guests>,
    relay: LocalRelayServer,
    places: Arc<Semaphore>,
}

/// What a guest asked to be connected to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Target {
    Api,
    Relay,
}

impl GuestServer {
    /// A server that is not yet listening.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>, relay: LocalRelayServer, fetcher: Fetcher) -> Arc<Self> {
        let limits = Limits::new(&fleet.context().config.guest);
        let guests = Arc::new(Guests { fleet, limits, floods: Floods::default(), fetcher });
        Arc::new(Self { guests, relay, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) })
    }

    /// Takes guests at their gateways until the listener breaks.
    ///
    /// # Errors
    /// What `accept` says.
    pub async fn listen(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        loop {
            let (stream, from) = listener.accept().await?;
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                tracing::warn!(%from, "guest API: more than {CONNECTIONS_MAX} connections; one was refused");
                continue;
            };
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                server.serve(stream, from).await;
                drop(place);
            });
        }
    }

    async fn serve(&self, stream: TcpStream, from: SocketAddr) {
        let ctx = self.guests.fleet.context();
        // Whoever is not a container's address gets no answer at all.
        let Some(container) = self.container_at(from.ip()) else {
            tracing::warn!(%from, "guest API: a stranger was refused");
            return;
        };
        let Some(_place) = self.guests.limits.connection(container.pubkey()) else {
            return self.guests.floods.tell(container.pubkey(), ctx.clock.now_ms());
        };
        if let Err(e) = stream.set_nodelay(true) {
            tracing::debug!("guest API: {e}");
            return;
        }
        let mut target = None;
        #[expect(clippy::result_large_err, reason = "the WebSocket library wants the whole response")]
        let admit = |request: &Request, response: Response| admit(&container, request, response, &mut target);
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX));
        let handshake = accept_hdr_async_with_config(stream, admit, Some(config));
        let socket = match tokio::time::timeout(HANDSHAKE_WAIT, handshake).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(e)) => {
                return tracing::warn!(container = %container.pubkey(), "guest API: a connection was refused: {e}");
            }
            Err(_) => return tracing::debug!(%from, "guest API: the handshake took too long"),
        };
        match target {
            Some(Target::Api) => session::run(&self.guests, container.pubkey(), socket).await,
            Some(Target::Relay) => self.relay.serve(socket.into_inner(), from).await,
            None => {}
        }
    }

    fn container_at(&self, address: IpAddr) -> Option<Container> {
        let IpAddr::V4(address) = address else { return None };
        let ctx = self.guests.fleet.context();
        let slot = ctx.runtime.slot_of(address)?;
        ctx.store.in_slot(slot).ok().flatten()
    }
}

/// The callback's shape is the library's.
#[expect(clippy::result_large_err, reason = "the WebSocket library wants the whole response")]
fn admit(
    container: &Container,
    request: &Request,
    response: Response,
    target: &mut Option<Target>,
) -> Result<Response, ErrorResponse> {
    let refuse = |status: StatusCode| {
        let mut response = ErrorResponse::new(None);
        *response.status_mut() = status;
        Err(response)
    };
    let token = request.headers().get(TOKEN_HEADER).map(|value| value.as_bytes()).unwrap_or_default();
    if !bool::from(token.ct_eq(container.token.expose().as_bytes())) {
        return refuse(StatusCode::UNAUTHORIZED);
    }
    *target = match request.uri().path() {
        "/" => Some(Target::Api),
        "/relay" if container.is_builtin() => Some(Target::Relay),
        _ => return refuse(StatusCode::NOT_FOUND),
    };
    Ok(response)
}

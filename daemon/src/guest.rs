//! The guest API: what containers ask of the daemon, by two doors.
//!
//! One port on every container's gateway, admitted by source address *and* token: `/` is the reference's
//! WebSocket API; `/relay` is the internal relay, for built-ins only. And a Unix socket for each
//! container, mounted there and nowhere else, with HTTP.

mod body;
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

use nostr::key::PublicKey;
use refusal::Refusal;
use relay::{Acceptor, LocalRelayServer};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::deploy::Fleet;
use crate::stalls::Stalls;
use crate::store::Container;
use protocol::guest::TOKEN_HEADER;

pub use fetch::{Fetcher, FetcherError};
use floods::Floods;
pub(crate) use limits::NAMES_AT_ONCE;
use limits::{Cost, Limits};

/// How long a guest may take over the handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);
/// Longest message on either door, in bytes; a session of the API refuses shorter ones already.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// What is read at once from a WebSocket, in bytes: each connection has room for it.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// How long a guest may read nothing of what is sent to it, on either door.
const WRITE_WAIT: Duration = Duration::from_secs(20);

/// What both doors have in common.
#[derive(Debug)]
struct Guests {
    fleet: Arc<Fleet>,
    limits: Limits,
    floods: Floods<PublicKey>,
    /// Networks from which too much is knocked.
    knocks: Floods<u16>,
    fetcher: Fetcher,
}

/// Serves the guest API.
#[derive(Debug)]
pub struct GuestServer {
    guests: Arc<Guests>,
    relay: LocalRelayServer,
}

impl Guests {
    /// Counts one request of a container, before it is read: what cannot be read costs as much.
    fn admit(&self, pubkey: PublicKey) -> Result<(), Refusal> {
        let now_ms = self.fleet.context().clock.now_ms();
        self.limits.take(&pubkey, Cost::Call, now_ms).inspect_err(|_| self.floods.tell(pubkey, now_ms))
    }
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
        let guests =
            Arc::new(Guests { fleet, limits, floods: Floods::default(), knocks: Floods::default(), fetcher });
        Arc::new(Self { guests, relay })
    }

    /// Takes guests at their gateways until the future is dropped. There are as many connections as containers
    /// may have of their own (`Limits::connection`): a bound of all together would let some shut out others,
    /// and the wallet with them.
    pub async fn listen(self: Arc<Self>, listener: TcpListener) {
        let mut acceptor = Acceptor::new(listener, "guest API");
        loop {
            let (stream, from) = acceptor.next().await;
            let server = Arc::clone(&self);
            tokio::spawn(async move { server.serve(stream, from).await });
        }
    }

    async fn serve(&self, stream: TcpStream, from: SocketAddr) {
        let now_ms = self.guests.fleet.context().clock.now_ms();
        // Whoever is not a container's address gets no answer at all. Who it is costs a look into the
        // database: it is looked for those who have not knocked too often.
        let Some(slot) = self.slot_at(from.ip()) else { return stranger(from) };
        let may = self.guests.limits.arrives(slot, now_ms);
        if !may && !self.guests.knocks.is_news(slot, now_ms) {
            return metrics::counter!("guest_connections_refused_total").increment(1);
        }
        let Some(container) = self.container_in(slot) else { return stranger(from) };
        if !may {
            return self.guests.floods.tell(container.pubkey(), now_ms);
        }
        let Some(_place) = self.guests.limits.connection(container.pubkey()) else {
            return self.guests.floods.tell(container.pubkey(), now_ms);
        };
        let mut target = None;
        #[expect(clippy::result_large_err, reason = "the WebSocket library wants the whole response")]
        let admit = |request: &Request, response: Response| admit(&container, request, response, &mut target);
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .read_buffer_size(READ_BUFFER_BYTES);
        let stream = Stalls::new(stream, WRITE_WAIT);
        let handshake = accept_hdr_async_with_config(stream, admit, Some(config));
        let socket = match tokio::time::timeout(HANDSHAKE_WAIT, handshake).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(e)) => {
                return self.guests.floods.tell_refused(container.pubkey(), &e, now_ms);
            }
            Err(_) => return tracing::debug!(%from, "guest API: the handshake took too long"),
        };
        match target {
            Some(Target::Api) => session::run(&self.guests, container.pubkey(), socket).await,
            Some(Target::Relay) => self.relay.serve(socket.into_inner(), from).await,
            None => {}
        }
    }

    fn slot_at(&self, address: IpAddr) -> Option<u16> {
        let IpAddr::V4(address) = address else { return None };
        self.guests.fleet.context().runtime.slot_of(address)
    }

    fn container_in(&self, slot: u16) -> Option<Container> {
        self.guests.fleet.context().store.in_slot(slot).ok().flatten()
    }
}

fn stranger(from: SocketAddr) {
    metrics::counter!("guest_connections_refused_total").increment(1);
    tracing::debug!(%from, "guest API: a stranger was refused");
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

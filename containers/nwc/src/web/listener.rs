//! Connections in bounded number and of bounded length, whatever is sent on them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use relay::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Of the connections at once, from one client: a browser opens a handful.
const CONNECTIONS_PER_CLIENT_MAX: u32 = 32;
/// The part of an IPv6 address that its holder was given; the rest it chooses.
const IPV6_NETWORK: u128 = !0 << 64;
/// How long a connection lasts: a payment is two requests. Also the end of whoever sends a byte now
/// and then.
const CONNECTION_LASTS: Duration = Duration::from_secs(30);

pub(super) struct Bounded {
    acceptor: Acceptor<TcpListener>,
    places: Arc<Semaphore>,
    clients: Clients,
}

/// Who has how many connections.
type Clients = Arc<Mutex<HashMap<IpAddr, u32>>>;

impl Bounded {
    /// At most so many connections at once; more wait in the kernel's queue.
    pub(super) fn new(listener: TcpListener, connections_max: u32) -> Self {
        let places = usize::try_from(connections_max).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            acceptor: Acceptor::new(listener, "Lightning addresses"),
            places: Arc::new(Semaphore::new(places)),
            clients: Clients::default(),
        }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // The semaphore is never closed.
            let place = Arc::clone(&self.places).acquire_owned().await.ok();
            let (stream, from) = self.acceptor.next().await;
            let Some(client) = ClientPlace::take(&self.clients, client_of(from.ip())) else {
                tracing::debug!(%from, "a connection was refused: its client has as many as one may");
                continue;
            };
            let ends = Box::pin(tokio::time::sleep(CONNECTION_LASTS));
            return (Connection { stream, ends, _place: place, _client: client }, from);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.acceptor.listener().local_addr()
    }
}

/// Whom an address stands for: itself, or the network that an IPv6 address is one of very many of.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK)),
        address @ IpAddr::V4(_) => address,
    }
}

/// One of a client's connections.
struct ClientPlace {
    clients: Clients,
    client: IpAddr,
}

impl ClientPlace {
    fn take(clients: &Clients, client: IpAddr) -> Option<Self> {
        let mut all = clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(client).or_insert(0);
        let has_place = *count < CONNECTIONS_PER_CLIENT_MAX;
        if has_place {
            *count += 1;
        }
        has_place.then(|| Self { clients: Arc::clone(clients), client })
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut all = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let left = all.get(&self.client).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            all.remove(&self.client);
        } else {
            all.insert(self.client, left);
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(client_of(stream.remote_addr().ip()))
    }
}

pub(super) struct Connection {
    stream: TcpStream,
    ends: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
    _client: ClientPlace,
}

impl Connection {
    fn check_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.ends.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_time(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_time(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_time(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_is_an_ipv4_address_or_an_ipv6_network() {
        let of = |text: &str| client_of(text.parse().unwrap()).to_string();
        assert_eq!((of("192.0.2.7"), of("::ffff:192.0.2.7")), ("192.0.2.7".into(), "192.0.2.7".into()));
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2:ffff::"), of("2001:db8:1:2::1"));
    }

    #[test]
    fn client_has_so_many_connections_and_others_have_theirs() {
        let (clients, one, other) =
            (Clients::default(), client_of([192, 0, 2, 1].into()), client_of([192, 0, 2, 2].into()));
        let mut taken: Vec<_> =
            (0..CONNECTIONS_PER_CLIENT_MAX).map(|_| ClientPlace::take(&clients, one)).collect();
        assert!(taken.iter().all(Option::is_some) && ClientPlace::take(&clients, one).is_none());
        assert!(ClientPlace::take(&clients, other).is_some());
        taken.pop();
        assert!(ClientPlace::take(&clients, one).is_some());
        taken.clear();
        assert!(clients.lock().unwrap().is_empty(), "who is gone is forgotten");
    }
}

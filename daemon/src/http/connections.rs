//! Connections: so many at once and from one address, and none that only sits there.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use relay::Acceptor;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::stalls::Stalls;

/// Where proxies name who asks.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// What the kernel keeps of an answer that is not read: who does not read is noticed behind it.
const SEND_BUFFER_BYTES: u32 = 64 * 1024;
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1_024;

/// How much connections may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at once; each takes some tens of kilobytes.
    pub(super) all: usize,
    /// Connections from one address: a few browsers behind one router.
    pub(super) per_address: usize,
    /// How long a client may take to send what stands before the body, the next request of a connection
    /// included.
    pub(super) header_wait: Duration,
    /// How long a client may read nothing of what is sent to it.
    pub(super) write_wait: Duration,
    /// How long a connection is kept. Streams on it are told of the end.
    pub(super) age: Duration,
    /// How long what is under way may take once a connection is to end.
    pub(super) end_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            all: 512,
            per_address: 64,
            header_wait: Duration::from_secs(20),
            write_wait: Duration::from_secs(20),
            age: Duration::from_secs(3_600),
            end_wait: Duration::from_secs(10),
        }
    }
}

/// By which connection a request came.
#[derive(Clone, Debug)]
pub(super) struct Via {
    /// From where.
    pub(super) from: SocketAddr,
    /// True once the connection is to end.
    pub(super) closing: watch::Receiver<bool>,
}

/// The connections that there are.
#[derive(Debug)]
pub(super) struct Connections {
    limits: Limits,
    /// Who speaks for many, is not limited as one, and is believed for whom it speaks.
    proxies: Vec<IpAddr>,
    places: Arc<Semaphore>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    ending: watch::Sender<bool>,
}

/// The place of one connection.
struct Place {
    all: Arc<Connections>,
    address: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

/// Listens at an address.
///
/// # Errors
/// What the kernel says.
pub(crate) fn listen(at: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // What is accepted has it from the listener.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

/// What counts as one address: in IPv6 a client has a whole network of them.
pub(super) fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            Ipv6Addr::from(network).into()
        }
    }
}

/// An address as proxies write it: with a port or without.
fn address_in(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|at| at.ip()))
}

impl Connections {
    pub(super) fn new(limits: Limits, proxies: Vec<IpAddr>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            proxies,
            places: Arc::new(Semaphore::new(limits.all)),
            by_address: Mutex::default(),
            ending: watch::Sender::new(false),
        })
    }

    /// What limits count a client by; nothing, if it speaks for many.
    pub(super) fn counted(&self, from: IpAddr) -> Option<IpAddr> {
        Some(from.to_canonical()).filter(|from| !self.proxies.contains(from)).map(origin)
    }

    /// What limits count whoever asks by: the other end of the connection or, if that speaks for many, whom it
    /// names last. Each proxy writes behind what it was sent who sent it; what stands before that, anybody can
    /// have written.
    pub(super) fn counted_client(&self, from: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        if let Some(address) = self.counted(from) {
            return Some(address);
        }
        let lines: Vec<_> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .map(|line| String::from_utf8_lossy(line.as_bytes()))
            .collect();
        let named = lines.iter().flat_map(|line| line.split(','));
        let named: Vec<_> = named.map(|one| address_in(one.trim())).collect();
        // From the last one on, over proxies of ours, to who is none.
        for address in named.into_iter().rev() {
            if let Some(address) = self.counted(address?) {
                return Some(address);
            }
        }
        None
    }

    /// Accepts until the end. Never waits for a place: who finds none is closed at once, so that those who
    /// have all places keep nobody else from being counted.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener, router: Router) {
        let (mut ending, mut acceptor) = (self.ending.subscribe(), Acceptor::new(listener, "HTTP"));
        loop {
            let (stream, from) = tokio::select! {
                _ = ending.wait_for(|ends| *ends) => return,
                accepted = acceptor.next() => accepted,
            };
            let Some(place) = self.place(from.ip()) else {
                metrics::counter!("http_connections_refused_total").increment(1);
                continue;
            };
            let (all, router) = (Arc::clone(&self), router.clone());
            tokio::spawn(async move {
                all.connection(stream, from, router).await;
                drop(place);
            });
        }
    }

    fn place(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let address = self.counted(from);
        if let Some(address) = address {
            let mut by_address = self.lock();
            let own = by_address.entry(address).or_default();
            if *own >= self.limits.per_address {
                return None;
            }
            *own += 1;
        }
        Some(Place { all: Arc::clone(self), address, _permit: permit })
    }

    async fn connection(&self, stream: TcpStream, from: SocketAddr, router: Router) {
        drop(stream.set_nodelay(true));
        let (close, closing) = watch::channel(false);
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Via { from, closing: closing.clone() });
            hyper::service::Service::call(&router, request.map(Body::new))
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_wait)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(Stalls::new(stream, self.limits.write_wait)), service);
        tokio::pin!(served);
        let mut ending = self.ending.subscribe();
        let outcome = tokio::select! {
            served = &mut served => served,
            () = async { tokio::select! {
                _ = ending.wait_for(|ends| *ends) => {}
                () = tokio::time::sleep(self.limits.age) => {}
            } } => {
                close.send_replace(true);
                served.as_mut().graceful_shutdown();
                match tokio::time::timeout(self.limits.end_wait, served).await {
                    Ok(outcome) => outcome,
                    Err(_) => return,
                }
            }
        };
        if let Err(e) = outcome {
            tracing::debug!(%from, "HTTP: {e}");
        }
    }

    /// Accepts nothing more, and lets what is under way come to its end.
    pub(super) fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Waits until there is no connection.
    pub(super) async fn drain(&self) {
        let all = u32::try_from(self.limits.all).unwrap_or(u32::MAX);
        drop(self.places.acquire_many(all).await);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut by_address = self.all.lock();
        match by_address.get_mut(&address) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(by_address.remove(&address)),
        }
    }
}

#[cfg(test)]
mod tests;

//! Relays and helpers that the tests share.

use std::net::SocketAddr;
use std::time::Duration;

use nostr::event::Kind;
use nostr::key::Keys;
use protocol::event::{CheckedEvent, sign};
use relay::{LocalRelayLimits, LocalRelayServer, Pool};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use units::UnixSecs;

/// Longest wait for anything on loopback.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A relay that can be stopped and started again at the same address.
pub(crate) struct TestRelay {
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl TestRelay {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = bind(address).await;
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let server = LocalRelayServer::new(LocalRelayLimits::default());
            server.listen(listener).await;
        });
        Self { address, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) async fn stop(self) -> SocketAddr {
        self.serving.abort();
        assert!(self.serving.await.unwrap_err().is_cancelled());
        self.address
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(64).unwrap()
}

pub(crate) async fn connected(urls: &[String]) -> Pool {
    let pool = Pool::connect(urls.to_vec()).await.unwrap();
    assert!(pool.wait_connected(SOON).await);
    pool
}

pub(crate) fn note(keys: &Keys, text: &str, at: u64) -> CheckedEvent {
    sign(keys, Kind::TextNote, UnixSecs(at), Vec::new(), text.to_owned()).unwrap()
}

/// Waits for `future`, or fails the test with `what`.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"))
}

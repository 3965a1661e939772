//! A cable to the relay, which can be pulled.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Carries connections to the relay while it is plugged in.
#[derive(Debug)]
pub(super) struct Cable {
    address: SocketAddr,
    relay: SocketAddr,
    carrying: Option<JoinHandle<()>>,
}

impl Cable {
    pub(super) async fn new(address: SocketAddr, relay: SocketAddr) -> Result<Self> {
        let mut cable = Self { address, relay, carrying: None };
        cable.plug().await?;
        Ok(cable)
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn plug(&mut self) -> Result<()> {
        self.pull().await;
        let listener = TcpListener::bind(self.address).await.with_context(|| self.address.to_string())?;
        self.carrying = Some(tokio::spawn(carry(listener, self.relay)));
        Ok(())
    }

    /// Every connection ends at once.
    pub(super) async fn pull(&mut self) {
        if let Some(carrying) = self.carrying.take() {
            carrying.abort();
            // Its connections are closed when it is gone, which is not at once.
            drop(carrying.await);
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        if let Some(carrying) = &self.carrying {
            carrying.abort();
        }
    }
}

async fn carry(listener: TcpListener, relay: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((mut near, _)) = listener.accept() => {
                connections.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(relay).await else { return };
                    // Requests are small, and waited for.
                    drop((near.set_nodelay(true), far.set_nodelay(true)));
                    drop(copy_bidirectional(&mut near, &mut far).await);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

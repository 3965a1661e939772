//! Turning a name into addresses.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

/// The answer of a [`Lookup`], in the making.
pub type LookupFuture = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// A resolver of names. Its answers are not trusted: the guard checks each address.
pub trait Lookup: fmt::Debug + Send + Sync {
    /// All addresses of `name`, a valid DNS name.
    fn lookup(&self, name: &str) -> LookupFuture;
}

/// The resolver of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: &str) -> LookupFuture {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|socket: SocketAddr| socket.ip()).collect())
        })
    }
}

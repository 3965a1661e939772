//! What it means that a process has come up.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::log::Log;

/// How long one connection attempt may hang before the next look at the process.
const ATTEMPT: Duration = Duration::from_millis(250);

/// The sign that a process has come up.
#[derive(Clone, Debug)]
pub enum Ready {
    /// The Unix socket at this path accepts connections (a file left by a predecessor does not).
    Unix(PathBuf),
    /// This address accepts connections.
    Tcp(SocketAddr),
    /// The process has written a line that contains this text.
    LogLine(String),
}

impl Ready {
    pub(super) async fn is_met(&self, log: &Log) -> bool {
        match self {
            Self::Unix(path) => matches!(timeout(ATTEMPT, UnixStream::connect(path)).await, Ok(Ok(_))),
            Self::Tcp(address) => matches!(timeout(ATTEMPT, TcpStream::connect(address)).await, Ok(Ok(_))),
            Self::LogLine(text) => log.contains(text),
        }
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "accepting connections at {}", path.display()),
            Self::Tcp(address) => write!(f, "accepting connections at {address}"),
            Self::LogLine(text) => write!(f, "logging {text:?}"),
        }
    }
}

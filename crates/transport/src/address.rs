//! Where a stream goes, as configuration writes it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The other end of a stream.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum StreamAddress {
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `vsock:CID:PORT`; the parent's CID is 3 on AWS. A listener's CID is ignored.
    Vsock {
        /// Context id.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// `hybrid:PATH:PORT`: a vsock port behind a Unix socket of the virtual machine monitor, which is
    /// told `CONNECT PORT` first. Connecting only.
    Hybrid {
        /// The monitor's socket.
        path: PathBuf,
        /// vsock port in the guest.
        port: u32,
    },
    /// `tcp:ADDRESS:PORT`.
    Tcp(SocketAddr),
}

/// An address that cannot be read.
#[derive(Debug, Error)]
#[error("{0:?} is not an address: use unix:PATH, vsock:CID:PORT, hybrid:PATH:PORT or tcp:ADDRESS:PORT")]
pub struct AddressError(String);

impl FromStr for StreamAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).ok_or_else(|| AddressError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<StreamAddress> {
    let (scheme, rest) = text.split_once(':')?;
    match scheme {
        "unix" if !rest.is_empty() => Some(StreamAddress::Unix(rest.into())),
        "vsock" => {
            let (cid, port) = rest.split_once(':')?;
            Some(StreamAddress::Vsock { cid: cid.parse().ok()?, port: port.parse().ok()? })
        }
        "hybrid" => {
            let (path, port) = rest.rsplit_once(':')?;
            let path = (!path.is_empty()).then(|| PathBuf::from(path))?;
            Some(StreamAddress::Hybrid { path, port: port.parse().ok()? })
        }
        "tcp" => Some(StreamAddress::Tcp(rest.parse().ok()?)),
        _ => None,
    }
}

impl fmt::Display for StreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Hybrid { path, port } => write!(f, "hybrid:{}:{port}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

impl TryFrom<String> for StreamAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<StreamAddress> for String {
    fn from(address: StreamAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print() {
        for text in [
            "unix:/run/parent.sock",
            "vsock:3:5000",
            "hybrid:/run/vm.sock:7",
            "tcp:127.0.0.1:80",
            "tcp:[::1]:80",
        ] {
            assert_eq!(text.parse::<StreamAddress>().unwrap().to_string(), text);
        }
        for text in
            ["", "unix:", "vsock:3", "vsock:-1:5", "hybrid::7", "tcp:localhost:80", "http://x", "/run/x"]
        {
            assert!(text.parse::<StreamAddress>().is_err(), "{text}");
        }
    }
}

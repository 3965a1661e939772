//! Byte streams, whatever carries them.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};

use crate::StreamAddress;

/// A connection is made at once or not at all on one host; the wait covers a peer that is starting.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// `OK 4294967295\n` is the longest answer of a virtual machine monitor.
const HYBRID_ANSWER_BYTES_MAX: usize = 32;

/// A connected byte stream.
pub type Stream = Box<dyn ByteStream>;

/// Anything that is read and written.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Connects to `address`.
///
/// # Errors
/// What the operating system says, or `TimedOut` after 5 s.
pub async fn connect(address: &StreamAddress) -> io::Result<Stream> {
    tokio::time::timeout(CONNECT_WAIT, connect_now(address)).await?
}

async fn connect_now(address: &StreamAddress) -> io::Result<Stream> {
    Ok(match address {
        StreamAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
        StreamAddress::Vsock { cid, port } => {
            Box::new(VsockStream::connect(VsockAddr::new(*cid, *port)).await?)
        }
        StreamAddress::Hybrid { path, port } => connect_hybrid(path, *port).await?,
        StreamAddress::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    })
}

async fn connect_hybrid(path: &Path, port: u32) -> io::Result<Stream> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(format!("CONNECT {port}\n").as_bytes()).await?;
    // Byte by byte: what follows the line already belongs to the stream.
    let mut answer = Vec::new();
    while answer.last() != Some(&b'\n') && answer.len() < HYBRID_ANSWER_BYTES_MAX {
        answer.push(stream.read_u8().await?);
    }
    if !answer.starts_with(b"OK ") {
        return Err(io::Error::new(
            io::ErrorKind::ConnectionRefused,
            format!("no listener on vsock port {port}"),
        ));
    }
    Ok(Box::new(stream))
}

/// A socket that takes connections.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Unix(UnixListener),
    Vsock(VsockListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Binds to `address`. A Unix socket is made readable by its user only, and replaces a stale one.
    ///
    /// # Errors
    /// What the operating system says; `Unsupported` for a hybrid address.
    pub async fn bind(address: &StreamAddress) -> io::Result<Self> {
        Ok(Self(match address {
            StreamAddress::Unix(path) => {
                remove_stale(path).await?;
                let listener = UnixListener::bind(path)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
                Kind::Unix(listener)
            }
            StreamAddress::Vsock { port, .. } => {
                Kind::Vsock(VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, *port))?)
            }
            StreamAddress::Tcp(address) => Kind::Tcp(TcpListener::bind(address).await?),
            StreamAddress::Hybrid { .. } => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "a hybrid address can only be connected to",
                ));
            }
        }))
    }

    /// Takes the next connection.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn accept(&self) -> io::Result<Stream> {
        Ok(match &self.0 {
            Kind::Unix(listener) => Box::new(listener.accept().await?.0),
            Kind::Vsock(listener) => Box::new(listener.accept().await?.0),
            Kind::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }
}

/// Removes a socket that nobody listens on; one that somebody does is left, and `bind` will say so.
async fn remove_stale(path: &Path) -> io::Result<()> {
    if path.exists() && UnixStream::connect(path).await.is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

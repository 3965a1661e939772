//! Byte streams, whatever carries them.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};

use crate::StreamAddress;

/// A connection is made at once or not at all on one host; the wait covers a peer that is starting.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// `OK 4294967295\n` is the longest answer of a virtual machine monitor.
const HYBRID_ANSWER_BYTES_MAX: usize = 32;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;
/// How long nothing is accepted after a failure: until another connection ends and gives its descriptor back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    /// Binds to `address`. A Unix socket is its user's only from the moment it is there, and replaces a stale one.
    ///
    /// # Errors
    /// What the operating system says; `Unsupported` for a hybrid address; `AlreadyExists` if there is
    /// something else than a socket.
    pub async fn bind(address: &StreamAddress) -> io::Result<Self> {
        Ok(Self(match address {
            StreamAddress::Unix(path) => {
                remove_stale(path).await?;
                Kind::Unix(bind_private(path)?)
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
                // It fails if the other end has gone, which the first read says, too.
                drop(stream.set_nodelay(true));
                Box::new(stream)
            }
        })
    }

    /// Takes the next connection that can be taken: one that went before it was accepted, or a moment without
    /// descriptors or memory, is no reason to serve nobody any more.
    ///
    /// # Errors
    /// What the operating system says of the listener itself.
    pub(crate) async fn accept_next(&self) -> io::Result<Stream> {
        let mut is_told = false;
        loop {
            match self.accept().await {
                Ok(stream) => return Ok(stream),
                Err(e) if is_lasting(&e) => return Err(e),
                Err(e) => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!("no connection can be accepted for a moment: {e}");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Whether `accept` fails because of the listener (accept(2)), and so will fail again.
fn is_lasting(error: &io::Error) -> bool {
    let lasting = [Errno::EBADF, Errno::EINVAL, Errno::ENOTSOCK, Errno::EOPNOTSUPP];
    error.raw_os_error().is_some_and(|errno| lasting.contains(&Errno::from_raw(errno)))
}

/// Binds a socket that is its user's only. On Linux the file gets the mode that its socket has, so that there
/// is no moment in which others could connect.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    let descriptor = socket.as_fd().try_clone_to_owned()?;
    File::from(descriptor).set_permissions(Permissions::from_mode(0o600))?;
    socket.bind(path)?;
    socket.listen(BACKLOG)
}

/// Removes a socket that nobody listens on; one that somebody does is left, and `bind` will say so. What is no
/// socket is somebody's file, and stays.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let there = match path.symlink_metadata() {
        Ok(there) => there,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if !there.file_type().is_socket() {
        let problem =
            format!("{} is there and is no socket; name another path or move it away", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
    }
    if UnixStream::connect(path).await.is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

//! A module behind a Unix socket: one thread for each connection, one [`frame`] for each message.
//!
//! ```text
//! bind beside the path ── listen ── rename to the path ──► accept ──► thread: read, answer, read, …
//!                                   (whoever sees the socket can connect)
//! ```

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use attestation::nsm::{REQUEST_BYTES_MAX, frame};

use crate::{ServeError, SimNsm};

/// Each connection has a thread; an enclave's programs need a handful. One more is closed at once.
const CONNECTIONS_MAX: usize = 64;
/// Requests up to twice what a device takes are read, to be told that they are too large; beyond that
/// the connection is closed.
const FRAME_BYTES_MAX: usize = 2 * REQUEST_BYTES_MAX;

/// Distinguishes the servers of one process.
static SERVERS: AtomicU32 = AtomicU32::new(0);

/// A socket that listens, and serves nobody yet.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

/// A server at work. Dropped, it closes every connection and removes its socket.
#[derive(Debug)]
pub struct ServerHandle {
    shared: Arc<Shared>,
    path: PathBuf,
    inode: u64,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    nsm: Arc<SimNsm>,
    is_stopped: AtomicBool,
    connections: Mutex<HashMap<u64, UnixStream>>,
}

impl Server {
    /// Listens at `path`, in place of a socket that somebody left there.
    ///
    /// # Errors
    /// [`ServeError`] if something listens there already, or if the socket cannot be made.
    pub fn bind(path: &Path) -> Result<Self, ServeError> {
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(ServeError::NotASocket { path: path.to_owned() });
            }
            Ok(_) if UnixStream::connect(path).is_ok() => {
                return Err(ServeError::InUse { path: path.to_owned() });
            }
            Ok(_) | Err(_) => {}
        }
        // A socket that listens before it has its name: nobody is refused who can see it. The other name
        // is short, because the path of a socket may not have more than 107 bytes.
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let unnamed = path.with_file_name(format!(".{:x}-{number:x}", std::process::id()));
        let bind = || -> io::Result<(UnixListener, u64)> {
            match fs::remove_file(&unnamed) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let listener = UnixListener::bind(&unnamed)?;
            let inode = fs::symlink_metadata(&unnamed)?.ino();
            fs::rename(&unnamed, path)?;
            Ok((listener, inode))
        };
        match bind() {
            Ok((listener, inode)) => Ok(Self { listener, path: path.to_owned(), inode }),
            Err(source) => {
                // Whatever was made under the other name must not stay; the error is the one above.
                let _ = fs::remove_file(&unnamed);
                Err(ServeError::Listen { path: path.to_owned(), source })
            }
        }
    }

    /// Serves `nsm` on threads of its own until the handle is dropped.
    ///
    /// # Errors
    /// [`ServeError::Listen`] if no thread can be started.
    pub fn serve(self, nsm: Arc<SimNsm>) -> Result<ServerHandle, ServeError> {
        let Self { listener, path, inode } = self;
        let shared =
            Arc::new(Shared { nsm, is_stopped: AtomicBool::new(false), connections: Mutex::default() });
        let accepting = Arc::clone(&shared);
        let spawned = thread::Builder::new().name("accept".to_owned()).spawn(move || {
            accept(&listener, &accepting);
        });
        // Made first, so that a failure below removes the socket.
        let mut handle = ServerHandle { shared, path: path.clone(), inode, acceptor: None };
        match spawned {
            Ok(acceptor) => {
                handle.acceptor = Some(acceptor);
                Ok(handle)
            }
            Err(source) => Err(ServeError::Listen { path, source }),
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the acceptor. Errors here have nobody to go to, and change nothing that follows.
        let was_woken = UnixStream::connect(&self.path).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| was_woken) {
            let _ = acceptor.join();
        }
        for stream in self.shared.connections().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Only our own socket: another server may have taken the path over.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, HashMap<u64, UnixStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for (number, stream) in (0_u64..).zip(listener.incoming()) {
        if shared.is_stopped() {
            return;
        }
        // A connection that failed before it was accepted is nobody's; the next one may be fine.
        let Ok(stream) = stream else { continue };
        let Ok(known) = stream.try_clone() else { continue };
        let mut connections = shared.connections();
        if connections.len() >= CONNECTIONS_MAX {
            continue;
        }
        connections.insert(number, known);
        drop(connections);
        let serving = Arc::clone(shared);
        let spawned = thread::Builder::new().name(format!("connection {number}")).spawn(move || {
            answer_all(stream, &serving.nsm);
            serving.connections().remove(&number);
        });
        if spawned.is_err() {
            shared.connections().remove(&number);
        }
    }
}

/// Answers until the other side goes away or sends what is no message.
fn answer_all(mut stream: UnixStream, nsm: &SimNsm) {
    while let Ok(Some(request)) = frame::read(&mut stream, FRAME_BYTES_MAX) {
        if frame::write(&mut stream, &nsm.handle_bytes(&request)).is_err() {
            return;
        }
    }
}

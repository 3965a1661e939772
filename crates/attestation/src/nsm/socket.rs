//! An NSM behind a Unix socket: the device's own messages, each in a [`frame`].

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use units::Stopwatch;

use super::{NsmError, NsmProvider, NsmRequest, NsmResponse, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX, frame};

/// How long one call may take. The device needs milliseconds; the rest is a machine under load.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// An NSM that listens at a path. Connects at the first call, and again when the other side went away.
#[derive(Debug)]
pub struct SocketNsm {
    path: PathBuf,
    timeout: Duration,
    /// One connection, one call at a time: so answers cannot be mixed up.
    connection: Mutex<Option<UnixStream>>,
}

impl SocketNsm {
    /// Will connect to the socket at `path`.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), timeout: CALL_TIMEOUT, connection: Mutex::new(None) }
    }

    fn connect(&self) -> Result<UnixStream, NsmError> {
        // The kernel lets a local connection wait only while the listener's queue is full.
        UnixStream::connect(&self.path).map_err(|source| NsmError::Open { path: self.path.clone(), source })
    }

    /// Sends one message and waits for the answer.
    fn call(&self, stream: &UnixStream, message: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = Timed { stream, timeout: self.timeout, since: Stopwatch::start() };
        frame::write(&mut stream, message)?;
        frame::read(&mut stream, RESPONSE_BYTES_MAX)?.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }
}

impl NsmProvider for SocketNsm {
    fn process(&self, request: &NsmRequest) -> Result<NsmResponse, NsmError> {
        let message = request.encode();
        if message.len() > REQUEST_BYTES_MAX {
            return Err(NsmError::RequestTooLarge { length: message.len() });
        }
        // A connection is taken out while it is used and put back after an answer: whatever fails or
        // panics in between leaves none behind.
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = slot.take();
        let was_kept = kept.is_some();
        let mut stream = kept.map_or_else(|| self.connect(), Ok)?;
        let answer = match self.call(&stream, &message) {
            Err(error) if was_kept && is_repeatable(request) && went_away(&error) => {
                stream = self.connect()?;
                self.call(&stream, &message)
            }
            other => other,
        };
        let answer = answer.map_err(|error| {
            // A blocking socket reports a passed deadline as either.
            if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                NsmError::Timeout { timeout_secs: self.timeout.as_secs() }
            } else {
                NsmError::Io(error)
            }
        })?;
        *slot = Some(stream);
        NsmResponse::decode(&answer).map_err(NsmError::Malformed)
    }
}

/// True if asking twice does what asking once does. A register is extended once for each request, and
/// whether a lost one was carried out cannot be known.
const fn is_repeatable(request: &NsmRequest) -> bool {
    match request {
        NsmRequest::DescribePcr { .. }
        | NsmRequest::DescribeNsm
        | NsmRequest::Attestation { .. }
        | NsmRequest::GetRandom => true,
        NsmRequest::ExtendPcr { .. } | NsmRequest::LockPcr { .. } | NsmRequest::LockPcrs { .. } => false,
    }
}

/// True if the other side closed the connection, as a restarted one has.
fn went_away(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

/// A stream whose reads and writes together may take so long.
struct Timed<'s> {
    stream: &'s UnixStream,
    timeout: Duration,
    since: Stopwatch,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.timeout.checked_sub(self.since.elapsed()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            _ => Err(ErrorKind::TimedOut.into()),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

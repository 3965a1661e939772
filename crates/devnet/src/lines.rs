//! Lines of JSON that one of our processes writes for another, read with a deadline.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Lines read ahead of the reader; no writer here sends more than three.
const AHEAD_MAX: usize = 4;
/// The longest line: a report of everything that went wrong.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// The reading end. The mutex is never locked: it makes the end, and the box that holds it, one that
/// tasks can share.
#[derive(Debug)]
pub(crate) struct Lines(Mutex<Receiver<Vec<u8>>>);

impl Lines {
    /// Reads from `input` in a thread, which ends with the input.
    pub(crate) fn from_pipe(input: impl Read + Send + 'static) -> Result<Self> {
        let (sender, receiver) = sync_channel(AHEAD_MAX);
        let read = move || {
            let mut input = BufReader::new(input);
            loop {
                let mut line = Vec::new();
                let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
                if !matches!(read, Ok(1..)) || sender.send(line).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("lines".to_owned()).spawn(read).context("cannot start a thread")?;
        Ok(Self(Mutex::new(receiver)))
    }

    /// The next line. `writer` names who should have written it.
    pub(crate) fn next<T: DeserializeOwned>(&mut self, writer: &str, deadline: Duration) -> Result<T> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        let lines = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        match lines.recv_timeout(deadline) {
            Ok(line) => serde_json::from_slice(&line).with_context(|| {
                format!("{writer} wrote no message: {}", String::from_utf8_lossy(&line).trim_end())
            }),
            Err(Disconnected) => bail!("{writer} ended without a message (see standard error)"),
            Err(Timeout) => bail!("{writer} said nothing in {deadline:?}"),
        }
    }
}

/// Writes a line to standard output.
pub(crate) fn write_line<T: Serialize>(message: &T) -> Result<()> {
    let mut line = serde_json::to_vec(message).context("cannot encode a message")?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush()).context("nobody reads our standard output")
}

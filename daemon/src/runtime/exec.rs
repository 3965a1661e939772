//! A command of the owner's in a container, where the launch asked for that.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::StreamExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::ExecReply;
use protocol::rpc::json_end;
use thiserror::Error;
use tokio::sync::Notify;

use super::error::is_status;
use super::{Runtime, RuntimeError, plan};
use crate::store::Container;

/// What is kept of each of a command's outputs, in bytes.
const OUTPUT_BYTES_MAX: usize = 8 * 1024;
/// What each may take in JSON, where a byte that is no text takes up to six: both fit into an event.
const ESCAPED_BYTES_MAX: usize = 24 * 1024;
/// Commands under way on the server: each holds a connection to the engine.
const UNDER_WAY_MAX: usize = 32;

/// A command gave no result.
#[derive(Debug, Error)]
pub enum ExecError {
    /// Another command runs in this container, or too many in all.
    #[error("another command is under way")]
    Busy,
    /// The container is another's by now.
    #[error("the container belongs to another key by now")]
    NotAllowed,
    /// The container does not run.
    #[error("the container does not run")]
    NotRunning,
    /// It did not end in time, and was killed.
    #[error("the command did not end in time")]
    Timeout,
    /// The engine failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl From<bollard::errors::Error> for ExecError {
    fn from(error: bollard::errors::Error) -> Self {
        match error {
            e if is_status(&e, 404) || is_status(&e, 409) => Self::NotRunning,
            e => Self::Runtime(e.into()),
        }
    }
}

/// The containers in which a command runs.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    all: Mutex<HashSet<PublicKey>>,
    ended: Notify,
}

/// The right to run a command in a container, until it is dropped.
#[derive(Debug)]
pub struct ExecPlace<'u>(&'u UnderWay, PublicKey);

impl UnderWay {
    fn begin(&self, pubkey: PublicKey) -> Option<ExecPlace<'_>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = all.len() < UNDER_WAY_MAX && all.insert(pubkey);
        fits.then_some(())?;
        Some(ExecPlace(self, pubkey))
    }

    /// Waits until no command runs in this container.
    async fn none(&self, pubkey: &PublicKey) {
        loop {
            // Heard of from here on, so that none ends between the look and the wait.
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if !self.all.lock().unwrap_or_else(PoisonError::into_inner).contains(pubkey) {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for ExecPlace<'_> {
    fn drop(&mut self) {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
        self.0.ended.notify_waiters();
    }
}

impl Runtime {
    /// Takes a place for a command in a container.
    ///
    /// # Errors
    /// [`ExecError::Busy`].
    pub fn exec_place(&self, container: &Container) -> Result<ExecPlace<'_>, ExecError> {
        self.execs.begin(container.pubkey()).ok_or(ExecError::Busy)
    }

    /// Waits until no command runs in a container that was stopped: none that began before begins after.
    pub async fn execs_ended(&self, pubkey: &PublicKey) {
        self.execs.none(pubkey).await;
    }

    /// Runs a program in the container of `place`, as its user, with its limits and without a shell; not if
    /// `is_allowed` says by then that it may not be.
    ///
    /// # Errors
    /// [`ExecError`].
    pub async fn exec(
        &self,
        place: ExecPlace<'_>,
        command: Vec<String>,
        wait: Duration,
        is_allowed: impl Fn() -> bool + Send,
    ) -> Result<ExecReply, ExecError> {
        // Whoever takes the container over waits for this place, or has it taken over already.
        if !is_allowed() {
            return Err(ExecError::NotAllowed);
        }
        let name = plan::container_name(&place.1);
        let options = CreateExecOptions {
            cmd: Some(command),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..CreateExecOptions::default()
        };
        let id = self.docker().create_exec(&name, options).await?.id;
        match tokio::time::timeout(wait, self.run(&id)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.kill(&id).await?;
                Err(ExecError::Timeout)
            }
        }
    }

    async fn run(&self, id: &str) -> Result<ExecReply, ExecError> {
        let started = self.docker().start_exec(id, None::<StartExecOptions>).await?;
        let (mut stdout, mut stderr) = (Kept::default(), Kept::default());
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(chunk) = output.next().await {
                match chunk? {
                    LogOutput::StdOut { message } | LogOutput::Console { message } => stdout.take(&message),
                    LogOutput::StdErr { message } => stderr.take(&message),
                    LogOutput::StdIn { .. } => {}
                }
            }
        }
        let exit_code = self.docker().inspect_exec(id).await?.exit_code.unwrap_or(-1);
        Ok(reply(exit_code, &stdout, &stderr))
    }

    /// The engine has no way to end a command; its process has a number on this machine.
    async fn kill(&self, id: &str) -> Result<(), ExecError> {
        let inspected = self.docker().inspect_exec(id).await?;
        let pid = inspected.pid.filter(|pid| *pid > 1 && inspected.running == Some(true));
        if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok())
            && let Err(e) = kill(Pid::from_raw(pid), Signal::SIGKILL)
        {
            tracing::warn!("a command that took too long was not killed: {e}");
        }
        Ok(())
    }
}

/// The beginning of an output.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    more: bool,
}

impl Kept {
    fn take(&mut self, bytes: &[u8]) {
        let room = OUTPUT_BYTES_MAX - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.more |= bytes.len() > room;
    }

    /// The text, and whether more was written.
    fn text(&self) -> (String, bool) {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        let end = json_end(&text, ESCAPED_BYTES_MAX);
        let is_cut = end < text.len();
        text.truncate(end);
        (text, self.more || is_cut)
    }
}

fn reply(exit_code: i64, stdout: &Kept, stderr: &Kept) -> ExecReply {
    let ((stdout, more_stdout), (stderr, more_stderr)) = (stdout.text(), stderr.text());
    ExecReply { exit_code, stdout, stderr, truncated: more_stdout || more_stderr }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_and_says_so() {
        let mut kept = Kept::default();
        kept.take(&[b'x'; OUTPUT_BYTES_MAX - 1]);
        assert!(!kept.more);
        kept.take(b"yz");
        kept.take(b"more");
        let (text, is_cut) = kept.text();
        assert_eq!((text.len(), is_cut), (OUTPUT_BYTES_MAX, true));
        assert!(text.ends_with('y'));
    }

    #[test]
    fn output_of_whatever_bytes_fits_into_an_event() {
        for byte in [0, b'"', b'\\', 0x1b, 0x7f, 0xff, b'x'] {
            let mut kept = Kept::default();
            kept.take(&[byte; 3 * OUTPUT_BYTES_MAX]);
            let answer = serde_json::to_vec(&reply(0, &kept, &kept)).unwrap();
            // With the id, and what stands around.
            assert!(answer.len() + 512 < protocol::rpc::MESSAGE_BYTES_MAX, "{byte}: {}", answer.len());
        }
    }

    #[tokio::test]
    async fn end_of_a_command_is_waited_for() {
        let (under_way, keys) = (UnderWay::default(), nostr::key::Keys::generate());
        let (pubkey, soon) = (keys.public_key(), Duration::from_millis(20));
        let other = under_way.begin(nostr::key::Keys::generate().public_key());
        assert!(tokio::time::timeout(soon, under_way.none(&pubkey)).await.is_ok(), "none runs");
        let place = under_way.begin(pubkey);
        assert!(tokio::time::timeout(soon, under_way.none(&pubkey)).await.is_err(), "one runs");
        let ((), ()) = tokio::join!(under_way.none(&pubkey), async { drop(place) });
        drop(other);
    }

    #[test]
    fn one_command_at_a_time_in_a_container() {
        let (under_way, keys) = (UnderWay::default(), nostr::key::Keys::generate());
        let first = under_way.begin(keys.public_key());
        assert!(first.is_some() && under_way.begin(keys.public_key()).is_none());
        drop(first);
        assert!(under_way.begin(keys.public_key()).is_some());
        let others: Vec<_> = (0..UNDER_WAY_MAX).map(|_| nostr::key::Keys::generate().public_key()).collect();
        let places: Vec<_> = others.iter().map(|one| under_way.begin(*one)).collect();
        assert!(places.iter().all(Option::is_some) && under_way.begin(keys.public_key()).is_none());
    }
}

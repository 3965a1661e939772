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
use thiserror::Error;

use super::error::is_status;
use super::{Runtime, RuntimeError, plan};
use crate::store::Container;

/// What is kept of each of a command's outputs, in bytes: both fit into an event, escaped.
const OUTPUT_BYTES_MAX: usize = 8 * 1024;
/// Commands under way on the server: each holds a connection to the engine.
const UNDER_WAY_MAX: usize = 32;

/// A command gave no result.
#[derive(Debug, Error)]
pub enum ExecError {
    /// Another command runs in this container, or too many in all.
    #[error("another command is under way")]
    Busy,
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
pub(super) struct UnderWay(Mutex<HashSet<PublicKey>>);

/// The right to run a command in a container, until it is dropped.
#[derive(Debug)]
pub struct ExecPlace<'u>(&'u UnderWay, PublicKey);

impl UnderWay {
    fn begin(&self, pubkey: PublicKey) -> Option<ExecPlace<'_>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = all.len() < UNDER_WAY_MAX && all.insert(pubkey);
        fits.then_some(())?;
        Some(ExecPlace(self, pubkey))
    }
}

impl Drop for ExecPlace<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
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

    /// Runs a program in the container of `place`, as its user, with its limits and without a shell.
    ///
    /// # Errors
    /// [`ExecError`].
    pub async fn exec(
        &self,
        place: ExecPlace<'_>,
        command: Vec<String>,
        wait: Duration,
    ) -> Result<ExecReply, ExecError> {
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
        let truncated = stdout.more || stderr.more;
        Ok(ExecReply { exit_code, stdout: stdout.text(), stderr: stderr.text(), truncated })
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

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
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
        assert_eq!((kept.text().len(), kept.more), (OUTPUT_BYTES_MAX, true));
        assert!(kept.text().ends_with('y'));
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

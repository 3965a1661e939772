//! One process of a world, on the host or in a box.

pub(crate) mod host_run;
mod log;
mod ready;
mod spawner;
pub(crate) mod spec;

use std::fmt::Display;
use std::future::Future;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;
use units::Stopwatch;

use crate::helper::HelperBinary;
use host_run::HostRunArgs;
use log::Log;
pub use ready::Ready;
pub use spec::ProcessSpec;

/// How often a wait looks again.
pub(crate) const POLL: Duration = Duration::from_millis(5);
/// How long a process of the host side may take to end by itself when it is dropped.
const DROP_GRACE: Duration = Duration::from_secs(2);
/// How long the kernel may take to end a process after SIGKILL.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// A running process whose output goes to a log file. It is killed when dropped, and dies with the
/// process that started it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    place: Place,
    log: Log,
    status: Option<ExitStatus>,
}

/// Where the process is, and so which PID is its own.
#[derive(Debug)]
enum Place {
    /// Our child itself, leader of its process group.
    Host,
    /// The child of our child: entering a PID namespace takes a fork.
    Box { pid: Pid },
}

impl Process {
    /// Starts a process on the host, beside the boxes. Its group is its own, so that a Ctrl-C at the
    /// terminal reaches only the process that started it, which can then end things in order.
    ///
    /// # Errors
    /// When the log file cannot be opened or the helper not started. That the program itself cannot
    /// be executed shows in the log, and as exit status 1.
    pub fn on_host(helper: &HelperBinary, spec: &ProcessSpec, log: &Path) -> Result<Self> {
        let wrapper_args = HostRunArgs::to_args(std::process::id(), spec.hidden());
        let mut command = spec.wrapped(helper.path(), &wrapper_args);
        let (log, file) = Log::open(log)?;
        let for_stdout = file.try_clone().context("cannot share a log file")?;
        command.stdin(Stdio::null()).stdout(for_stdout).stderr(file).process_group(0);
        Self::spawn(spec.name(), command, log, |_| Ok(Place::Host))
    }

    /// Starts a process in a box: `enter` is the command that enters it, and writes the PID of what
    /// it started to its standard output (see `enclave_box::enter`).
    pub(crate) fn in_box(name: String, mut enter: Command, log: &Path) -> Result<Self> {
        let (log, file) = Log::open(log)?;
        enter.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).process_group(0);
        Self::spawn(name, enter, log, |child| {
            let stdout = child.stdout.take().context("no pipe from the helper")?;
            let pid = crate::enclave_box::enter::read_pid(stdout)?;
            Ok(Place::Box { pid })
        })
    }

    fn spawn(
        name: String,
        command: Command,
        log: Log,
        locate: impl FnOnce(&mut Child) -> Result<Place>,
    ) -> Result<Self> {
        let mut child = spawner::spawn(command).with_context(|| format!("cannot start {name}"))?;
        let place = locate(&mut child).with_context(|| format!("cannot start {name}; {}", log.tail()))?;
        Ok(Self { name, child, place, log, status: None })
    }

    /// The process's PID, as the host sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        match self.place {
            Place::Host => self.child.id(),
            Place::Box { pid } => pid.as_raw().unsigned_abs(),
        }
    }

    /// Where the process's output goes.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        self.log.path()
    }

    /// The last lines of the log, for a message.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.log.tail()
    }

    /// Whether the process has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.poll_exit().is_none()
    }

    /// Sends a signal to the process itself. A process that has ended already is no error.
    ///
    /// # Errors
    /// When the signal may not be sent.
    pub fn kill(&mut self, signal: Signal) -> Result<()> {
        // While our child is not reaped, neither its PID nor that of the process whose end it
        // waits for names another process.
        if self.poll_exit().is_some() {
            return Ok(());
        }
        let pid = Pid::from_raw(i32::try_from(self.pid()).context("a PID above the kernel's range")?);
        match kill(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(err) => Err(err).with_context(|| format!("cannot send {signal} to {}", self.name)),
        }
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    /// When it still runs at the deadline, with the last lines of its log.
    pub async fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let watch = Stopwatch::start();
        loop {
            if let Some(status) = self.poll_exit() {
                return Ok(status);
            }
            if watch.elapsed() > deadline {
                bail!("{} still runs after {deadline:?}; {}", self.name, self.log.tail());
            }
            sleep(POLL).await;
        }
    }

    /// Waits until the process has come up.
    ///
    /// # Errors
    /// When it ends, or the deadline passes, before that; with the last lines of its log.
    pub async fn wait_ready(&mut self, ready: &Ready, deadline: Duration) -> Result<()> {
        let watch = Stopwatch::start();
        while !ready.is_met(&self.log).await {
            self.check_waiting(ready, watch, deadline)?;
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until the process answers as `is_met` says, which is asked again and again; `goal`
    /// names it in the error.
    ///
    /// # Errors
    /// As [`Self::wait_ready`].
    pub async fn wait_answer<F: Future<Output = bool>>(
        &mut self,
        goal: &str,
        deadline: Duration,
        mut is_met: impl FnMut() -> F,
    ) -> Result<()> {
        let watch = Stopwatch::start();
        while !is_met().await {
            self.check_waiting(&goal, watch, deadline)?;
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Asks the process to end (SIGTERM), and makes it (SIGKILL) after `grace`.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn stop(&mut self, grace: Duration) -> Result<ExitStatus> {
        self.kill(Signal::SIGTERM)?;
        if let Ok(status) = self.wait_exit(grace).await {
            return Ok(status);
        }
        self.kill(Signal::SIGKILL)?;
        self.wait_exit(KILL_DEADLINE).await
    }

    /// An error once there is nothing left to wait for.
    fn check_waiting(&mut self, goal: &dyn Display, watch: Stopwatch, deadline: Duration) -> Result<()> {
        if let Some(status) = self.poll_exit() {
            bail!("{} ended ({status}) before {goal}; {}", self.name, self.log.tail());
        }
        if watch.elapsed() > deadline {
            bail!("{} is not {goal} after {deadline:?}; {}", self.name, self.log.tail());
        }
        Ok(())
    }

    fn poll_exit(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            // Our own child can only fail to be waited for if somebody else reaped it: it has ended.
            self.status = self.child.try_wait().unwrap_or_else(|_| Some(ExitStatus::default()));
        }
        self.status
    }

    fn poll_exit_for(&mut self, deadline: Duration) -> bool {
        let watch = Stopwatch::start();
        while self.is_running() && watch.elapsed() < deadline {
            std::thread::sleep(POLL);
        }
        !self.is_running()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = match self.place {
            Place::Host => self.kill(Signal::SIGTERM).is_ok() && self.poll_exit_for(DROP_GRACE),
            Place::Box { .. } => false,
        };
        if !ended && self.kill(Signal::SIGKILL).is_ok() {
            self.poll_exit_for(KILL_DEADLINE);
        }
    }
}

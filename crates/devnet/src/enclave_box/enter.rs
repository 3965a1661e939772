//! Entering a box: joins the namespaces of its first process, starts a program there, tells its PID,
//! waits for its end and ends the same way.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, raise};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::lines::{Lines, write_line};

/// How long entering may take; it takes a few milliseconds.
const DEADLINE: Duration = Duration::from_secs(10);

/// The namespaces, the one of mounts last: `/proc` of the host is needed for the others.
const NAMESPACES: [(&str, CloneFlags); 5] = [
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("net", CloneFlags::CLONE_NEWNET),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("mnt", CloneFlags::CLONE_NEWNS),
];

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum EnterMessage {
    Started { pid: i32 },
    Failed { error: String },
}

/// What `box-enter` is told.
#[derive(Debug, clap::Args)]
pub struct BoxEnterArgs {
    /// The PID of the box's first process.
    #[arg(long)]
    init_pid: u32,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl BoxEnterArgs {
    /// The arguments that this parses back, up to the command.
    pub(super) fn to_args(init_pid: u32) -> Vec<OsString> {
        vec!["box-enter".into(), "--init-pid".into(), init_pid.to_string().into()]
    }

    /// Runs the program in the box. Standard output is for the message to the caller; the program's
    /// output goes to standard error.
    ///
    /// # Errors
    /// When the caller does not listen, or the program's end cannot be waited for.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut child = match self.start() {
            Ok(child) => child,
            Err(err) => {
                write_line(&EnterMessage::Failed { error: format!("{err:#}") })?;
                return Ok(ExitCode::FAILURE);
            }
        };
        // The caller's PID namespace is ours still, so this is the PID as the caller sees it.
        let pid = i32::try_from(child.id()).context("a PID above the kernel's range")?;
        write_line(&EnterMessage::Started { pid })?;
        end_like(child.wait().context("cannot wait for the program")?)
    }

    fn start(&self) -> Result<std::process::Child> {
        let dir = std::env::current_dir().context("the working directory is gone")?;
        let (program, args) = self.command.split_first().context("no command")?;
        let open = |(name, kind)| {
            let path = PathBuf::from(format!("/proc/{}/ns/{name}", self.init_pid));
            let file = File::open(&path)
                .with_context(|| format!("cannot open {}: has the box ended?", path.display()))?;
            Ok((name, kind, file))
        };
        let namespaces = NAMESPACES.into_iter().map(open).collect::<Result<Vec<_>>>()?;
        for (name, kind, file) in namespaces {
            setns(file, kind).with_context(|| format!("cannot enter the box's {name} namespace"))?;
        }
        let output = std::io::stderr().as_fd().try_clone_to_owned().context("cannot share the log file")?;
        Command::new(program)
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(output)
            .spawn()
            .with_context(|| format!("cannot execute {}", program.to_string_lossy()))
    }
}

/// Ends this process by the same exit code or signal.
fn end_like(status: ExitStatus) -> Result<ExitCode> {
    if let Some(signal) = status.signal() {
        let signal = Signal::try_from(signal).context("ended by an unknown signal")?;
        raise(signal).with_context(|| format!("cannot end by {signal}"))?;
    }
    // A signal that this process ignores (SIGPIPE) leaves us here, without a code.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
    Ok(ExitCode::from(code))
}

/// Reads the message that `box-enter` writes: the program's PID.
pub(crate) fn read_pid(stdout: ChildStdout) -> Result<Pid> {
    match Lines::from_pipe(stdout)?.next("box-enter", DEADLINE)? {
        EnterMessage::Started { pid } => Ok(Pid::from_raw(pid)),
        EnterMessage::Failed { error } => bail!(error),
    }
}

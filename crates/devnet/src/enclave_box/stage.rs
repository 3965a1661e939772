//! The step into the namespaces: starts the box's first process in them and waits for its end.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getppid};
use serde::{Deserialize, Serialize};

use crate::helper;
use crate::lines::write_line;

/// What the stage and the first process say to the keeper.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(super) enum StageMessage {
    /// The first process has started, with this PID on the host.
    Init { pid: u32 },
    /// The first process has made the file system private.
    Ready,
    /// One of the two gave up.
    Failed { error: String },
}

/// What `box-stage` is told.
#[derive(Debug, clap::Args)]
pub struct BoxStageArgs {
    /// The keeper's PID: the stage dies with it.
    #[arg(long)]
    keeper: i32,
}

impl BoxStageArgs {
    /// Runs until the box's first process ends.
    ///
    /// # Errors
    /// When the keeper does not listen any more.
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.start_init() {
            Ok(mut init) => {
                write_line(&StageMessage::Init { pid: init.id() })?;
                init.wait().context("cannot wait for the box's first process")?;
                Ok(ExitCode::SUCCESS)
            }
            Err(err) => {
                write_line(&StageMessage::Failed { error: format!("{err:#}") })?;
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn start_init(&self) -> Result<std::process::Child> {
        set_pdeathsig(Signal::SIGKILL).context("cannot ask to die with the keeper")?;
        if getppid() != Pid::from_raw(self.keeper) {
            bail!("the keeper ended before the stage began");
        }
        // The keeper blocks signals that everything in the box must be able to receive.
        SigSet::empty().thread_set_mask().context("cannot unblock signals")?;
        unshare(
            CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWPID
                | CloneFlags::CLONE_NEWIPC
                | CloneFlags::CLONE_NEWUTS,
        )
        .context("cannot make namespaces")?;
        // The first child after unshare(2) is process 1 of the new PID namespace.
        helper::this_program()
            .arg("box-init")
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the box's first process")
    }
}

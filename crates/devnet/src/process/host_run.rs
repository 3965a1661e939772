//! The last step before a process of the host side: ties its life to the world's, then becomes it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

/// What `host-run` is told.
#[derive(Debug, clap::Args)]
pub struct HostRunArgs {
    /// The process that must be alive: the child dies with it.
    #[arg(long)]
    parent: i32,
    /// A directory to cover with an empty one.
    #[arg(long)]
    hide: Vec<PathBuf>,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl HostRunArgs {
    /// The arguments that this parses back, up to the command.
    pub(super) fn to_args(parent: u32, hide: &[PathBuf]) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["host-run".into(), "--parent".into(), parent.to_string().into()];
        for dir in hide {
            args.extend(["--hide".into(), dir.clone().into_os_string()]);
        }
        args
    }

    /// Becomes the command.
    ///
    /// # Errors
    /// When the parent is gone, a directory cannot be covered, or the command cannot be executed.
    pub(crate) fn run(self) -> Result<ExitCode> {
        set_pdeathsig(Signal::SIGKILL).context("cannot ask to die with the parent")?;
        // The parent may have died before the line above, and then no signal comes.
        if getppid() != Pid::from_raw(self.parent) {
            bail!("process {} ended before its child began", self.parent);
        }
        if !self.hide.is_empty() {
            cover(&self.hide)?;
        }
        let (program, args) = self.command.split_first().context("no command")?;
        let err = Command::new(program).args(args).exec();
        Err(err).with_context(|| format!("cannot execute {}", program.to_string_lossy()))
    }
}

fn cover(dirs: &[PathBuf]) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("cannot make / private")?;
    for dir in dirs {
        mount(Some("tmpfs"), dir, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
            .with_context(|| format!("cannot cover {}", dir.display()))?;
    }
    Ok(())
}

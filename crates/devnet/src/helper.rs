//! The hidden subcommands of `enclaved-devnet`: this program starts itself to stand between a world
//! and its processes, where namespaces and the death of a parent have to be dealt with before
//! another program takes over.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::enclave_box::enter::BoxEnterArgs;
use crate::enclave_box::hold::BoxHoldArgs;
use crate::enclave_box::init::BoxInitArgs;
use crate::enclave_box::keeper::BoxKeeperArgs;
use crate::enclave_box::stage::BoxStageArgs;
use crate::process::host_run::HostRunArgs;

/// The name of the binary.
const BINARY: &str = "enclaved-devnet";

/// A hidden subcommand.
#[derive(Debug, clap::Subcommand)]
pub enum Helper {
    /// Makes a box, and removes it when its standard input ends.
    #[command(hide = true)]
    BoxKeeper(BoxKeeperArgs),
    /// Enters new namespaces and starts the box's first process there.
    #[command(hide = true)]
    BoxStage(BoxStageArgs),
    /// Is the box's first process.
    #[command(hide = true)]
    BoxInit(BoxInitArgs),
    /// Starts a process in a box.
    #[command(hide = true)]
    BoxEnter(BoxEnterArgs),
    /// Starts a process on the host that dies with its parent.
    #[command(hide = true)]
    HostRun(HostRunArgs),
    /// Owns a box, an engine and a registry until SIGINT, to look at by hand and to kill in tests.
    #[command(hide = true)]
    BoxHold(BoxHoldArgs),
}

impl Helper {
    /// Does what the subcommand says. Call it before the process has a second thread: a process
    /// with threads cannot enter a mount namespace.
    ///
    /// # Errors
    /// What went wrong, for a line on standard error.
    pub fn run(self) -> Result<ExitCode> {
        match self {
            Self::BoxKeeper(args) => args.run(),
            Self::BoxStage(args) => args.run(),
            Self::BoxInit(args) => args.run(),
            Self::BoxEnter(args) => args.run(),
            Self::HostRun(args) => args.run(),
            Self::BoxHold(args) => args.run(),
        }
    }
}

/// This program again, even if its file was replaced meanwhile.
pub(crate) fn this_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(BINARY);
    command
}

/// The path of `enclaved-devnet`.
#[derive(Clone, Debug)]
pub struct HelperBinary(PathBuf);

impl HelperBinary {
    /// The binary at `path`. Cargo tells the tests of this package where it is:
    /// `env!("CARGO_BIN_EXE_enclaved-devnet")`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The running program, if it is the binary itself, or else the binary beside it or in the
    /// directory above: Cargo puts test programs into `target/debug/deps`.
    ///
    /// # Errors
    /// When it is in none of these places.
    pub fn find() -> Result<Self> {
        let running = std::env::current_exe().context("cannot tell which program this is")?;
        if running.file_name().is_some_and(|name| name == BINARY) {
            return Ok(Self(running));
        }
        let found =
            running.ancestors().skip(1).take(2).map(|dir| dir.join(BINARY)).find(|path| path.is_file());
        let Some(path) = found else {
            bail!("{BINARY} is not beside {}: run `cargo build -p devnet`", running.display());
        };
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

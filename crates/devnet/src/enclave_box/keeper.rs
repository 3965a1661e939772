//! The keeper of a box: makes it, waits for the end of its own standard input, removes it.
//!
//! The other end of that input is held by the process that owns the box, so the keeper learns of its
//! end even when it was killed, and nothing of the box stays behind. The keeper has a process group of
//! its own and blocks the signals of a terminal, so that it is not killed along with its owner.
//!
//! If the keeper itself is killed, the stage and the box's first process die with it, by
//! `PR_SET_PDEATHSIG`, and with them every process, mount and device of the box. Only then empty
//! control groups and the directory are left.

use std::io::{Read, stdin};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use units::Stopwatch;

use super::cleanup;
use super::stage::StageMessage;
use super::wire::{self, Wire};
use crate::helper;
use crate::lines::{Lines, write_line};
use crate::process::POLL;

/// How many wires are tried before giving up; with fewer than a thousand boxes, two in a row are
/// hardly ever taken.
const ATTEMPTS: usize = 32;
/// How long the stage and the first process may take, each; they take about 20 ms.
const STAGE_DEADLINE: Duration = Duration::from_secs(10);
/// How long the kernel may take to end all processes of the box.
const KILL_DEADLINE: Duration = Duration::from_secs(15);

/// What the keeper says to the owner, first when the box stands and last when it is gone.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(super) enum KeeperMessage {
    Started(BoxFacts),
    Failed { error: String },
    Removed { problems: Vec<String> },
}

/// What there is to know about a box.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct BoxFacts {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) init_pid: u32,
    pub(super) host_address: std::net::Ipv4Addr,
    pub(super) box_address: std::net::Ipv4Addr,
}

/// What `box-keeper` is told.
#[derive(Debug, clap::Args)]
pub struct BoxKeeperArgs {
    /// The directory in which the box's own directory is made.
    #[arg(long)]
    parent_dir: PathBuf,
}

impl BoxKeeperArgs {
    /// Keeps a box until standard input ends.
    ///
    /// # Errors
    /// When signals cannot be blocked; all else is told to the owner.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut ignored = SigSet::empty();
        ignored.extend([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        ignored.thread_block().context("cannot block signals")?;
        let kept = match make(&self.parent_dir) {
            Ok(kept) => kept,
            Err(err) => {
                write_line(&KeeperMessage::Failed { error: format!("{err:#}") })?;
                return Ok(ExitCode::FAILURE);
            }
        };
        // An owner that died meanwhile is no reason to leave the box behind: go on to the removal.
        drop(write_line(&KeeperMessage::Started(kept.facts.clone())));
        wait_for_end_of_input();
        let problems = kept.remove();
        drop(write_line(&KeeperMessage::Removed { problems }));
        Ok(ExitCode::SUCCESS)
    }
}

/// A box as its keeper holds it.
struct Kept {
    facts: BoxFacts,
    stage: Child,
}

fn make(parent_dir: &Path) -> Result<Kept> {
    let used = wire::networks_in_use()?;
    for _ in 0..ATTEMPTS {
        let wire = Wire::numbered(random_number()?);
        if wire.overlaps(&used) {
            continue;
        }
        if let Some(kept) = make_on(wire, parent_dir)? {
            return Ok(kept);
        }
    }
    bail!("found no free network among {ATTEMPTS} tried in 198.18.0.0/15")
}

/// Makes a box on this wire; `None` when another box has it.
fn make_on(wire: Wire, parent_dir: &Path) -> Result<Option<Kept>> {
    let name = wire.name();
    let dir = parent_dir.join(&name);
    // Others may pass through, but not look: containers run under remapped user IDs, and dockerd
    // insists that these reach its data directory.
    match std::fs::DirBuilder::new().mode(0o711).create(&dir) {
        Ok(()) => {}
        Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => return Ok(None),
        Err(err) => return Err(err).with_context(|| format!("cannot make {}", dir.display())),
    }
    let (init_pid, stage) = match start_stage() {
        Ok(started) => started,
        Err(err) => {
            cleanup::remove(&name, &dir);
            return Err(err);
        }
    };
    let facts =
        BoxFacts { name, dir, init_pid, host_address: wire.host_address(), box_address: wire.box_address() };
    let kept = Kept { facts, stage };
    match wire.connect(init_pid) {
        Ok(true) => Ok(Some(kept)),
        Ok(false) => {
            kept.abandon();
            Ok(None)
        }
        Err(err) => {
            kept.remove();
            Err(err)
        }
    }
}

fn start_stage() -> Result<(u32, Child)> {
    let mut stage = helper::this_program()
        .args(["box-stage", "--keeper", &std::process::id().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the box's stage")?;
    match read_stage(&mut stage) {
        Ok(init_pid) => Ok((init_pid, stage)),
        Err(err) => {
            // Its death takes the first process along.
            drop(stage.kill().and_then(|()| stage.wait()));
            Err(err)
        }
    }
}

fn read_stage(stage: &mut Child) -> Result<u32> {
    let mut lines = Lines::from_pipe(stage.stdout.take().context("no pipe from the stage")?)?;
    let (mut init_pid, mut ready) = (None, false);
    loop {
        match lines.next("the box's first process", STAGE_DEADLINE)? {
            StageMessage::Init { pid } => init_pid = Some(pid),
            StageMessage::Ready => ready = true,
            StageMessage::Failed { error } => bail!(error),
        }
        if let (Some(pid), true) = (init_pid, ready) {
            return Ok(pid);
        }
    }
}

impl Kept {
    /// Ends the box and removes all that it has made on this machine; says what was not as it should be.
    fn remove(self) -> Vec<String> {
        let Self { facts, stage } = self;
        let mut problems = end(facts.init_pid, stage);
        problems.extend(cleanup::remove(&facts.name, &facts.dir));
        problems
    }

    /// Ends a box whose wire turned out to be another's: the device of that name is not ours.
    fn abandon(self) {
        end(self.facts.init_pid, self.stage);
        drop(std::fs::remove_dir_all(&self.facts.dir));
    }
}

/// Kills the first process, and with it, as the kernel has it, every process of the PID namespace.
fn end(init_pid: u32, mut stage: Child) -> Vec<String> {
    let mut problems = Vec::new();
    match stage.try_wait() {
        Ok(None) => {
            let killed = i32::try_from(init_pid)
                .context("a PID above the kernel's range")
                .and_then(|pid| Ok(kill(Pid::from_raw(pid), Signal::SIGKILL)?));
            if let Err(err) = killed {
                problems.push(format!("cannot kill the box's first process: {err:#}"));
            }
        }
        Ok(Some(_)) => problems.push("the box's first process had ended before".to_owned()),
        Err(err) => problems.push(format!("cannot wait for the box's first process: {err}")),
    }
    let watch = Stopwatch::start();
    while matches!(stage.try_wait(), Ok(None)) {
        if watch.elapsed() > KILL_DEADLINE {
            problems.push(format!("processes of the box still run after {KILL_DEADLINE:?}"));
            break;
        }
        std::thread::sleep(POLL);
    }
    problems
}

fn wait_for_end_of_input() {
    let mut input = stdin().lock();
    let mut ignored = [0; 64];
    // An error, too, means that nobody holds the other end.
    while matches!(input.read(&mut ignored), Ok(1..)) {}
}

fn random_number() -> Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).context("no randomness from the kernel")?;
    Ok(u16::from_le_bytes(bytes))
}

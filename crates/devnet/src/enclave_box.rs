//! The emulated enclave: namespaces of its own, joined to the host by one wire.
//!
//! ```text
//!  owner ──stdin──► box-keeper ──► box-stage │ namespaces: net mount pid ipc uts
//!    │                                 └─────┼► box-init (PID 1)
//!    └──► box-enter ─────────────────────────┼► any process of the box
//!                                            │
//!                  host_address  ◄──veth/30──┼► box_address (eth0)
//! ```

pub(crate) mod cleanup;
pub(crate) mod enter;
pub(crate) mod hold;
pub(crate) mod init;
pub(crate) mod keeper;
pub(crate) mod stage;
mod wire;

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use units::Stopwatch;

use crate::helper::HelperBinary;
use crate::lines::Lines;
use crate::machine;
use crate::process::{POLL, Process, ProcessSpec};
use enter::BoxEnterArgs;
use keeper::{BoxFacts, KeeperMessage};

/// How long a box may take to come up; it takes about 50 ms.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long its removal may take; the keeper's own deadlines add up to less.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(60);

/// How to make a box.
#[derive(Clone, Debug)]
pub struct BoxOptions {
    /// The program whose hidden subcommands make the box and enter it.
    pub helper: HelperBinary,
    /// Where the box's directory is made: on a file system that can hold overlays (ext4, xfs,
    /// tmpfs), with a path short enough for Unix sockets.
    pub parent_dir: PathBuf,
}

impl BoxOptions {
    /// A box in the system's directory for temporary files (`TMPDIR`, or `/tmp`).
    #[must_use]
    pub fn new(helper: HelperBinary) -> Self {
        Self { helper, parent_dir: std::env::temp_dir() }
    }
}

/// A running box. It ends, and everything that it made is removed, with [`Self::stop`], when it is
/// dropped, and when the process that holds it dies in whatever way.
#[derive(Debug)]
pub struct EnclaveBox {
    entrance: BoxEntrance,
    facts: BoxFacts,
    keeper: Keeper,
}

impl EnclaveBox {
    /// Makes a box.
    ///
    /// # Errors
    /// When this machine cannot hold one, with what to install, or a step failed or took too long.
    /// Nothing is left behind then.
    pub async fn start(options: BoxOptions) -> Result<Self> {
        machine::require(&options.parent_dir)?;
        tokio::task::spawn_blocking(move || Self::start_blocking(options)).await?
    }

    fn start_blocking(options: BoxOptions) -> Result<Self> {
        let mut keeper = Keeper::spawn(&options)?;
        match keeper.lines.next("the box's keeper", START_DEADLINE)? {
            KeeperMessage::Started(facts) => {
                let entrance = BoxEntrance { helper: options.helper, init_pid: facts.init_pid };
                Ok(Self { entrance, facts, keeper })
            }
            KeeperMessage::Failed { error } => {
                keeper.wait(REMOVAL_DEADLINE)?;
                bail!("cannot make a box: {error}")
            }
            KeeperMessage::Removed { .. } => bail!("the box ended before it began"),
        }
    }

    /// The box's name, unique on this machine: `encl-` and four hexadecimal digits.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// The box's own directory, at the same path inside and outside, removed with the box. Only root
    /// may list it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.facts.dir
    }

    /// The host's address on the wire, as reached from the box.
    #[must_use]
    pub fn host_address(&self) -> Ipv4Addr {
        self.facts.host_address
    }

    /// The box's address on the wire, as reached from the host.
    #[must_use]
    pub fn box_address(&self) -> Ipv4Addr {
        self.facts.box_address
    }

    /// The control group below which the box's containers belong; removed with the box.
    #[must_use]
    pub fn cgroup_parent(&self) -> String {
        format!("/{}", self.facts.name)
    }

    /// The PID of the box's first process, as the host sees it.
    #[must_use]
    pub fn init_pid(&self) -> u32 {
        self.facts.init_pid
    }

    /// The program through which processes are started, in the box and beside it.
    #[must_use]
    pub fn helper(&self) -> &HelperBinary {
        &self.entrance.helper
    }

    /// A way into the box that can be kept apart from it, and is useless after its end.
    #[must_use]
    pub fn entrance(&self) -> BoxEntrance {
        self.entrance.clone()
    }

    /// Starts a process in the box, its output appended to the file `log`.
    ///
    /// # Errors
    /// When the box has ended or the program cannot be executed.
    pub fn spawn(&self, spec: &ProcessSpec, log: &Path) -> Result<Process> {
        self.entrance.spawn(spec, log)
    }

    /// Kills everything in the box, removes all that it made on this machine, and says whether that
    /// left something to be desired.
    ///
    /// # Errors
    /// When something could not be removed, or should not have been there: a box that died by
    /// itself, a mount outside the box, a loop device that nobody had arranged to be freed.
    pub async fn stop(mut self) -> Result<()> {
        tokio::task::spawn_blocking(move || self.end()).await?
    }

    fn end(&mut self) -> Result<()> {
        let Err(err) = self.keeper.end() else { return Ok(()) };
        // The keeper was killed, or gave up: what it left is ours to remove. Mostly nothing.
        cleanup::wait_for_end_of(self.facts.init_pid);
        let problems = cleanup::remove(&self.facts.name, &self.facts.dir);
        if problems.is_empty() {
            return Err(err);
        }
        Err(err.context(format!("without the box's keeper: {}", problems.join("; "))))
    }
}

impl Drop for EnclaveBox {
    fn drop(&mut self) {
        // Who wants to hear of problems calls `stop`.
        drop(self.end());
    }
}

/// A way into a box.
#[derive(Clone, Debug)]
pub struct BoxEntrance {
    helper: HelperBinary,
    init_pid: u32,
}

impl BoxEntrance {
    /// See [`EnclaveBox::spawn`].
    ///
    /// # Errors
    /// When the box has ended or the program cannot be executed.
    pub fn spawn(&self, spec: &ProcessSpec, log: &Path) -> Result<Process> {
        let enter = spec.wrapped(self.helper.path(), &BoxEnterArgs::to_args(self.init_pid));
        Process::in_box(spec.name(), enter, log)
    }
}

/// The owner's end of the keeper.
#[derive(Debug)]
struct Keeper {
    child: Child,
    /// While this is open, the box stands.
    stdin: Option<ChildStdin>,
    lines: Lines,
}

impl Keeper {
    fn spawn(options: &BoxOptions) -> Result<Self> {
        let mut child = Command::new(options.helper.path())
            .arg("box-keeper")
            .arg("--parent-dir")
            .arg(&options.parent_dir)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", options.helper.path().display()))?;
        let stdin = child.stdin.take();
        let lines = Lines::from_pipe(child.stdout.take().context("no pipe from the keeper")?)?;
        Ok(Self { child, stdin, lines })
    }

    /// Has the box removed and waits until it is. Nothing happens the second time.
    fn end(&mut self) -> Result<()> {
        if self.stdin.take().is_none() {
            return Ok(());
        }
        let report = self.lines.next("the box's keeper", REMOVAL_DEADLINE);
        self.wait(REMOVAL_DEADLINE)?;
        match report? {
            KeeperMessage::Removed { problems } => {
                ensure!(problems.is_empty(), "the box did not end cleanly: {}", problems.join("; "));
                Ok(())
            }
            KeeperMessage::Failed { error } => bail!("the box did not end: {error}"),
            KeeperMessage::Started(_) => bail!("the box's keeper does not know what it says"),
        }
    }

    fn wait(&mut self, deadline: Duration) -> Result<()> {
        let watch = Stopwatch::start();
        while self.child.try_wait().context("cannot wait for the box's keeper")?.is_none() {
            if watch.elapsed() > deadline {
                // Its death takes the box's processes along, if nothing more.
                self.child.kill().context("cannot kill the box's keeper")?;
                bail!("the box's keeper did not end in {deadline:?}");
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // A box that did not come up is ended here, any other by now.
        drop(self.end());
    }
}

//! The first process of a box: makes the file system private, then reaps orphans until it is killed.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, sethostname};

use super::stage::StageMessage;
use crate::lines::write_line;

/// Directories that programs in a box write to besides the box's own, dockerd and containerd for
/// example: what they write goes to a layer that disappears with the box.
pub(crate) const PRIVATE_DIRS: [&str; 3] = ["/etc", "/opt", "/var/lib"];
/// Where these layers are, and all else that must not reach the host's `/run`.
const LAYERS: &str = "/run/private";
/// The user whose range of IDs containers are mapped to (`dockerd --userns-remap`).
pub(crate) const REMAP_USER: &str = "enclave";

/// What `box-init` is told: nothing.
#[derive(Debug, clap::Args)]
pub struct BoxInitArgs {}

impl BoxInitArgs {
    /// Runs until the box ends.
    ///
    /// # Errors
    /// When the file system cannot be made private.
    pub(crate) fn run(self) -> Result<ExitCode> {
        set_pdeathsig(Signal::SIGKILL).context("cannot ask to die with the parent")?;
        if let Err(err) = prepare() {
            write_line(&StageMessage::Failed { error: format!("{err:#}") })?;
            return Ok(ExitCode::FAILURE);
        }
        // Should the parent have died before it could take us along, nobody reads this: we end too.
        write_line(&StageMessage::Ready)?;
        reap()
    }
}

fn prepare() -> Result<()> {
    let none = None::<&str>;
    // Without this, a mount made here would appear on hosts whose `/` is shared (systemd's are).
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("cannot make / private")?;
    let guarded = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("proc"), "/proc", Some("proc"), guarded | MsFlags::MS_NOEXEC, none)
        .context("cannot mount /proc")?;
    // No new sysfs: it would hide the mounts of the control groups that lie on the old one.
    mount(Some("tmpfs"), "/run", Some("tmpfs"), guarded, Some("mode=755")).context("cannot mount /run")?;
    for dir in PRIVATE_DIRS {
        cover(Path::new(dir)).with_context(|| format!("cannot put a private layer over {dir}"))?;
    }
    append("/etc/passwd", &format!("{REMAP_USER}:x:990:990::/nonexistent:/usr/sbin/nologin\n"))?;
    append("/etc/group", &format!("{REMAP_USER}:x:990:\n"))?;
    for ranges in ["/etc/subuid", "/etc/subgid"] {
        fs::write(ranges, format!("{REMAP_USER}:100000:65536\n"))
            .with_context(|| format!("cannot write {ranges}"))?;
    }
    sethostname("enclave").context("cannot set the host name")
}

fn cover(dir: &Path) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    let layer = Path::new(LAYERS).join(dir.strip_prefix("/")?);
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let options =
        format!("lowerdir={},upperdir={},workdir={}", dir.display(), upper.display(), work.display());
    Ok(mount(Some("overlay"), dir, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?)
}

fn append(path: &str, line: &str) -> Result<()> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes())).with_context(|| format!("cannot write {path}"))
}

/// Collects the exit statuses of orphans, which are the first process's to collect.
fn reap() -> Result<ExitCode> {
    let mut child_ended = SigSet::empty();
    child_ended.add(Signal::SIGCHLD);
    child_ended.thread_block().context("cannot block SIGCHLD")?;
    loop {
        loop {
            match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(err) => return Err(err).context("cannot wait for orphans"),
            }
        }
        child_ended.wait().context("cannot wait for SIGCHLD")?;
    }
}

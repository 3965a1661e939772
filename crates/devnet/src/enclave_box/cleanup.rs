//! Removing what a box has made on the machine, after all of its processes have ended.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, umount2};
use units::Stopwatch;

use super::wire;
use crate::process::POLL;

mod loops;

/// Where control groups are mounted, as one hierarchy (version 2) or as one per controller.
const CGROUPS: &str = "/sys/fs/cgroup";
/// How long the kernel may take to end all processes of a box.
const END_DEADLINE: Duration = Duration::from_secs(15);
/// How long the kernel may take to forget a control group's last process.
const CGROUP_DEADLINE: Duration = Duration::from_secs(5);

/// Removes the box's device, control groups, mounts, loop devices and directory. Returns what could
/// not be removed, and what should not have been there any more.
pub(super) fn remove(name: &str, dir: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let mut note = |result: Result<()>| {
        if let Err(err) = result {
            problems.push(format!("{err:#}"));
        }
    };
    note(wire::disconnect(name));
    for path in cgroups(name) {
        note(remove_cgroup(&path));
    }
    note(unmount_below(dir));
    note(loops::detach(name));
    note(remove_dir(dir));
    problems
}

/// Waits until a box's first process has ended, which nobody but the kernel is waiting for.
pub(super) fn wait_for_end_of(init_pid: u32) {
    let watch = Stopwatch::start();
    // A zombie has left its network already; who reaps it, if anybody, does not matter here.
    let namespace = format!("/proc/{init_pid}/ns/net");
    while fs::read_link(&namespace).is_ok() && watch.elapsed() < END_DEADLINE {
        std::thread::sleep(POLL);
    }
}

/// The control groups of this name, directly below a hierarchy's root.
pub(crate) fn cgroups(name: &str) -> Vec<PathBuf> {
    let root = Path::new(CGROUPS);
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
    // Names like `cpu` can be links to `cpu,cpuacct`: each hierarchy counts once.
    let hierarchies = hierarchies.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let roots = hierarchies.map(|entry| entry.path()).chain([root.to_owned()]);
    roots.map(|root| root.join(name)).filter(|path| path.is_dir()).collect()
}

/// Removes a control group after those in it: only an empty one can be removed.
fn remove_cgroup(path: &Path) -> Result<()> {
    let children = fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
    for child in children.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_cgroup(&child.path())?;
    }
    let watch = Stopwatch::start();
    loop {
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(err) if err.kind() == io::ErrorKind::ResourceBusy && watch.elapsed() < CGROUP_DEADLINE => {
                std::thread::sleep(POLL);
            }
            Err(err) => return Err(err).with_context(|| format!("cannot remove {}", path.display())),
        }
    }
}

/// Unmounts what somebody mounted below `dir` outside the box, which is a mistake to be told.
fn unmount_below(dir: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot list mounts")?;
    let mut found = Vec::new();
    // The latest first: mounts lie on mounts.
    for mount in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)).map(Path::new) {
        if mount.starts_with(dir) {
            umount2(mount, MntFlags::MNT_DETACH)
                .with_context(|| format!("cannot unmount {}", mount.display()))?;
            found.push(mount.display().to_string());
        }
    }
    anyhow::ensure!(found.is_empty(), "had to unmount {} on the host", found.join(", "));
    Ok(())
}

fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => {
            Err(err).with_context(|| format!("cannot remove {}", dir.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

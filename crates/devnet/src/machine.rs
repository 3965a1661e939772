//! Whether this machine can hold a world.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use nix::unistd::geteuid;

use crate::enclave_box::init::PRIVATE_DIRS;
use crate::process::spec::PATH;

/// The programs that a world runs or lets containers run, and the Debian packages they are in.
const PROGRAMS: [(&str, &str); 12] = [
    ("busybox", "busybox-static"),
    ("containerd", "containerd"),
    ("docker-registry", "docker-registry"),
    ("dockerd", "docker.io"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("losetup", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("runc", "runc"),
    ("skopeo", "skopeo"),
];

/// The namespaces of a box, and those of the containers in it.
const NAMESPACES: [&str; 6] = ["ipc", "mnt", "net", "pid", "user", "uts"];

/// The longest directory in which a box can be made: `sun_path` holds 108 bytes (unix(7)), of which
/// 60 are left for the box's name and the path of a socket in it.
const PARENT_DIR_BYTES_MAX: usize = 48;

/// Checks that boxes can be made in `parent_dir`.
///
/// # Errors
/// Everything that is missing, and what to do about it.
pub fn require(parent_dir: &Path) -> Result<()> {
    let mut missing = Vec::new();
    if !geteuid().is_root() {
        missing.push("root: namespaces, mounts and a Docker engine need it; run as root".to_owned());
    }
    missing.extend(missing_kernel_parts());
    missing.extend(missing_programs());
    missing.extend(wrong_with_dir(parent_dir));
    if !missing.is_empty() {
        bail!("this machine cannot hold a local world yet; it lacks:\n  - {}", missing.join("\n  - "));
    }
    Ok(())
}

fn missing_programs() -> Option<String> {
    let is_there = |program: &str| PATH.split(':').any(|dir| Path::new(dir).join(program).is_file());
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| !is_there(program)).collect();
    let names: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "programs {}: run scripts/install, or install the packages {}",
            names.join(", "),
            packages.join(" ")
        )
    })
}

fn missing_kernel_parts() -> Vec<String> {
    let mut missing = Vec::new();
    let namespaces = NAMESPACES.iter().filter(|name| !Path::new("/proc/self/ns").join(name).exists());
    missing.extend(namespaces.map(|name| format!("{name} namespaces: the kernel was built without them")));
    // A missing file means no limit.
    if fs::read_to_string("/proc/sys/user/max_user_namespaces").is_ok_and(|max| max.trim() == "0") {
        missing.push("user namespaces: run `sysctl user.max_user_namespaces=10000`".to_owned());
    }
    if fs::read_to_string("/proc/filesystems").is_ok_and(|list| !list.contains("\toverlay\n")) {
        missing.push("overlay file systems: run `modprobe overlay`".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        missing
            .push("loop devices: run `modprobe loop`, or give this container /dev/loop-control".to_owned());
    }
    if !Path::new("/sys/fs/cgroup").read_dir().is_ok_and(|mut dir| dir.next().is_some()) {
        missing.push("control groups: mount them at /sys/fs/cgroup".to_owned());
    }
    missing
}

fn wrong_with_dir(dir: &Path) -> Option<String> {
    let at = dir.display();
    if dir.as_os_str().len() > PARENT_DIR_BYTES_MAX || !dir.is_absolute() {
        return Some(format!(
            "a directory with a short absolute path, not {at}: set TMPDIR to one of at most \
             {PARENT_DIR_BYTES_MAX} bytes"
        ));
    }
    if PRIVATE_DIRS.iter().chain(&["/run"]).any(|private| dir.starts_with(private)) {
        return Some(format!("a directory that a box shares with the host, not {at}: set TMPDIR elsewhere"));
    }
    match statfs(dir) {
        Err(err) => Some(format!("a directory for temporary files: {at}: {err}; set TMPDIR")),
        Ok(fs) if fs.filesystem_type() == OVERLAYFS_SUPER_MAGIC => Some(format!(
            "a directory on a file system that can hold overlays, which {at} is not: set TMPDIR to one \
             on ext4, xfs or tmpfs"
        )),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests;

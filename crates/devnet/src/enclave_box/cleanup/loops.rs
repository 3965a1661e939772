//! Loop devices whose files lie in a box's directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use units::Stopwatch;

use crate::process::POLL;
use crate::process::spec::PATH;

/// How long the kernel may take to free the devices of file systems that went with the box.
const AUTOCLEAR_DEADLINE: Duration = Duration::from_secs(3);

/// Waits until no device has a file in the directory of this name, then detaches the rest. A rest is
/// reported: whoever attached it forgot to have the kernel free it with its last user, and would
/// leave it behind on a real machine.
pub(super) fn detach(name: &str) -> Result<()> {
    let watch = Stopwatch::start();
    while !attached(name).is_empty() && watch.elapsed() < AUTOCLEAR_DEADLINE {
        std::thread::sleep(POLL);
    }
    let rest = attached(name);
    for device in &rest {
        let output =
            Command::new("losetup").env_clear().env("PATH", PATH).arg("--detach").arg(device).output();
        let output = output.context("cannot run losetup")?;
        ensure!(
            output.status.success(),
            "cannot detach {}: {}",
            device.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    ensure!(rest.is_empty(), "had to detach loop devices that nobody used any more: {rest:?}");
    Ok(())
}

fn attached(name: &str) -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    // The path is the one in the mount namespace of whoever attached it, which may be gone, so only
    // the directory's name, unique on the machine, is compared.
    let is_ours = |block: &Path| {
        fs::read_to_string(block.join("loop/backing_file"))
            .is_ok_and(|file| Path::new(file.trim_end()).iter().any(|part| part == name))
    };
    let ours = devices.filter(|device| is_ours(&device.path()));
    ours.map(|device| Path::new("/dev").join(device.file_name())).collect()
}

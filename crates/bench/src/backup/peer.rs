//! What people do with pipes. Their output is synced, as ours is.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use units::Stopwatch;

use super::data;

/// Makes a key for the peer.
pub(super) fn make_key(key: &Path) -> Result<()> {
    run("age-keygen -o \"$1\"", &[key])
}

/// `tar | zstd | age` into a file.
pub(super) fn snapshot(files: &Path, key: &Path, sealed: &Path) -> Result<Duration> {
    let took = Stopwatch::start();
    run("tar -C \"$1\" -cf - . | zstd -3 -q -c | age -e -i \"$2\" >\"$3\"", &[files, key, sealed])?;
    File::open(sealed)?.sync_all()?;
    Ok(took.elapsed())
}

/// The way back, into a new folder.
pub(super) fn restore(sealed: &Path, key: &Path, into: &Path) -> Result<Duration> {
    std::fs::create_dir(into)?;
    let took = Stopwatch::start();
    run("age -d -i \"$2\" \"$1\" | zstd -d -q -c | tar -C \"$3\" -xf -", &[sealed, key, into])?;
    for name in data::names() {
        File::open(into.join(name))?.sync_all()?;
    }
    File::open(into)?.sync_all()?;
    Ok(took.elapsed())
}

/// The reference's pipeline, if rclone is installed.
pub(super) fn rclone(files: &Path, key: &Path, sealed: &Path) -> Result<Option<Duration>> {
    let there = Command::new("rclone").arg("version").output();
    if there.is_err() {
        return Ok(None);
    }
    let took = Stopwatch::start();
    let pipeline =
        "tar -C \"$1\" -cf - . | zstd -3 -q -c | age -e -i \"$2\" | rclone --config \"\" rcat \"$3\"";
    run(pipeline, &[files, key, sealed])?;
    File::open(sealed)?.sync_all()?;
    Ok(Some(took.elapsed()))
}

/// A copy of a volume.
pub(super) fn copy(from: &Path, to: &Path) -> Result<Duration> {
    let took = Stopwatch::start();
    run("cp --reflink=auto \"$1\" \"$2\"", &[from, to])?;
    Ok(took.elapsed())
}

/// Runs a pipeline with the paths as `$1`, `$2`, `$3`; any part may fail it.
fn run(pipeline: &str, paths: &[&Path]) -> Result<()> {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", pipeline, "bash"])
        .args(paths)
        .output()
        .context("no bash")?;
    ensure!(output.status.success(), "{pipeline}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

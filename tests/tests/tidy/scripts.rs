//! Scripts are short: what they need to decide is decided in Rust.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::tracked::File;
use crate::{none, one};

/// Lines that a script must stay below.
const LINES_BELOW: usize = 80;
/// What stops a script at its first failure.
const STRICT: &str = "\nset -euo pipefail\n";
/// The ways in, which README.md and continuous integration name.
const ENTRY_POINTS: [&str; 5] = [".ci/run", "scripts/bench", "scripts/check", "scripts/demo", "scripts/test"];

#[test]
fn scripts_are_short_strict_and_executable() -> Result<()> {
    let mut faults = Vec::new();
    for file in scripts()? {
        let mode = std::fs::metadata(file.place())?.permissions().mode();
        faults.extend(script_faults(&file, mode));
    }
    none(&faults);
    Ok(())
}

#[test]
fn scripts_are_understood_by_their_shell() -> Result<()> {
    let mut faults = Vec::new();
    for file in scripts()? {
        let output =
            Command::new("bash").arg("-n").arg(file.place()).output().context("cannot start bash")?;
        if !output.status.success() {
            faults.push(format!("{}: {}", file.path, String::from_utf8_lossy(&output.stderr)));
        }
    }
    none(&faults);
    Ok(())
}

#[test]
fn entry_points_are_there() -> Result<()> {
    none(&missing(&scripts()?));
    Ok(())
}

fn scripts() -> Result<Vec<File>> {
    Ok(File::all()?.into_iter().filter(File::is_script).collect())
}

fn script_faults(file: &File, mode: u32) -> Vec<String> {
    let (path, text) = (&file.path, file.text());
    let lines = text.lines().count();
    let mut faults = Vec::new();
    if lines >= LINES_BELOW {
        faults.push(format!("{path} has {lines} lines, not fewer than {LINES_BELOW}: move logic to Rust"));
    }
    if mode & 0o111 != 0o111 {
        faults.push(format!("{path} cannot be run: `chmod 755 {path}`"));
    }
    if !text.starts_with("#!/usr/bin/env bash\n# ") {
        faults.push(format!("{path}: start with `#!/usr/bin/env bash` and a comment that says what it does"));
    }
    if !text.contains(STRICT) {
        faults.push(format!("{path}: say `{}`", STRICT.trim()));
    }
    faults
}

fn missing(scripts: &[File]) -> Vec<String> {
    let is_there = |path: &str| scripts.iter().any(|file| file.path == path);
    let missing = ENTRY_POINTS.iter().filter(|path| !is_there(path));
    missing.map(|path| format!("{path} is missing: README.md and others call it")).collect()
}

#[test]
fn script_that_breaks_a_rule_is_found() {
    let good = format!("#!/usr/bin/env bash\n# Does.{STRICT}");
    let check = |text: &str, mode| script_faults(&File::new("scripts/a", text), mode);
    assert_eq!(check(&good, 0o100_755), [""; 0]);
    one(&check(&good, 0o100_644), &["chmod 755 scripts/a"]);
    one(&check(&good.replace("# Does.", "true"), 0o755), &["a comment"]);
    one(&check(&good.replace("-euo", "-eu"), 0o755), &["set -euo pipefail"]);
    assert_eq!(check(&(good.clone() + &"\n".repeat(76)), 0o755), [""; 0]);
    one(&check(&(good + &"\n".repeat(77)), 0o755), &["80 lines"]);
}

#[test]
fn missing_entry_point_is_found() {
    let all: Vec<_> = ENTRY_POINTS.iter().map(|path| File::new(path, "")).collect();
    assert_eq!(missing(&all), [""; 0]);
    one(&missing(&all[1..]), &[".ci/run is missing"]);
}

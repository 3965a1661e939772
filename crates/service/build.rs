//! Names the commit that a binary was built from, for `--version`.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=ENCLAVED_COMMIT");
    println!("cargo:rerun-if-changed=../../.git/HEAD");
    println!("cargo:rerun-if-changed=../../.git/logs/HEAD");
    let given = std::env::var_os("ENCLAVED_COMMIT").and_then(|commit| commit.into_string().ok());
    let commit = given.or_else(from_git).unwrap_or_else(|| "unknown".into());
    println!("cargo:rustc-env=ENCLAVED_COMMIT={commit}");
}

fn from_git() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

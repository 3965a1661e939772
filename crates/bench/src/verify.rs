//! Verification of an attestation document, against the fastest verifier in Rust that was found, the npm
//! package of the reference, and the signature checks alone.
//!
//! Nothing is cached between verifications, on either side: every figure is a cold one. Counted is
//! processor time, so that a busy machine shifts no ratio.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::summary::Figure;

/// Verifications by the npm package, which takes far longer for each than the others.
const NPM_ROUNDS: usize = 200;
const NPM_PEER: &str = "npm nostr-enclaves, Node";
const BARE_PEER: &str = "its 5 ECDSA checks, aws-lc";
const UNIT: &str = "CPU µs, median";
/// The npm package at a fixed version, with the hashes of all that it needs.
const NPM_MANIFESTS: &str = "tests/tests/interop/npm";
const NPM_PACKAGE: &str = "node_modules/nostr-enclaves/dist/index.js";

/// What `bench-peers` writes, in microseconds.
#[derive(Debug, Deserialize)]
struct Measured {
    now_secs: u64,
    root: String,
    document: String,
    rounds: usize,
    ours: f64,
    bare: f64,
    peers: Vec<(String, f64)>,
}

pub(crate) fn measure() -> Result<Vec<(&'static str, Figure)>> {
    let measured = measure_rust()?;
    let npm = measure_npm(&measured)?;
    let ratio = |peer: f64, name: &str, rounds: usize| Figure::ratio(UNIT, measured.ours, peer, name, rounds);
    let (name, fastest) =
        measured.peers.iter().min_by(|a, b| a.1.total_cmp(&b.1)).context("no peer was measured")?;
    Ok(vec![
        ("verify.vs_fastest_rust", ratio(*fastest, name, measured.rounds)),
        ("verify.vs_npm", ratio(npm, NPM_PEER, NPM_ROUNDS)),
        ("verify.vs_bare_ecdsa", ratio(measured.bare, BARE_PEER, measured.rounds)),
    ])
}

/// Builds and runs the program in which ours and the Rust peers take turns.
fn measure_rust() -> Result<Measured> {
    let target = target().join("bench-peers");
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--release", "--manifest-path"]);
    cargo.arg("crates/bench/peers/Cargo.toml").arg("--target-dir").arg(target).current_dir(workspace());
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "bench-peers ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("what bench-peers wrote")
}

/// The median of the npm package on the same document, in microseconds.
fn measure_npm(measured: &Measured) -> Result<f64> {
    #[derive(Serialize)]
    struct Input<'a> {
        root: &'a str,
        document: &'a str,
        now_secs: u64,
        rounds: usize,
    }
    let Measured { root, document, now_secs, .. } = measured;
    let input = Input { root, document, now_secs: *now_secs, rounds: NPM_ROUNDS };
    let mut node = Command::new("node");
    node.arg(workspace().join("crates/bench/src/verify/npm.mjs")).arg(installed()?.join(NPM_PACKAGE));
    let mut node = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start node")?;
    // It reads everything before it writes anything.
    node.stdin.take().context("no stdin")?.write_all(&serde_json::to_vec(&input)?)?;
    let output = node.wait_with_output()?;
    ensure!(output.status.success(), "node ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("what node wrote")
}

/// The folder into which the npm package was fetched.
fn installed() -> Result<PathBuf> {
    let (dir, from) = (target().join("bench-npm"), workspace().join(NPM_MANIFESTS));
    fs::create_dir_all(&dir)?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(from.join(name), dir.join(name)).with_context(|| format!("{}/{name}", from.display()))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&dir);
    let status = npm.stdout(Stdio::null()).status().context("cannot start npm")?;
    ensure!(status.success(), "npm ci ended with {status} in {}", dir.display());
    Ok(dir)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The build folder, of which this program lies in `TRIPLE/PROFILE`.
fn target() -> PathBuf {
    let here = std::env::current_exe().ok();
    let target = here.as_deref().and_then(|program| program.ancestors().nth(3)).map(Path::to_owned);
    target.unwrap_or_else(|| workspace().join("target"))
}

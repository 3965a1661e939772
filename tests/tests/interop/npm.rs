//! The npm packages: `nostr-enclaves`, the validator of the reference; `@getalby/sdk`, a wallet client,
//! with the WebSocket that older Nodes lack; `s3rver`, an S3 server; a validator of OpenAPI documents; and the
//! TypeScript compiler.
//!
//! Their versions and the hashes of all that they need are in `npm/package-lock.json`; `npm ci` fetches
//! them into the build folder, once for each such file. How the validator's root is replaced stands in
//! `npm/judge.mjs`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Programs that judge at once: the package runs on one core.
const PROCESSES: usize = 4;
const PACKAGE: &str = "node_modules/nostr-enclaves/dist/index.js";

/// An event to be judged.
#[derive(Debug, Serialize)]
pub(crate) struct Question {
    pub(crate) name: String,
    /// `validateInstance` or `validateEnclavedEvent`.
    pub(crate) method: &'static str,
    /// Its text.
    pub(crate) event: String,
    pub(crate) now_secs: u64,
    pub(crate) expected: Option<Expected>,
}

/// What is wanted beyond soundness.
#[derive(Debug, Serialize)]
pub(crate) struct Expected {
    pub(crate) pcrs: Option<Vec<(u8, String)>>,
    pub(crate) release: Option<ExpectedRelease>,
}

/// A repository, and those who must all have signed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExpectedRelease {
    #[serde(rename = "ref")]
    pub(crate) repo: String,
    pub(crate) signer_pubkeys: Vec<String>,
}

/// What the package said.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) name: String,
    /// `accept`, or `refuse: why`.
    pub(crate) verdict: String,
}

impl Answer {
    pub(crate) fn accepts(&self) -> bool {
        self.verdict == "accept"
    }
}

/// Lets the package judge these events under this root, in order.
///
/// # Errors
/// If it cannot be fetched or does not run.
pub(crate) fn judge(root_der: &[u8], cases: &[Question]) -> Result<Vec<Answer>> {
    let (root, package) = (STANDARD.encode(root_der), installed()?.join(PACKAGE));
    let (root, package) = (root.as_str(), package.as_path());
    let share = cases.len().div_ceil(PROCESSES).max(1);
    let answers: Vec<Result<Vec<Answer>>> = std::thread::scope(|scope| {
        let share_out = |share| scope.spawn(move || judge_in_one(package, root, share));
        let workers: Vec<_> = cases.chunks(share).map(share_out).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    Ok(answers.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn judge_in_one(package: &Path, root: &str, cases: &[Question]) -> Result<Vec<Answer>> {
    #[derive(Serialize)]
    struct Input<'a> {
        root: &'a str,
        cases: &'a [Question],
    }
    let input = serde_json::to_vec(&Input { root, cases })?;
    let mut child = Command::new("node")
        .arg(sources().join("judge.mjs"))
        .arg(package)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start node: run scripts/install")?;
    // It reads everything before it writes anything.
    child.stdin.take().context("no stdin")?.write_all(&input)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "node ended with {}", output.status);
    let answers: Vec<Answer> = serde_json::from_slice(&output.stdout).context("what node wrote")?;
    let in_order = answers.iter().map(|it| &it.name).eq(cases.iter().map(|it| &it.name));
    ensure!(in_order, "node did not answer question by question");
    Ok(answers)
}

/// Starts one of our own scripts with the packages, to be talked to; it ends with whoever holds it.
pub(crate) fn start(script: &str, arguments: &[String]) -> Result<tokio::process::Child> {
    tokio::process::Command::new("node")
        .arg(sources().join(script))
        .arg(installed()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start node: run scripts/install")
}

/// The folder of our own scripts and of the lock file.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/npm")
}

/// The folder into which the packages were fetched.
pub(crate) fn installed() -> Result<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm");
    fs::create_dir_all(&dir)?;
    // Tests are processes of their own; one fetches, the others wait.
    let lock = File::create(dir.join("lock"))?;
    lock.lock()?;
    let wanted = fs::read(sources().join("package-lock.json"))?;
    let done = dir.join("done");
    if fs::read(&done).is_ok_and(|found| found == wanted) {
        return Ok(dir);
    }
    for name in ["package.json", "package-lock.json"] {
        fs::copy(sources().join(name), dir.join(name))?;
    }
    let output = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&dir)
        .output()
        .context("cannot start npm: run scripts/install")?;
    ensure!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
    fs::write(done, wanted)?;
    Ok(dir)
}

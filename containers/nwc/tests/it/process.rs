//! The binary as an operator meets it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const SETTINGS: [(&str, &str); 3] =
    [("NWC_RELAYS", "ws://127.0.0.1:1"), ("NWC_NETWORK", "regtest"), ("NWC_BACKEND", "internal")];

fn nwc() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nwc"));
    command.env_clear().envs(SETTINGS);
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A running wallet, which does not outlive its test.
pub(crate) struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    log: String,
}

impl Running {
    /// Starts the wallet and waits until it says that it is open.
    fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// Starts it with these settings besides.
    pub(crate) fn start_with(dir: &Path, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().copied();
        let mut child = nwc().env("NWC_DATA_DIR", dir).envs(settings).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self { child, output, log: String::new() };
        while !running.log.contains("wallet open") {
            assert_ne!(running.output.read_line(&mut running.log).unwrap(), 0, "ended: {}", running.log);
        }
        running
    }

    /// Waits for a line that says this.
    pub(crate) fn wait_for(&mut self, text: &str) {
        while !self.log.contains(text) {
            assert_ne!(self.output.read_line(&mut self.log).unwrap(), 0, "ended: {}", self.log);
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn service(&self) -> String {
        self.log.split("service=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
    }

    /// Asks it to end; its exit code and everything that it said.
    fn terminate(mut self) -> (Option<i32>, String) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let code = self.child.wait().unwrap().code();
        let mut rest = std::mem::take(&mut self.log);
        self.output.read_to_string(&mut rest).unwrap();
        (code, rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn version_names_program_and_commit() {
    let (code, out, _) = run(nwc().arg("--version").env_clear());
    assert_eq!(code, Some(0));
    assert!(out.starts_with(concat!("nwc ", env!("CARGO_PKG_VERSION"), " (")), "{out}");
}

#[test]
fn check_config_prints_the_configuration_and_touches_nothing() {
    let dir = TempDir::new().unwrap();
    let (code, out, err) = run(nwc().arg("--check-config").env("NWC_DATA_DIR", dir.path()));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("NWC_BACKEND=internal\n") && out.contains("NWC_LATE_ACCEPT_SECS=0\n"), "{out}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn bad_configuration_and_bad_usage_exit_with_64() {
    let (code, out, err) = run(nwc().env("NWC_FAUCETS", "1"));
    assert_eq!((code, out.as_str()), (Some(64), ""));
    assert!(err.starts_with("nwc: NWC_FAUCETS "), "{err}");
    let (code, ..) = run(nwc().arg("--unknown"));
    assert_eq!(code, Some(64));
    let (code, out, _) = run(nwc().arg("--help"));
    assert_eq!(code, Some(0));
    assert!(out.contains("NWC_RELAYS") && out.contains("Example:"), "{out}");
}

#[test]
fn the_wallet_starts_keeps_its_identity_and_ends_on_sigterm() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(dir.path());
    let first = running.service();
    let secret = std::fs::read_to_string(dir.path().join("wallet.keys")).unwrap();
    assert_eq!(std::fs::metadata(dir.path().join("wallet.keys")).unwrap().mode() & 0o777, 0o600);
    // A second one on the same directory does not start.
    let (code, out, _) = run(nwc().env("NWC_DATA_DIR", dir.path()));
    assert_eq!(code, Some(1));
    assert!(out.contains("another wallet is running"), "{out}");
    let (code, log) = running.terminate();
    assert_eq!(code, Some(0), "{log}");
    for line in secret.lines() {
        let (_, key) = line.split_once(' ').unwrap();
        assert!(!log.contains(key), "a secret key was printed");
    }
    let running = Running::start(dir.path());
    assert_eq!(running.service(), first);
    assert_eq!(running.terminate().0, Some(0));
}

#[test]
fn an_unusable_data_directory_is_named() {
    let (code, out, _) = run(nwc().env("NWC_DATA_DIR", "/proc/none"));
    assert_eq!(code, Some(1));
    assert!(out.contains("/proc/none") && out.contains("mount a writable volume"), "{out}");
}

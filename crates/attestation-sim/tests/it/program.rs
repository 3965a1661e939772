//! The program, as other programs start it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use attestation::nsm::Nsm;
use attestation::{Expectations, Pcr, TrustRoot, VerifyAt, pcr_digest, verify};
use attestation_sim::image_pcrs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use units::{Stopwatch, SystemClock};

/// Longer than a start on a busy machine takes.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often to look for what another process does.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A running simulator, killed at the end of the test if it still runs.
struct Simulator {
    child: Child,
    socket: PathBuf,
}

impl Simulator {
    /// Starts one and waits for its socket.
    fn start(directory: &Path, name: &str, extra: &[&str]) -> Self {
        let socket = directory.join(name);
        let child = command(&socket, &directory.join("root")).args(extra).spawn().unwrap();
        let mut simulator = Self { child, socket };
        let since = Stopwatch::start();
        while !simulator.socket.exists() {
            assert_eq!(simulator.child.try_wait().unwrap(), None, "ended at once");
            assert!(since.elapsed() < DEADLINE, "no socket");
            std::thread::sleep(LOOK_AGAIN);
        }
        simulator
    }

    fn nsm(&self) -> Nsm {
        Nsm::open(&self.socket).unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(socket: &Path, root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attestation-sim"));
    command.arg("--socket").arg(socket).arg("--root-dir").arg(root).stdin(Stdio::null());
    command
}

/// Runs one that is expected to end by itself.
fn run(socket: &Path, root: &Path, extra: &[&str]) -> Output {
    let mut command = command(socket, root);
    let mut child = command.args(extra).stderr(Stdio::piped()).spawn().unwrap();
    let since = Stopwatch::start();
    while child.try_wait().unwrap().is_none() {
        if since.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("{extra:?}: still running");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    child.wait_with_output().unwrap()
}

#[test]
fn it_serves_what_it_was_told_and_ends_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let eight = "08".repeat(48);
    let extra = ["--instance-id", "i-0feed", "--image-seed", "v2", "--pcr", &format!("8={eight}")];
    let mut simulator = Simulator::start(directory.path(), "nsm.sock", &extra);
    // Usable from the first moment.
    let document = simulator.nsm().attest(None, Some(b"data"), None).unwrap();
    let der = std::fs::read(directory.path().join("root/sim-root.der")).unwrap();
    let image = (0..).zip(image_pcrs("v2"));
    let expectations = Expectations::none().pcrs(image).unwrap();
    let expectations = expectations.pcr(4, pcr_digest(b"i-0feed")).unwrap();
    let expectations = expectations.pcr(8, Pcr::from_bytes([8; 48])).unwrap().max_age_secs(60);
    let root = TrustRoot::from_der(&der).unwrap();
    let verified = verify(&document, &expectations, &root, VerifyAt::now(&SystemClock)).unwrap();
    assert!(verified.module_id().starts_with("i-0feed-enc"));

    kill(simulator.pid(), Signal::SIGTERM).unwrap();
    assert!(simulator.child.wait().unwrap().success());
    assert!(!simulator.socket.exists());
}

#[test]
fn simulators_that_start_at_once_share_a_root() {
    let directory = tempfile::tempdir().unwrap();
    let simulators: Vec<Simulator> = std::thread::scope(|scope| {
        let path = directory.path();
        let start = |name| scope.spawn(move || Simulator::start(path, name, &["--debug"]));
        let starters = ["a.sock", "b.sock", "c.sock"].map(start);
        starters.into_iter().map(|starter| starter.join().unwrap()).collect()
    });
    let der = std::fs::read(directory.path().join("root/sim-root.der")).unwrap();
    let root = TrustRoot::from_der(&der).unwrap();
    for simulator in &simulators {
        let document = simulator.nsm().attest(None, None, None).unwrap();
        let allowed = Expectations::none().allow_debug(true);
        let verified = verify(&document, &allowed, &root, VerifyAt::now(&SystemClock)).unwrap();
        assert!(verified.is_debug());
    }
}

#[test]
fn a_killed_simulator_leaves_a_path_that_can_be_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(directory.path(), "nsm.sock", &[]);
    let nsm = simulator.nsm();
    let before = nsm.describe().unwrap();
    let second = run(&simulator.socket, &directory.path().join("root"), &[]);
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("something listens"), "{second:?}");
    drop(simulator);
    let left = directory.path().join("nsm.sock");
    assert!(left.exists());
    let again = command(&left, &directory.path().join("root")).spawn().unwrap();
    let again = Simulator { child: again, socket: left };
    let since = Stopwatch::start();
    let after = loop {
        if let Ok(description) = nsm.describe() {
            break description;
        }
        assert!(since.elapsed() < DEADLINE, "not reachable");
        std::thread::sleep(LOOK_AGAIN);
    };
    assert_ne!(after.module_id, before.module_id);
    drop(again);
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, root) = (directory.path().join("nsm.sock"), directory.path().join("root"));
    let zeros = "00".repeat(48);
    for (extra, expected) in [
        (vec!["--pcr", "8"], "N=HEX"),
        (vec!["--pcr", "32=00"], "0 to 31"),
        (vec!["--pcr", "8="], "empty"),
        (vec!["--pcr", "8=00"], "96 hex digits"),
        (vec!["--pcr", &format!("8={zeros}"), "--pcr", &format!("8={zeros}")], "twice"),
        (vec!["--instance-id", "x"], "instance id"),
        (vec!["--unknown"], "--unknown"),
    ] {
        let output = run(&socket, &root, &extra);
        assert!(!output.status.success(), "{extra:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(expected), "{extra:?}: {text}");
        assert!(!socket.exists(), "{extra:?}");
    }
}

#[test]
fn it_says_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_attestation-sim")).arg("--version").output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("attestation-sim {}\n", env!("CARGO_PKG_VERSION"))
    );
}

//! Processes of the host side.

use std::time::Duration;

use devnet::process::{Process, ProcessSpec, Ready};
use tempfile::TempDir;
use tokio::net::UnixListener;

use crate::support::{SOON, helper, shell};

/// Long enough to see that something does not happen, if it would happen at once.
const MOMENT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn process_that_fails_is_reported_with_its_last_lines() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    let spec = shell("seq 1 20; echo the reason >&2; exit 3");
    let mut process = Process::on_host(&helper(), &spec, &log).unwrap();
    let err = process.wait_ready(&Ready::LogLine("never".to_owned()), SOON).await.unwrap_err().to_string();
    assert!(err.contains("busybox ended (exit status: 3) before logging \"never\""), "{err}");
    assert!(err.contains("  20\n  the reason") && !err.contains("  9\n"), "{err}");

    let mut slow = Process::on_host(&helper(), &shell("echo waiting; exec sleep 600"), &log).unwrap();
    slow.wait_ready(&Ready::LogLine("waiting".to_owned()), SOON).await.unwrap();
    let err = slow.wait_ready(&Ready::Unix(dir.path().join("socket")), MOMENT).await.unwrap_err().to_string();
    assert!(err.contains("is not accepting connections") && err.contains("  waiting"), "{err}");
    // The earlier process's lines are not this one's.
    assert!(!err.contains("the reason"), "{err}");

    let mut missing = Process::on_host(&helper(), &ProcessSpec::new("no-such-program"), &log).unwrap();
    let err = missing.wait_ready(&Ready::LogLine("never".to_owned()), SOON).await.unwrap_err().to_string();
    assert!(err.contains("cannot execute no-such-program"), "{err}");
}

#[tokio::test]
async fn process_is_ready_when_its_socket_answers() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("socket");
    // A file of that name, as a killed process leaves it, is not enough.
    drop(UnixListener::bind(&path).unwrap());
    let mut process = Process::on_host(&helper(), &shell("exec sleep 600"), &dir.path().join("log")).unwrap();
    assert!(process.wait_ready(&Ready::Unix(path.clone()), MOMENT).await.is_err());
    std::fs::remove_file(&path).unwrap();
    let _listener = UnixListener::bind(&path).unwrap();
    process.wait_ready(&Ready::Unix(path), SOON).await.unwrap();
}

#[tokio::test]
async fn process_has_only_the_environment_that_it_was_given() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    let spec = ProcessSpec::new("env").env("GIVEN", "value");
    let mut process = Process::on_host(&helper(), &spec, &log).unwrap();
    assert!(process.wait_exit(SOON).await.unwrap().success());
    let mut lines: Vec<String> = std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines[0], "GIVEN=value");
    assert!(lines[1].starts_with("PATH=") && lines.len() == 2, "{lines:?}");
    assert!(!format!("{spec:?}").contains("value"));
}

#[tokio::test]
async fn process_outlives_the_thread_that_asked_for_it() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    let start = move || Process::on_host(&helper(), &shell("exec sleep 600"), &log).unwrap();
    let mut process = std::thread::spawn(start).join().unwrap();
    assert!(process.wait_exit(MOMENT).await.is_err());
}

#[tokio::test]
async fn process_is_asked_to_end_before_it_is_made_to() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    let ready = Ready::LogLine("ready".to_owned());
    let polite = shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    let mut process = Process::on_host(&helper(), &polite, &log).unwrap();
    process.wait_ready(&ready, SOON).await.unwrap();
    assert!(process.stop(SOON).await.unwrap().success());
    assert!(process.log_tail().ends_with("  bye"), "{}", process.log_tail());

    let mut process = Process::on_host(&helper(), &polite, &log).unwrap();
    process.wait_ready(&ready, SOON).await.unwrap();
    let tail = process.log_path().to_owned();
    drop(process);
    assert!(std::fs::read_to_string(tail).unwrap().ends_with("bye\n"));

    let stubborn = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
    let mut process = Process::on_host(&helper(), &stubborn, &log).unwrap();
    process.wait_ready(&ready, SOON).await.unwrap();
    let status = process.stop(MOMENT).await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}

#[tokio::test]
async fn process_writes_to_a_hidden_directory_reach_nobody() {
    let dir = TempDir::new().unwrap();
    let hidden = dir.path().join("hidden");
    std::fs::create_dir(&hidden).unwrap();
    std::fs::write(hidden.join("there"), "x").unwrap();
    let script = format!("cd {}; ls -A | wc -l; echo x >written; ls", hidden.display());
    let log = dir.path().join("log");
    let mut process = Process::on_host(&helper(), &shell(&script).hiding(&hidden), &log).unwrap();
    assert!(process.wait_exit(SOON).await.unwrap().success());
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "0\nwritten\n");
    assert!(hidden.join("there").exists() && !hidden.join("written").exists());
}

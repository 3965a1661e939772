//! The death of a box's owner.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptions, CreateImageOptionsBuilder, StartContainerOptions};
use bollard::{API_DEFAULT_VERSION, Docker, body_full};
use futures_util::TryStreamExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

use crate::support::{Traces, eventually, helper};

/// What `box-hold` says.
#[derive(Debug, Deserialize)]
struct Held {
    name: String,
    dir: PathBuf,
    init_pid: u32,
    engine_socket: PathBuf,
    registry_pid: u32,
}

/// A process that owns a box, an engine and a registry.
fn start_owner() -> (Child, Held) {
    let mut command = Command::new(helper().path());
    let mut owner = command.arg("box-hold").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (owner, serde_json::from_str(&line).unwrap())
}

fn signal(process: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(process.id()).unwrap()), signal).unwrap();
}

/// Starts a container that sleeps, in an image that the engine makes of one file.
async fn run_sleeper(engine_socket: &Path) {
    let docker = Docker::connect_with_unix(engine_socket.to_str().unwrap(), 60, API_DEFAULT_VERSION).unwrap();
    let docker = docker.negotiate_version().await.unwrap();
    let mut root = tar::Builder::new(Vec::new());
    root.append_path_with_name("/bin/busybox", "busybox").unwrap();
    let root = body_full(root.into_inner().unwrap().into());
    let options = CreateImageOptionsBuilder::default().from_src("-").repo("sleeper").tag("1").build();
    let _: Vec<_> = docker.create_image(Some(options), Some(root), None).try_collect().await.unwrap();
    let body = ContainerCreateBody {
        image: Some("sleeper:1".to_owned()),
        cmd: Some(["/busybox", "sleep", "600"].map(str::to_owned).to_vec()),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(None::<CreateContainerOptions>, body).await.unwrap().id;
    docker.start_container(&id, None::<StartContainerOptions>).await.unwrap();
}

#[tokio::test]
async fn owner_killed_leaves_nothing() {
    let (mut owner, held) = start_owner();
    let traces = Traces::by_name(&held.name, &held.dir, held.init_pid);
    run_sleeper(&held.engine_socket).await;
    let expected = BTreeSet::from(["cgroup", "process", "directory", "device"]);
    assert!(traces.find().is_superset(&expected), "{:?}", traces.find());

    signal(&owner, Signal::SIGKILL);
    owner.wait().unwrap();
    eventually("nothing is left of the box", async || traces.find().is_empty()).await;
    eventually("the registry is gone", async || !is_alive(held.registry_pid)).await;
}

#[tokio::test]
async fn owner_interrupted_ends_in_order() {
    let (mut owner, held) = start_owner();
    let traces = Traces::by_name(&held.name, &held.dir, held.init_pid);
    signal(&owner, Signal::SIGINT);
    eventually("the owner ends", async || owner.try_wait().unwrap().is_some()).await;
    assert!(owner.wait().unwrap().success());
    assert_eq!(traces.find(), BTreeSet::new());
    assert!(!is_alive(held.registry_pid));
}

fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // A zombie is dead: where nobody reaps orphans, as in some containers, it stays to be seen.
    !status.is_empty() && !status.contains("State:\tZ")
}

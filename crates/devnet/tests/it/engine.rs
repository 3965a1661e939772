//! Engine, registry and images together.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, LogsOptionsBuilder, StartContainerOptions,
};
use devnet::docker::{Engine, EngineOptions};
use devnet::enclave_box::EnclaveBox;
use devnet::image_build::{Content, ImageSpec, Platform, write_index_layout};
use devnet::registry::Registry;
use futures_util::TryStreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use units::Stopwatch;

use crate::support::{Traces, busybox_image, eventually, start_box};

/// Prints the container's limits under control groups of version 2 or 1, then serves a page.
const GUEST: &str = "cd /sys/fs/cgroup; cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes; \
    cat pids.max 2>/dev/null || cat pids/pids.max; cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us; \
    cat /proc/self/uid_map; exec httpd -f -p 8080 -h /www";

/// Pushes the busybox image, fetches it by digest and loads it, as `guest:1`.
async fn load_guest(enclave: &EnclaveBox, registry: &Registry, engine: &Engine) {
    let layout = busybox_image().write_layout(&enclave.dir().join("image")).unwrap();
    let watch = Stopwatch::start();
    let digest = registry.push(&layout, "guest:1").await.unwrap();
    println!("pushed in {:?}", watch.elapsed());
    assert_eq!(digest, layout.digest());
    let archive = enclave.dir().join("guest.tar");
    registry.save(&format!("guest@{digest}"), &archive, "guest:1").await.unwrap();
    engine.load(&archive).await.unwrap();
}

/// Starts a web server with limits, published on the box's port 80.
async fn run_guest(docker: &Docker) -> String {
    let binding = PortBinding { host_ip: None, host_port: Some("80".to_owned()) };
    let host_config = HostConfig {
        memory: Some(32 << 20),
        pids_limit: Some(20),
        nano_cpus: Some(300_000_000),
        port_bindings: Some(HashMap::from([("8080/tcp".to_owned(), Some(vec![binding]))])),
        ..HostConfig::default()
    };
    let body = ContainerCreateBody {
        image: Some("guest:1".to_owned()),
        cmd: Some(["sh", "-c", GUEST].map(str::to_owned).to_vec()),
        exposed_ports: Some(vec!["8080/tcp".to_owned()]),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(None::<CreateContainerOptions>, body).await.unwrap().id;
    docker.start_container(&id, None::<StartContainerOptions>).await.unwrap();
    id
}

async fn get_page(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET /hello HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

async fn serves_page(enclave: &EnclaveBox) {
    let address = SocketAddr::from((enclave.box_address(), 80));
    eventually("the container serves its page", async || {
        get_page(address).await.as_deref() == Some("hello from inside")
    })
    .await;
}

async fn container_pid(docker: &Docker, id: &str) -> Option<i64> {
    let state = docker.inspect_container(id, None::<InspectContainerOptions>).await.unwrap().state.unwrap();
    assert_eq!(state.running, Some(true));
    state.pid
}

#[tokio::test]
async fn engine_runs_an_image_from_the_registry_and_survives_a_crash() {
    let enclave = start_box().await;
    let traces = Traces::of(&enclave);
    let watch = Stopwatch::start();
    let registry = Registry::start(&enclave).await.unwrap();
    println!("registry ready in {:?}", watch.elapsed());
    let watch = Stopwatch::start();
    let mut engine = Engine::start(&enclave, EngineOptions::default()).await.unwrap();
    println!("engine ready in {:?}", watch.elapsed());
    load_guest(&enclave, &registry, &engine).await;

    let watch = Stopwatch::start();
    let id = run_guest(engine.client()).await;
    serves_page(&enclave).await;
    println!("created to serving in {:?}", watch.elapsed());

    let options = LogsOptionsBuilder::default().stdout(true).build();
    let logs: Vec<_> = engine.client().logs(&id, Some(options)).try_collect().await.unwrap();
    let logs: String = logs.iter().map(ToString::to_string).collect();
    let words: Vec<&str> = logs.split_whitespace().collect();
    assert_eq!(words[..3], [(32 << 20).to_string().as_str(), "20", "30000"], "{logs}");
    assert!(logs.contains("100000"), "not remapped: {logs}");
    assert!(traces.find().is_superset(&BTreeSet::from(["cgroup", "process", "directory", "device"])));

    let (before, dockerd) = (container_pid(engine.client(), &id).await, engine.pid());
    engine.kill_hard().await.unwrap();
    assert!(!Path::new(&format!("/proc/{dockerd}")).exists());
    assert!(engine.client().ping().await.is_err());
    let watch = Stopwatch::start();
    engine.restart().await.unwrap();
    println!("engine restarted in {:?}", watch.elapsed());
    assert_eq!(container_pid(engine.client(), &id).await, before);
    serves_page(&enclave).await;

    registry.stop().await.unwrap();
    engine.stop().await.unwrap();
    let watch = Stopwatch::start();
    // The container still runs: the end of the box is its end.
    enclave.stop().await.unwrap();
    println!("box with an engine stopped in {:?}", watch.elapsed());
    assert_eq!(traces.find(), BTreeSet::new());
}

#[tokio::test]
async fn engine_leaves_the_host_alone() {
    let host_files = || {
        let dirs = [
            "/etc/docker",
            "/opt/containerd",
            "/var/lib/docker",
            "/var/lib/containerd",
            "/var/lib/containers",
        ];
        let modified = |path: &str| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        dirs.map(|dir| (dir, modified(dir), modified(&format!("{dir}/key.json"))))
    };
    let before = host_files();
    let enclave = start_box().await;
    let registry = Registry::start(&enclave).await.unwrap();
    let engine = Engine::start(&enclave, EngineOptions::default()).await.unwrap();
    load_guest(&enclave, &registry, &engine).await;
    drop((engine, registry));
    enclave.stop().await.unwrap();
    assert_eq!(host_files(), before);
}

#[tokio::test]
async fn registry_takes_what_a_stranger_might_push() {
    let enclave = start_box().await;
    let registry = Registry::start(&enclave).await.unwrap();
    let dir = |name: &str| enclave.dir().join(name);
    let small = ImageSpec::default().file("/x", Content::Bytes(b"x".to_vec()), 0o644);
    let arm = small.clone().platform(Platform::linux("arm64"));
    let bomb = ImageSpec::default().file("/zeros", Content::Zeros { bytes: 20_000_000 }, 0o644);
    let huge = ImageSpec::default().file("/noise", Content::Noise { bytes: 20_000_000 }, 0o644);
    let images = [
        ("small:1", small.write_layout(&dir("small")).unwrap()),
        ("arm:1", arm.write_layout(&dir("arm")).unwrap()),
        ("bomb:1", bomb.write_layout(&dir("bomb")).unwrap()),
        ("huge:1", huge.write_layout(&dir("huge")).unwrap()),
        ("multi:1", write_index_layout(&[small, arm], &dir("multi")).unwrap()),
        // A tag may move.
        ("small:1", bomb.write_layout(&dir("moved")).unwrap()),
    ];
    for (name, layout) in &images {
        let digest = registry.push(layout, name).await.unwrap();
        let served = manifest_digest(&registry, name).await;
        assert_eq!((digest.as_str(), served.as_str()), (layout.digest(), layout.digest()), "{name}");
    }

    let archive = dir("multi.tar");
    registry.save("multi:1", &archive, "multi:1").await.unwrap();
    let message =
        format!("{:#}", registry.save("absent:1", &dir("absent.tar"), "absent:1").await.unwrap_err());
    assert!(message.contains("cannot fetch absent:1") && message.contains("manifest unknown"), "{message}");
    registry.stop().await.unwrap();
    enclave.stop().await.unwrap();
}

/// The digest under which the registry serves `name:tag` (OCI distribution specification, "Pull").
async fn manifest_digest(registry: &Registry, name: &str) -> String {
    let (name, tag) = name.split_once(':').unwrap();
    let mut stream = TcpStream::connect(registry.address()).await.unwrap();
    let request = format!(
        "HEAD /v2/{name}/manifests/{tag} HTTP/1.0\r\nHost: registry\r\n\
         Accept: application/vnd.oci.image.manifest.v1+json\r\n\
         Accept: application/vnd.oci.image.index.v1+json\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let header = answer.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: "));
    header.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

//! Boxes by themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use units::Stopwatch;

use crate::support::{SOON, Traces, eventually, run_in, shell, start_box};

#[tokio::test]
async fn box_has_its_own_first_process_network_and_names() {
    let watch = Stopwatch::start();
    let enclave = start_box().await;
    println!("box started in {:?}", watch.elapsed());

    let first = run_in(&enclave, "tr '\\0' ' ' </proc/1/cmdline; hostname").await;
    assert_eq!(first, "enclaved-devnet box-init enclave\n");
    let devices = run_in(&enclave, "ip -oneline -4 address | awk '{print $2, $4}'").await;
    assert_eq!(devices, format!("lo 127.0.0.1/8\neth0 {}/30\n", enclave.box_address()));
    for kind in ["net", "mnt", "pid", "ipc", "uts"] {
        let inside = run_in(&enclave, &format!("readlink /proc/self/ns/{kind}")).await;
        let ours = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(Path::new(inside.trim()), ours);
    }

    let listener = TcpListener::bind((enclave.host_address(), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("echo from inside | nc -w 5 {} {port}", enclave.host_address());
    let hears = async {
        let (mut stream, from) = listener.accept().await.unwrap();
        let mut said = [0; 12];
        stream.read_exact(&mut said).await.unwrap();
        (from.ip(), said)
    };
    let ((from, said), _) = tokio::join!(hears, run_in(&enclave, &script));
    assert_eq!((from, &said), (enclave.box_address().into(), b"from inside\n"));

    let traces = Traces::of(&enclave);
    let watch = Stopwatch::start();
    enclave.stop().await.unwrap();
    println!("box stopped in {:?}", watch.elapsed());
    assert_eq!(traces.find(), BTreeSet::new());
}

#[tokio::test]
async fn box_writes_stay_inside() {
    let enclave = start_box().await;
    let mark = format!("written-by-{}", enclave.name());
    for dir in ["/etc", "/opt", "/var/lib", "/run"] {
        let path = format!("{dir}/{mark}");
        run_in(&enclave, &format!("echo x >{path} && cat {path}")).await;
        assert!(!Path::new(&path).exists(), "{path}");
    }
    let subuid = run_in(&enclave, "cat /etc/subuid").await;
    assert_eq!(subuid, "enclave:100000:65536\n");
    assert!(!fs::read_to_string("/etc/passwd").unwrap().contains("enclave:x:990"));
    enclave.stop().await.unwrap();
}

#[tokio::test]
async fn box_process_ends_as_its_program_does() {
    let enclave = start_box().await;
    let log = enclave.dir().join("process.log");

    let mut exits = enclave.spawn(&shell("exit 7"), &log).unwrap();
    assert_eq!(exits.wait_exit(SOON).await.unwrap().code(), Some(7));

    let mut killed = enclave.spawn(&shell("exec sleep 600"), &log).unwrap();
    assert!(killed.is_running());
    // A process has no command line for the moment in which it becomes its program.
    let cmdline = format!("/proc/{}/cmdline", killed.pid());
    eventually("the pid is that of the program", async || {
        fs::read_to_string(&cmdline).unwrap() == "sleep\x00600\x00"
    })
    .await;
    killed.kill(Signal::SIGTERM).unwrap();
    let status = killed.wait_exit(SOON).await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));

    let missing = enclave.spawn(&devnet::process::ProcessSpec::new("no-such-program"), &log);
    let message = format!("{:#}", missing.unwrap_err());
    assert!(message.contains("cannot execute no-such-program"), "{message}");

    let dropped = enclave.spawn(&shell("trap '' TERM; while :; do sleep 1; done"), &log).unwrap();
    let proc = format!("/proc/{}", dropped.pid());
    assert!(Path::new(&proc).exists());
    drop(dropped);
    assert!(!Path::new(&proc).exists());
    enclave.stop().await.unwrap();
}

#[tokio::test]
async fn box_reaps_orphans() {
    let enclave = start_box().await;
    run_in(&enclave, "(sh -c 'exit 3' & sh -c 'exit 4' &) ; true").await;
    eventually("no zombie in the box", async || {
        run_in(&enclave, "grep -l '^State:.Z' /proc/[0-9]*/status || true").await.is_empty()
    })
    .await;
    enclave.stop().await.unwrap();
}

#[tokio::test]
async fn two_boxes_run_at_once_and_apart() {
    // Tasks of their own: a box must be able to move between threads, and to be shared.
    let (one, two) = (tokio::spawn(start_box()), tokio::spawn(start_box()));
    let (one, two) = (Arc::new(one.await.unwrap()), Arc::new(two.await.unwrap()));
    assert_ne!(one.name(), two.name());
    assert_ne!(one.box_address(), two.box_address());
    let marker = one.spawn(&shell("exec sleep 601"), &one.dir().join("sleep.log")).unwrap();
    let seen = run_in(&two, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").await;
    assert!(!seen.contains("sleep 601"), "{seen}");
    for (enclave, other) in [(&one, &two), (&two, &one)] {
        // Port 9 is nobody's: its refusal shows that the host is reached.
        let tries = |address| format!("nc -w 1 {address} 9 2>&1 || true");
        let host = run_in(enclave, &tries(enclave.host_address())).await;
        assert!(host.contains("refused"), "{host}");
        assert!(run_in(enclave, "ip -oneline link").await.lines().count() == 2);
        assert!(Traces::of(other).find().contains("device"));
    }

    let (first, second) = (Traces::of(&one), Traces::of(&two));
    drop(marker);
    Arc::into_inner(one).unwrap().stop().await.unwrap();
    assert_eq!(first.find(), BTreeSet::new());
    assert_eq!(run_in(&two, "echo still here").await, "still here\n");
    let two = tokio::spawn(async move {
        run_in(&two, "true").await;
        two
    })
    .await
    .unwrap();
    Arc::into_inner(two).unwrap().stop().await.unwrap();
    assert_eq!(second.find(), BTreeSet::new());
}

/// Makes an ext4 file system in a file and mounts it, by a loop device that `attach` asks for.
async fn mount_volume(enclave: &devnet::enclave_box::EnclaveBox, attach: &str) {
    let dir = enclave.dir().display();
    run_in(
        enclave,
        &format!(
            "set -e; cd {dir}; truncate -s 4M volume; mkfs.ext4 -q volume; mkdir m; \
             device=$(/sbin/losetup --find --show volume); {attach}; echo x >m/x"
        ),
    )
    .await;
}

#[tokio::test]
async fn box_stop_frees_mounted_volumes() {
    let enclave = start_box().await;
    // As a daemon should do it: detached at once, the device lives until the mount's end.
    mount_volume(&enclave, "mount -t ext4 $device m; /sbin/losetup --detach $device").await;
    let traces = Traces::of(&enclave);
    assert!(traces.find().is_superset(&BTreeSet::from(["loop device", "process", "directory", "device"])));
    assert!(!traces.find().contains("mount"), "a mount in the box shows on the host");
    enclave.stop().await.unwrap();
    assert_eq!(traces.find(), BTreeSet::new());
}

#[tokio::test]
async fn box_stop_reports_a_loop_device_left_attached() {
    let enclave = start_box().await;
    mount_volume(&enclave, "mount -t ext4 $device m").await;
    let traces = Traces::of(&enclave);
    let message = format!("{:#}", enclave.stop().await.unwrap_err());
    assert!(message.contains("had to detach loop devices"), "{message}");
    assert_eq!(traces.find(), BTreeSet::new());
}

#[tokio::test]
async fn box_whose_first_process_died_says_so() {
    let enclave = start_box().await;
    let traces = Traces::of(&enclave);
    let init = nix::unistd::Pid::from_raw(i32::try_from(enclave.init_pid()).unwrap());
    nix::sys::signal::kill(init, Signal::SIGKILL).unwrap();
    eventually("the first process is gone", async || {
        !Path::new(&format!("/proc/{}", enclave.init_pid())).exists()
    })
    .await;
    let message = format!("{:#}", enclave.spawn(&shell("true"), &enclave.dir().join("log")).unwrap_err());
    assert!(message.contains("has the box ended?"), "{message}");
    let message = format!("{:#}", enclave.stop().await.unwrap_err());
    assert!(message.contains("had ended before"), "{message}");
    assert_eq!(traces.find(), BTreeSet::new());
}

#[tokio::test]
async fn box_whose_keeper_was_killed_is_removed_by_its_owner() {
    let enclave = start_box().await;
    let traces = Traces::of(&enclave);
    let parent = |pid: u32| -> u32 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap()
    };
    let keeper = parent(parent(enclave.init_pid()));
    assert!(fs::read_to_string(format!("/proc/{keeper}/cmdline")).unwrap().contains("box-keeper"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(keeper).unwrap()), Signal::SIGKILL)
        .unwrap();
    let message = format!("{:#}", enclave.stop().await.unwrap_err());
    assert!(message.contains("keeper ended without a message"), "{message}");
    assert_eq!(traces.find(), BTreeSet::new());
}

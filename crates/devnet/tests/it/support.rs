//! What the tests share.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use devnet::enclave_box::{BoxOptions, EnclaveBox};
use devnet::helper::HelperBinary;
use devnet::image_build::{Content, ImageSpec};
use devnet::process::ProcessSpec;
use tokio::time::sleep;
use units::Stopwatch;

/// How long anything here may take that takes a moment.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn helper() -> HelperBinary {
    HelperBinary::at(env!("CARGO_BIN_EXE_enclaved-devnet"))
}

pub(crate) async fn start_box() -> EnclaveBox {
    EnclaveBox::start(BoxOptions::new(helper())).await.unwrap()
}

/// A shell script as a process.
pub(crate) fn shell(script: &str) -> ProcessSpec {
    ProcessSpec::new("busybox").args(["sh", "-c", script])
}

/// Runs a shell script in the box to its end, which must be good, and returns what it wrote.
pub(crate) async fn run_in(enclave: &EnclaveBox, script: &str) -> String {
    let log = enclave.dir().join("script.log");
    drop(fs::remove_file(&log));
    let mut process = enclave.spawn(&shell(script), &log).unwrap();
    let status = process.wait_exit(SOON).await.unwrap();
    assert!(status.success(), "{status}: {}", process.log_tail());
    fs::read_to_string(log).unwrap()
}

/// An image with nothing but a static busybox, and a page for its web server.
pub(crate) fn busybox_image() -> ImageSpec {
    ImageSpec::default()
        .program("/bin/busybox", "/bin/busybox")
        .file("/bin/sh", Content::Symlink("busybox".into()), 0o777)
        .file("/www/hello", Content::Bytes(b"hello from inside".to_vec()), 0o644)
        .entrypoint(&["/bin/busybox"])
}

/// Waits until `is_met`.
pub(crate) async fn eventually(goal: &str, mut is_met: impl AsyncFnMut() -> bool) {
    let watch = Stopwatch::start();
    while !is_met().await {
        assert!(watch.elapsed() < SOON, "not after {SOON:?}: {goal}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Everything by which a box could be found on this machine.
#[derive(Debug)]
pub(crate) struct Traces {
    name: String,
    dir: PathBuf,
    /// Held open: the kernel gives the number of an ended namespace to the next one.
    uts: File,
}

impl Traces {
    pub(crate) fn of(enclave: &EnclaveBox) -> Self {
        Self::by_name(enclave.name(), enclave.dir(), enclave.init_pid())
    }

    pub(crate) fn by_name(name: &str, dir: &Path, init_pid: u32) -> Self {
        let uts = File::open(format!("/proc/{init_pid}/ns/uts")).unwrap();
        Self { name: name.to_owned(), dir: dir.to_owned(), uts }
    }

    /// What is there of the box now.
    pub(crate) fn find(&self) -> BTreeSet<&'static str> {
        let lists = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).output().unwrap();
            assert!(output.status.success(), "{program}: {output:?}");
            String::from_utf8(output.stdout).unwrap().contains(&self.name)
        };
        let cgroups = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
        let mut found = BTreeSet::new();
        let mut note = |what, is_there| {
            if is_there {
                found.insert(what);
            }
        };
        note("device", lists("ip", &["-oneline", "link"]));
        note("loop device", lists("losetup", &["--list", "--output", "BACK-FILE"]));
        note("mount", fs::read_to_string("/proc/mounts").unwrap().contains(&self.name));
        note(
            "cgroup",
            cgroups.into_iter().any(|root| root.ends_with(&self.name) || root.join(&self.name).exists()),
        );
        note("directory", self.dir.exists());
        note("process", processes().into_iter().any(|process| self.has(&process)));
        found
    }

    /// Whether the process belongs to the box. Those of containers have left the UTS namespace, but
    /// they would keep their control groups from being removed.
    fn has(&self, process: &Path) -> bool {
        let ours = self.uts.metadata().unwrap().ino();
        fs::metadata(process.join("ns/uts")).is_ok_and(|uts| uts.ino() == ours)
            || fs::read_to_string(process.join("cmdline")).is_ok_and(|line| line.contains(&self.name))
    }
}

fn processes() -> Vec<PathBuf> {
    let is_process = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().parse::<u32>().is_ok();
    fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).filter(is_process).collect()
}

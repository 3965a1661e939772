//! A private Docker engine in a box.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bollard::query_parameters::ImportImageOptionsBuilder;
use bollard::{API_DEFAULT_VERSION, Docker, body_try_stream};
use futures_util::TryStreamExt;
use nix::sys::signal::Signal;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use crate::enclave_box::{BoxEntrance, EnclaveBox, init};
use crate::process::{Process, ProcessSpec};

/// How long the engine may take to answer; it takes about one second, more on a busy machine.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// How long one question whether it is ready may hang.
const PING_DEADLINE: Duration = Duration::from_secs(2);
/// How long it may take to end by itself before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// How long the kernel may take to end it after SIGKILL.
const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// How long the client waits for an answer: loading an image is one request.
const CLIENT_TIMEOUT_SECS: u64 = 120;

/// How to run an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// What goes to its log: `debug`, `info`, `warn`, `error` or `fatal`.
    pub log_level: String,
    /// Registries that may be asked over plain HTTP, as `host:port`; for comparisons with
    /// `docker pull` only. The daemon fetches images itself.
    pub insecure_registries: Vec<String>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { log_level: "warn".to_owned(), insecure_registries: Vec::new() }
    }
}

/// A running engine: dockerd, and the containerd that it starts.
#[derive(Debug)]
pub struct Engine {
    entrance: BoxEntrance,
    spec: ProcessSpec,
    dir: PathBuf,
    process: Process,
    client: Docker,
}

impl Engine {
    /// Starts an engine in the box and waits until it answers.
    ///
    /// User namespaces are remapped, and containers outlive the engine until their box ends. Networks
    /// are /28s: enough for a gateway and one app, so that 4,096 of them fit.
    ///
    /// # Errors
    /// When it does not answer in time, with the last lines of its log.
    pub async fn start(enclave: &EnclaveBox, options: EngineOptions) -> Result<Self> {
        let dir = enclave.dir().join("docker");
        // Containers' root, remapped to another user, passes through to its layers.
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let mut spec = ProcessSpec::new("dockerd")
            .arg("--data-root")
            .arg(dir.join("data"))
            .args(["--exec-root", "/run/docker"])
            .arg("--pidfile")
            .arg(pidfile(&dir))
            .arg("--host")
            .arg(format!("unix://{}", socket(&dir).display()))
            .args(["--userns-remap", init::REMAP_USER])
            .args(["--cgroup-parent", &enclave.cgroup_parent()])
            // systemd, where the host has one, is not reachable from the box.
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs"])
            .args(["--storage-driver", "overlay2"])
            .args(["--bip", "172.30.0.1/24"])
            .args(["--default-address-pool", "base=10.231.0.0/16,size=28"])
            .arg("--live-restore")
            .args(["--log-level", &options.log_level]);
        for registry in &options.insecure_registries {
            spec = spec.args(["--insecure-registry", registry]);
        }
        let entrance = enclave.entrance();
        let (process, client) = launch(&entrance, &spec, &dir).await?;
        Ok(Self { entrance, spec, dir, process, client })
    }

    /// The engine's Unix socket, at the same path in the box and on the host.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(&self.dir)
    }

    /// A client of the engine, good across restarts.
    #[must_use]
    pub fn client(&self) -> &Docker {
        &self.client
    }

    /// dockerd's PID, as the host sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The log file of dockerd and containerd.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        self.process.log_path()
    }

    /// Kills dockerd as a crash would (SIGKILL), and nothing else: containers live on, and so may
    /// containerd.
    ///
    /// # Errors
    /// When it does not die.
    pub async fn kill_hard(&mut self) -> Result<()> {
        self.process.kill(Signal::SIGKILL)?;
        self.process.wait_exit(KILL_DEADLINE).await?;
        Ok(())
    }

    /// Starts dockerd again after [`Self::kill_hard`] or [`Self::stop`], and waits until it answers.
    ///
    /// # Errors
    /// When it runs, or does not answer in time, twice: it takes a containerd that is just ending for one that runs, and
    /// gives up on it; whatever supervises it starts it once more.
    pub async fn restart(&mut self) -> Result<()> {
        if self.process.is_running() {
            bail!("the engine runs: stop it before a restart");
        }
        let first = launch(&self.entrance, &self.spec, &self.dir).await;
        (self.process, self.client) = match first {
            Ok(started) => started,
            Err(error) => launch(&self.entrance, &self.spec, &self.dir)
                .await
                .with_context(|| format!("once more, after {error:#}"))?,
        };
        Ok(())
    }

    /// Asks dockerd to end, and makes it if it does not. Containers live on until the box ends.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop(STOP_GRACE).await?;
        Ok(())
    }

    /// Loads an archive in the format of `docker save`, streamed.
    ///
    /// # Errors
    /// When the file cannot be read or the engine refuses it.
    pub async fn load(&self, archive: &Path) -> Result<()> {
        let file = tokio::fs::File::open(archive)
            .await
            .with_context(|| format!("cannot open {}", archive.display()))?;
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let answers = self.client.import_image(options, body_try_stream(ReaderStream::new(file)), None);
        let answers: Result<Vec<_>, _> = answers.try_collect().await;
        answers.with_context(|| format!("the engine did not load {}", archive.display()))?;
        Ok(())
    }
}

async fn launch(entrance: &BoxEntrance, spec: &ProcessSpec, dir: &Path) -> Result<(Process, Docker)> {
    // A killed dockerd leaves both behind. Its PID may be another's by now, and the new one would then
    // take it for a running engine; and an old socket would be taken for the new one's.
    for stale in [pidfile(dir), socket(dir)] {
        match std::fs::remove_file(&stale) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
                return Err(err).with_context(|| format!("cannot remove {}", stale.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let mut process = entrance.spawn(spec, &dir.join("dockerd.log"))?;
    let socket = socket(dir);
    process.wait_answer("answering", READY_DEADLINE, || ping(&socket)).await?;
    let client =
        connect(&socket)?.negotiate_version().await.context("cannot agree with the engine on an API")?;
    Ok((process, client))
}

async fn ping(socket: &Path) -> bool {
    let Ok(client) = connect(socket) else { return false };
    matches!(timeout(PING_DEADLINE, client.ping()).await, Ok(Ok(_)))
}

fn connect(socket: &Path) -> Result<Docker> {
    let path = socket.to_str().context("the path of the engine's socket is not UTF-8")?;
    Ok(Docker::connect_with_unix(path, CLIENT_TIMEOUT_SECS, API_DEFAULT_VERSION)?)
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("docker.sock")
}

fn pidfile(dir: &Path) -> PathBuf {
    dir.join("dockerd.pid")
}

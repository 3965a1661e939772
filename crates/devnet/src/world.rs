//! A whole world: relay, simulated NSM, parent, registry, engine, daemon and wallet, all real
//! processes, joined as in production but for vsock and the enclave itself.
//!
//! ```text
//!  host side (198.18.x.y)                        │ box: the enclave
//!  relay ─ registry ─ enclaved-parent ─ NSM sim  │ dockerd ─ enclaved ─ [nwc] [guests…]
//!                      unix sockets ─────────────┼──
//!                      one wire (veth) ──────────┼──
//! ```

mod clients;
mod configs;
mod guests;
mod operator;
mod options;
mod steps;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nostr::key::{Keys, PublicKey};
use protocol::nwc::ConnectionUri;

pub use operator::{Operator, REPO};
pub use options::WorldOptions;
pub use steps::{StepReached, StepWatch};

use crate::docker::{Engine, EngineOptions};
use crate::enclave_box::{BoxOptions, EnclaveBox};
use crate::process::{Process, ProcessSpec, Ready};
use crate::registry::Registry;
use crate::relay_process;

/// The relay's port on the host's end of the wire.
const RELAY_PORT: u16 = 7_777;
/// How long a service may take to come up.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// How long the daemon may take: it fetches its built-ins first.
const DAEMON_DEADLINE: Duration = Duration::from_secs(60);
/// How long the daemon may take to end: it stops every container.
const DAEMON_GRACE: Duration = Duration::from_secs(40);
const STOP_GRACE: Duration = Duration::from_secs(5);
/// What the daemon says when it answers requests, and when its wallet is there.
const DAEMON_READY: &str = "INFO enclaved::server: ready";
const WALLET_READY: &str = "the wallet is there";

/// A running world.
#[derive(Debug)]
pub struct World {
    options: WorldOptions,
    operator: Operator,
    faucet: Keys,
    daemon: Option<Process>,
    daemon_starts: u32,
    parent: Process,
    nsm: Process,
    engine: Engine,
    registry: Registry,
    relay: Process,
    enclave: EnclaveBox,
}

impl World {
    /// Starts everything and waits until the daemon takes launches. `say` hears each step.
    ///
    /// # Errors
    /// What did not come up, with the last lines of its log. Nothing is left behind.
    pub async fn start(options: WorldOptions, say: impl Fn(&str)) -> Result<Self> {
        say("an emulated enclave");
        let enclave = EnclaveBox::start(BoxOptions::new(options.helper.clone())).await?;
        let (dir, helper) = (enclave.dir().to_owned(), enclave.helper().clone());
        say("relay, registry, engine");
        let relay_address = SocketAddr::from((enclave.host_address(), RELAY_PORT));
        let relay_spec =
            ProcessSpec::new(helper.path()).args(["relay", "--listen", &relay_address.to_string()]);
        let mut relay = Process::on_host(&helper, &relay_spec, &dir.join("relay.log"))?;
        let started = async {
            relay.wait_ready(&Ready::LogLine(relay_process::READY_LINE.into()), READY_DEADLINE).await?;
            Ok::<_, anyhow::Error>(relay)
        };
        let engine = Engine::start(&enclave, EngineOptions::default());
        let (relay, registry, engine) = tokio::try_join!(started, Registry::start(&enclave), engine)?;
        say("simulated NSM, parent");
        let operator = Operator::new(&dir.join("instance"))?;
        let nsm = start_nsm(&enclave, &options, &operator).await?;
        let parent = start_parent(&enclave, &options, &operator).await?;
        let mut world = Self {
            options,
            operator,
            faucet: Keys::generate(),
            daemon: None,
            daemon_starts: 0,
            parent,
            nsm,
            engine,
            registry,
            relay,
            enclave,
        };
        say("images");
        let wallet = world.push_program("nwc", &[]).await?;
        configs::write_daemon(&world, &wallet)?;
        say("daemon, wallet");
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        Ok(world)
    }

    /// The folder of everything; removed with the world.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.enclave.dir()
    }

    /// The emulated enclave.
    #[must_use]
    pub const fn enclave(&self) -> &EnclaveBox {
        &self.enclave
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine, to be killed and restarted.
    pub const fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The registry.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Who vouches for the build and the machine.
    #[must_use]
    pub const fn operator(&self) -> &Operator {
        &self.operator
    }

    /// What the world was started with.
    #[must_use]
    pub const fn options(&self) -> &WorldOptions {
        &self.options
    }

    /// The relay's address.
    #[must_use]
    pub fn relay_url(&self) -> String {
        format!("ws://{}:{RELAY_PORT}", self.enclave.host_address())
    }

    /// What addresses of the server's HTTP API begin with.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}:{}", self.enclave.box_address(), configs::HTTP_PORT)
    }

    /// The simulated root's certificate.
    #[must_use]
    pub fn trust_root(&self) -> PathBuf {
        self.dir().join("nsm/sim-root.der")
    }

    /// The daemon's configuration.
    #[must_use]
    pub fn daemon_config(&self) -> PathBuf {
        self.dir().join("enclaved.json")
    }

    /// The daemon's state.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir().join("state")
    }

    /// The wallet's volume, as the daemon mounts it: visible inside the box only.
    #[must_use]
    pub fn faucet_key(&self) -> &Keys {
        &self.faucet
    }

    /// The service's key.
    ///
    /// # Errors
    /// Before the daemon has made it.
    pub fn service(&self) -> Result<PublicKey> {
        let text = std::fs::read_to_string(self.state_dir().join("service.key")).context("service key")?;
        Ok(Keys::parse(text.trim())?.public_key())
    }

    /// The connection string of the faucet's account, which has money from the start.
    ///
    /// # Errors
    /// Before the wallet has told its key.
    pub async fn faucet(&self) -> Result<ConnectionUri> {
        self.connection_of(&self.faucet).await
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up, with the last lines of its log.
    pub async fn start_daemon(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "the daemon runs");
        self.daemon_starts += 1;
        let log = self.dir().join(format!("enclaved-{}.log", self.daemon_starts));
        let program = self.options.program("enclaved")?;
        let spec = ProcessSpec::new(program)
            .arg("--config")
            .arg(self.daemon_config())
            .env("RUST_LOG", &self.options.log);
        let mut daemon = self.enclave.spawn(&spec, &log)?;
        daemon.wait_ready(&Ready::LogLine(DAEMON_READY.into()), DAEMON_DEADLINE).await?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Waits until the wallet has told the daemon its key.
    ///
    /// # Errors
    /// When it does not, with the last lines of the daemon's log.
    pub async fn wait_for_wallet(&mut self) -> Result<()> {
        let daemon = self.daemon.as_mut().context("the daemon does not run")?;
        daemon.wait_ready(&Ready::LogLine(WALLET_READY.into()), DAEMON_DEADLINE).await
    }

    /// Tells the parent to end, which tells the daemon first and gives it a while.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn end_parent(&mut self) -> Result<()> {
        self.parent.kill(Signal::SIGTERM)
    }

    /// Kills the daemon as a crash would, and nothing else.
    ///
    /// # Errors
    /// When it does not die.
    pub async fn kill_daemon(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("the daemon does not run")?;
        daemon.kill(Signal::SIGKILL)?;
        daemon.wait_exit(STOP_GRACE).await.map(drop)
    }

    /// Ends the daemon in order: it stops its containers and exits with 0.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn stop_daemon(&mut self) -> Result<()> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        let status = daemon.stop(DAEMON_GRACE).await?;
        ensure!(status.success(), "the daemon ended with {status}; {}", daemon.log_tail());
        Ok(())
    }

    /// The daemon's log since its last start.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn daemon_log(&self) -> Result<String> {
        let log = self.dir().join(format!("enclaved-{}.log", self.daemon_starts));
        std::fs::read_to_string(&log).with_context(|| log.display().to_string())
    }

    /// Ends everything and checks that nothing is left.
    ///
    /// # Errors
    /// What did not end, or what was left.
    pub async fn stop(mut self) -> Result<()> {
        let daemon = self.stop_daemon().await;
        let parent = self.parent.stop(STOP_GRACE).await.map(drop);
        let nsm = self.nsm.stop(STOP_GRACE).await.map(drop);
        let engine = self.engine.stop().await;
        let registry = self.registry.stop().await;
        let relay = self.relay.stop(STOP_GRACE).await.map(drop);
        let enclave = self.enclave.stop().await;
        daemon.and(parent).and(nsm).and(engine).and(registry).and(relay).and(enclave)
    }
}

async fn start_nsm(enclave: &EnclaveBox, options: &WorldOptions, operator: &Operator) -> Result<Process> {
    let dir = enclave.dir().join("nsm");
    std::fs::create_dir_all(&dir)?;
    let socket = dir.join("nsm.sock");
    let mut spec = ProcessSpec::new(options.program("attestation-sim")?)
        .arg("--socket")
        .arg(&socket)
        .arg("--root-dir")
        .arg(&dir)
        .args(["--instance-id", operator.instance_id()]);
    for (index, pcr) in operator.pcrs() {
        spec = spec.args(["--pcr".to_owned(), format!("{index}={pcr}")]);
    }
    let mut nsm = Process::on_host(enclave.helper(), &spec, &dir.join("nsm.log"))?;
    nsm.wait_ready(&Ready::Unix(socket), READY_DEADLINE).await?;
    Ok(nsm)
}

async fn start_parent(enclave: &EnclaveBox, options: &WorldOptions, operator: &Operator) -> Result<Process> {
    let (config, socket) = configs::write_parent(enclave, operator)?;
    let spec = ProcessSpec::new(options.program("enclaved-parent")?).arg("--config").arg(config);
    let mut parent = Process::on_host(enclave.helper(), &spec, &enclave.dir().join("parent.log"))?;
    parent.wait_ready(&Ready::Unix(socket), READY_DEADLINE).await?;
    Ok(parent)
}

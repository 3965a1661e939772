//! A whole world: relay, simulated NSM, parent, registry, engine, daemon and wallet, all real
//! processes, joined as in production but for vsock and the enclave itself.
//!
//! ```text
//!  host side (198.18.x.y)                        │ box: the enclave
//!  relay ─ registry ─ enclaved-parent ─ NSM sim  │ dockerd ─ enclaved ─ [nwc] [guests…]
//!  key stores, each with a parent and NSM sim    │
//!                      unix sockets ─────────────┼──
//!                      one wire (veth) ──────────┼──
//! ```

mod clients;
mod configs;
mod guests;
mod host;
mod key_stores;
mod lnurl;
mod loss;
mod operator;
mod options;
mod sealing;
mod steps;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nostr::key::{Keys, PublicKey};
use protocol::nwc::ConnectionUri;

pub use key_stores::{KEYCRUX_REPO, KeyStores, Neighbourhood};
pub use operator::{Build, Operator, REPO};
pub use options::WorldOptions;
pub use sealing::SealingOptions;
pub use steps::{StepReached, StepWatch};

use crate::docker::{Engine, EngineOptions};
use crate::enclave_box::{BoxOptions, EnclaveBox};
use crate::process::{Process, ProcessSpec, Ready};
use crate::registry::Registry;
use crate::relay_process;
use host::Host;

/// The relay's port on the host's end of the wire.
const RELAY_PORT: u16 = 7_777;
/// Where the key stores' cables to it begin.
const CABLES_PORT: u16 = 7_800;
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
    host: Host,
    key_stores: Option<KeyStores>,
    /// Carries requests to the wallet's Lightning addresses.
    forward: Option<Process>,
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
        let host = Host::new(&dir);
        let mut world = Self {
            options,
            operator,
            faucet: Keys::generate(),
            daemon: None,
            daemon_starts: 0,
            host,
            key_stores: None,
            forward: None,
            engine,
            registry,
            relay,
            enclave,
        };
        world.start_nsm().await?;
        world.start_parent(world.host.backups.clone()).await?;
        world.start_key_stores(&say).await?;
        say("images");
        let wallet = world.push_program("nwc", &[]).await?;
        configs::write_daemon(&world, &wallet)?;
        say("daemon, wallet");
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        if world.options.lightning_addresses {
            world.forward_lightning().await?;
        }
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

    /// Where its database and volumes lie: sealed state has a folder of its own.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        if self.options.sealing.is_some() { self.state_dir().join("data") } else { self.state_dir() }
    }

    /// Who has money from the start.
    #[must_use]
    pub fn faucet_key(&self) -> &Keys {
        &self.faucet
    }

    /// The service's key.
    ///
    /// # Errors
    /// Before the daemon has made it, or been given it.
    pub fn service(&self) -> Result<PublicKey> {
        if self.options.sealing.is_some() {
            return sealing::service(&self.daemon_log()?);
        }
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
        self.spawn_daemon()?;
        if self.options.sealing.is_some() && !self.operator.dir().join("genesis.json").exists() {
            self.permit_genesis().await?;
        }
        self.wait_for_daemon().await
    }

    /// Starts the daemon and does not wait for it.
    ///
    /// # Errors
    /// When it runs, or cannot be started.
    pub fn spawn_daemon(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "the daemon runs");
        self.daemon_starts += 1;
        let program = self.options.program("enclaved")?;
        let spec = ProcessSpec::new(program)
            .arg("--config")
            .arg(self.daemon_config())
            .env("RUST_LOG", &self.options.log);
        self.daemon = Some(self.enclave.spawn(&spec, &self.daemon_log_path())?);
        Ok(())
    }

    /// Waits until the daemon answers.
    ///
    /// # Errors
    /// As [`Self::start_daemon`].
    pub async fn wait_for_daemon(&mut self) -> Result<()> {
        self.wait_for_line(DAEMON_READY, DAEMON_DEADLINE).await
    }

    /// Waits until the daemon has said this since its last start.
    ///
    /// # Errors
    /// When it ends, or the deadline passes, before that; with the last lines of its log.
    pub async fn wait_for_line(&mut self, text: &str, deadline: Duration) -> Result<()> {
        let daemon = self.daemon.as_mut().context("the daemon does not run")?;
        daemon.wait_ready(&Ready::LogLine(text.into()), deadline).await
    }

    /// Waits until the daemon has ended by itself, as it does when it may not have its state.
    ///
    /// # Errors
    /// When it still runs at the deadline.
    pub async fn wait_for_end(&mut self, deadline: Duration) -> Result<std::process::ExitStatus> {
        let mut daemon = self.daemon.take().context("the daemon does not run")?;
        let ended = daemon.wait_exit(deadline).await;
        if ended.is_err() {
            self.daemon = Some(daemon);
        }
        ended
    }

    /// Waits until the wallet has told the daemon its key.
    ///
    /// # Errors
    /// When it does not, with the last lines of the daemon's log.
    pub async fn wait_for_wallet(&mut self) -> Result<()> {
        self.wait_for_line(WALLET_READY, DAEMON_DEADLINE).await
    }

    /// Tells the parent to end, which tells the daemon first and gives it a while.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn end_parent(&mut self) -> Result<()> {
        self.host.parent.as_mut().context("the parent does not run")?.kill(Signal::SIGTERM)
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

    /// Sends the daemon a signal: SIGSTOP and SIGCONT stop it as a host stops a machine, and let it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal_daemon(&mut self, signal: Signal) -> Result<()> {
        self.daemon.as_mut().context("the daemon does not run")?.kill(signal)
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
        let log = self.daemon_log_path();
        std::fs::read_to_string(&log).with_context(|| log.display().to_string())
    }

    fn daemon_log_path(&self) -> PathBuf {
        self.dir().join(format!("enclaved-{}.log", self.daemon_starts))
    }

    async fn start_key_stores(&mut self, say: impl Fn(&str)) -> Result<()> {
        let Some(sealing) = &self.options.sealing else { return Ok(()) };
        say(&format!("{} key stores, each with its own parent and launcher", sealing.key_stores));
        let neighbourhood = Neighbourhood {
            helper: self.options.helper.clone(),
            programs: self.options.programs()?,
            dir: self.dir().to_owned(),
            root_dir: self.dir().join("nsm"),
            relay: self.relay_address(),
            cables: sealing.cables.then(|| SocketAddr::from((self.enclave.host_address(), CABLES_PORT))),
            log: self.options.log.clone(),
        };
        let key_stores = KeyStores::start(neighbourhood, sealing.key_stores, sealing.writes).await?;
        self.key_stores = Some(key_stores);
        Ok(())
    }

    fn relay_address(&self) -> SocketAddr {
        SocketAddr::from((self.enclave.host_address(), RELAY_PORT))
    }

    /// Ends everything and checks that nothing is left.
    ///
    /// # Errors
    /// What did not end, or what was left.
    pub async fn stop(mut self) -> Result<()> {
        let forward = lnurl::stop(self.forward.take()).await;
        let daemon = self.stop_daemon().await;
        let host = self.stop_host().await;
        let key_stores = match self.key_stores.take() {
            Some(key_stores) => key_stores.stop().await,
            None => Ok(()),
        };
        let engine = self.engine.stop().await;
        let registry = self.registry.stop().await;
        let relay = self.relay.stop(STOP_GRACE).await.map(drop);
        let enclave = self.enclave.stop().await;
        forward.and(daemon).and(host).and(key_stores).and(engine).and(registry).and(relay).and(enclave)
    }
}

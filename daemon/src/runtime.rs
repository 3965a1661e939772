//! Containers in the Docker engine: one network, one volume, one set of limits each.
//!
//! Everything here may be done twice: each function brings about what it names, from whatever a crash
//! left behind. Docker is spoken to by its API; it never pulls, never restarts anything by itself, and
//! is given no option that a stranger wrote but arguments, environment and paths that were checked.

mod engine;
mod error;
mod events;
mod exec;
mod firewall;
mod freeze;
mod groups;
mod guest_dir;
mod leftovers;
mod log_files;
mod network;
mod output;
mod plan;
mod replace;
mod stop;
mod usage;
mod volume;

use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, ContainerUpdateBody};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, RemoveContainerOptionsBuilder,
    StartContainerOptions,
};
use nostr::key::Keys;
use protocol::secrets::Secrets;
use tokio::sync::mpsc;
use units::UnitSize;

pub use engine::EngineFacts;
pub(crate) use engine::check_limits;
pub use error::RuntimeError;
pub use events::{Exits, watch_exits};
pub use exec::{ExecError, ExecPlace};
pub use firewall::{Firewall, FirewallError};
pub use freeze::Why;
pub use groups::{Groups, Pressure};
pub use guest_dir::Door;
pub use leftovers::Leftovers;
pub use log_files::LogFiles;
pub use network::{Addresses, NetworkPlan};
pub use volume::{VOLUMES_DIR, VolumeError, Volumes};
pub(crate) use volume::{file_name as volume_file_name, saved_name as saved_file_name};

use crate::config::Config;
use crate::hold::Hold;
use crate::store::Container;
use error::missing;
use freeze::Freezer;
use guest_dir::GuestDirs;
use volume::VolumeMount;

/// Label with the container's key.
pub(crate) const LABEL_PUBKEY: &str = "enclaved.pubkey";
/// Label of the server's own containers.
pub(crate) const LABEL_BUILTIN: &str = "enclaved.builtin";
/// Label with the hash of what the container was made from.
const LABEL_PLAN: &str = "enclaved.plan";

/// The engine, the volumes and the firewall.
#[derive(Debug)]
pub struct Runtime {
    docker: Docker,
    facts: EngineFacts,
    networks: NetworkPlan,
    volumes: Volumes,
    firewall: Firewall,
    guests: GuestDirs,
    doors: Mutex<Option<mpsc::Receiver<Door>>>,
    keys: Keys,
    unit_size: UnitSize,
    dns: Vec<String>,
    guest_port: u16,
    freezer: Freezer,
    hold: Hold,
    execs: exec::UnderWay,
}

impl Runtime {
    /// Connects to the engine, checks that it isolates containers as this server promises, and sets up
    /// the firewall with no container in it. Nothing is started while `hold` says that it may not act.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn open(
        config: &Config,
        keys: &Keys,
        hold: Hold,
        is_production: bool,
    ) -> Result<Self, RuntimeError> {
        let docker = engine::connect(&config.docker_socket).await?;
        let mut facts = EngineFacts::ask(&docker).await?;
        let networks = NetworkPlan::new(&config.network);
        let exceptions = config.development.as_ref().map(|d| d.addresses.clone()).unwrap_or_default();
        let firewall = Firewall::set_up(config.network.guest_port, &exceptions).await?;
        if !firewall.limits_rates() {
            facts.not_enforced.push("network".to_owned());
        }
        engine::check_enforced(&facts, is_production)?;
        let volumes = Volumes::open(&config.data_dir().join(VOLUMES_DIR), facts.root_uid)?;
        let (guests, doors) = GuestDirs::set_up(&config.guest.dir, facts.root_uid, networks.slots()).await?;
        let dns = config.network.dns.iter().map(ToString::to_string).collect();
        let unit_size = config.capacity.unit_size;
        Ok(Self {
            docker,
            facts,
            networks,
            volumes,
            firewall,
            guests,
            doors: Mutex::new(Some(doors)),
            keys: keys.clone(),
            unit_size,
            dns,
            guest_port: config.network.guest_port,
            freezer: Freezer::default(),
            hold,
            execs: exec::UnderWay::default(),
        })
    }

    /// The engine.
    #[must_use]
    pub const fn docker(&self) -> &Docker {
        &self.docker
    }

    /// How many containers have a network at once.
    #[must_use]
    pub fn slots(&self) -> u16 {
        self.networks.slots()
    }

    /// What the engine said of itself.
    #[must_use]
    pub const fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    /// The addresses of a container's network.
    #[must_use]
    pub fn addresses(&self, container: &Container) -> Option<Addresses> {
        container.slot.map(|slot| self.networks.addresses(slot))
    }

    /// The number of the network whose container has this address.
    #[must_use]
    pub fn slot_of(&self, address: Ipv4Addr) -> Option<u16> {
        self.networks.slot_of(address)
    }

    /// The containers' sockets as they open, for the one who serves them; none the second time.
    #[must_use]
    pub fn doors(&self) -> Option<mpsc::Receiver<Door>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Lets a container of before a restart reach what it may, at once and whether or not it runs.
    ///
    /// # Errors
    /// [`RuntimeError::Firewall`].
    pub async fn readmit(&self, container: &Container) -> Result<(), RuntimeError> {
        let Some(addresses) = self.addresses(container) else { return Ok(()) };
        Ok(self.firewall.admit(&addresses, container.spec.egress, self.rate(container)).await?)
    }

    /// Makes network, firewall entries, volume and container, all but the process.
    ///
    /// The engine must have the image.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn prepare(&self, container: &Container) -> Result<(), RuntimeError> {
        let addresses = self.addresses(container).ok_or(RuntimeError::NoNetwork)?;
        let not_copied = self.freezer.turn(&container.pubkey()).await;
        let mounts = self.attach(container).await?;
        drop(not_copied);
        let secrets = self.open_door(container).await?;
        self.firewall.admit(&addresses, container.spec.egress, self.rate(container)).await?;
        network::ensure(&self.docker, &addresses, &container.pubkey()).await?;
        let body = self.body(container, &addresses, &mounts, &secrets);
        self.ensure_created(container, body).await
    }

    /// What the engine is told.
    fn body(
        &self,
        container: &Container,
        addresses: &Addresses,
        mounts: &[VolumeMount],
        secrets: &Secrets,
    ) -> ContainerCreateBody {
        plan::container_body(&plan::Inputs {
            container,
            addresses,
            limits: &self.unit_size.times(container.spec.units),
            mounts,
            guest_dir: &self.guests.of(&container.pubkey()),
            secrets,
            dns: &self.dns,
            facts: &self.facts,
            guest_port: self.guest_port,
        })
    }

    /// True if the engine has the container, made from this very plan: not from one of before its
    /// environment was changed.
    async fn is_made_from(&self, container: &Container, hash: &str) -> Result<bool, RuntimeError> {
        let name = plan::container_name(&container.pubkey());
        let inspected = self.docker.inspect_container(&name, None::<InspectContainerOptions>).await;
        let labels = missing(inspected)?.and_then(|found| found.config).and_then(|config| config.labels);
        Ok(labels.is_some_and(|labels| labels.get(LABEL_PLAN).is_some_and(|label| label == hash)))
    }

    /// What it may send and receive, in bytes a second. The server's own containers are as fast as the
    /// server: everybody waits for the wallet.
    fn rate(&self, container: &Container) -> Option<u64> {
        let limits = self.unit_size.times(container.spec.units);
        Some(limits.network_bytes_per_sec).filter(|_| !container.is_builtin())
    }

    /// How large its volume is: as its units are, or as a built-in's configuration says.
    fn volume_bytes(&self, container: &Container) -> u64 {
        let of_units = || self.unit_size.times(container.spec.units).volume_bytes;
        container.spec.volume_bytes.unwrap_or_else(of_units)
    }

    /// Makes sure that the container's volume is there and mounted.
    async fn attach(&self, container: &Container) -> Result<Vec<VolumeMount>, RuntimeError> {
        let bytes = self.volume_bytes(container);
        let paths = plan::volume_paths(&container.spec)?;
        Ok(self.volumes.ensure(&container.pubkey(), bytes, &paths).await?)
    }

    /// Makes sure that the container's folder is there, with its socket open and its secrets in it.
    async fn open_door(&self, container: &Container) -> Result<Secrets, RuntimeError> {
        let secrets = match &container.spec.secrets {
            Some(sealed) => {
                let opened = sealed.open(self.keys.secret_key(), &self.keys.public_key());
                opened.map_err(RuntimeError::Secrets)?
            }
            None => Secrets::default(),
        };
        self.guests.ensure(&container.pubkey(), &secrets).await?;
        Ok(secrets)
    }

    /// Creates the container, or replaces one that was made from another plan.
    async fn ensure_created(
        &self,
        container: &Container,
        mut body: ContainerCreateBody,
    ) -> Result<(), RuntimeError> {
        let name = plan::container_name(&container.pubkey());
        let hash = plan::hash(&body, container);
        body.labels.get_or_insert_default().insert(LABEL_PLAN.to_owned(), hash.clone());
        if self.is_made_from(container, &hash).await? {
            return Ok(());
        }
        self.remove_container(&name).await?;
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        self.docker.create_container(Some(options), body).await?;
        Ok(())
    }

    /// Makes sure that the process of a prepared container runs, with its volume mounted: that was
    /// unmounted when the server last ended.
    ///
    /// # Errors
    /// [`RuntimeError::NotPrepared`] if the container is not there, [`RuntimeError::NotHolding`] if this
    /// server may not act, others if it cannot be started.
    pub async fn start(&self, container: &Container) -> Result<(), RuntimeError> {
        let _no_copy = self.freezer.turn(&container.pubkey()).await;
        let mounts = self.attach(container).await?;
        let secrets = self.open_door(container).await?;
        let addresses = self.addresses(container).ok_or(RuntimeError::NoNetwork)?;
        let body = self.body(container, &addresses, &mounts, &secrets);
        if !self.is_made_from(container, &plan::hash(&body, container)).await? {
            return Err(RuntimeError::NotPrepared);
        }
        let name = plan::container_name(&container.pubkey());
        // Whoever is to be held still waits for the start, and whoever starts looks who is.
        let reasons = self.freezer.reasons(&container.pubkey());
        let reasons = reasons.lock().await;
        if !self.hold.may_act() {
            return Err(RuntimeError::NotHolding);
        }
        match self.docker.start_container(&name, None::<StartContainerOptions>).await {
            Ok(()) => {}
            Err(e) if error::is_status(&e, 304) => {}
            Err(e) if error::is_status(&e, 404) => return Err(RuntimeError::NotPrepared),
            // The engine tried and says why; other errors are about the engine, not the container.
            Err(e) if error::is_answer(&e) => return Err(RuntimeError::Start(e)),
            Err(e) => return Err(e.into()),
        }
        if !reasons.is_empty()
            && let Err(e) = freeze::pause(&self.docker, &name).await
        {
            self.stop_now(container, true).await?;
            return Err(e);
        }
        drop(reasons);
        // It was created with enough to be started quickly; from here on it has what was paid for.
        let limits = self.unit_size.times(container.spec.units);
        let body = ContainerUpdateBody {
            cpu_quota: Some(plan::cpu_quota(&limits)),
            ..ContainerUpdateBody::default()
        };
        match self.docker.update_container(&name, body).await {
            // It has ended already, and its end is heard of.
            Err(_) if !self.is_running(container).await? => Ok(()),
            limited => Ok(limited?),
        }
    }

    /// True if the container's process runs.
    ///
    /// # Errors
    /// [`RuntimeError`] if the engine does not say.
    pub async fn is_running(&self, container: &Container) -> Result<bool, RuntimeError> {
        let state = self.inspect(container).await?.and_then(|found| found.state);
        Ok(state.and_then(|state| state.running).unwrap_or(false))
    }

    /// True if the engine has the container, running or not, and so its image.
    ///
    /// # Errors
    /// [`RuntimeError`] if the engine does not say.
    pub async fn is_there(&self, container: &Container) -> Result<bool, RuntimeError> {
        Ok(self.inspect(container).await?.is_some())
    }

    async fn inspect(&self, container: &Container) -> Result<Option<ContainerInspectResponse>, RuntimeError> {
        let name = plan::container_name(&container.pubkey());
        missing(self.docker.inspect_container(&name, None::<InspectContainerOptions>).await)
    }

    /// Removes the container, its network and its data.
    ///
    /// # Errors
    /// [`RuntimeError`]; what was removed stays removed.
    pub async fn wipe(&self, container: &Container) -> Result<(), RuntimeError> {
        let _no_copy = self.freezer.turn(&container.pubkey()).await;
        self.remove_container(&plan::container_name(&container.pubkey())).await?;
        if let Some(addresses) = self.addresses(container) {
            network::remove(&self.docker, &container.pubkey()).await?;
            self.firewall.dismiss(&addresses).await?;
        }
        self.guests.remove(&container.pubkey())?;
        self.volumes.remove(&container.pubkey()).await?;
        self.freezer.forget(&container.pubkey());
        Ok(())
    }

    /// Unmounts a stopped container's volume, so that its file is whole.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn detach(&self, container: &Container) -> Result<(), RuntimeError> {
        let _no_copy = self.freezer.turn(&container.pubkey()).await;
        Ok(self.volumes.detach(&container.pubkey()).await?)
    }

    async fn remove_container(&self, name: &str) -> Result<(), RuntimeError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        missing(self.docker.remove_container(name, Some(options)).await).map(drop)
    }
}

//! State that survives: whose it is, where it comes from, and whether this run may have it.
//!
//! ```text
//! boot key ─► the launcher's genesis event names a record ─► the key stores give its secret and head
//!          ─► the disk is ours and the newest: go on │ a head: restore exactly it │ neither: begin
//! ```
//!
//! Everything else of the server starts after this, over a folder of data that is whole.

pub mod disk;
pub mod founding;
mod machine;
mod permission;
mod place;
mod secret;
pub mod standing;
pub mod succession;

use std::sync::Arc;
use std::time::Duration;

use ::backup::{DeriveError, RestoreError};
use attestation::TrustRoot;
use attestation::nsm::Nsm;
use instance::EvidenceError;
use keyholder::{AcquireError, Found, HoldError, HolderOptions, Keyholder, NewBody, Trust};
use nostr::key::{Keys, PublicKey};
use protocol::nec::announcement::History;
use protocol::nec::{GenesisError, NecError, VerifiedGenesis};
use protocol::parent::Meta;
use protocol::parent::backup::StoreError;
use protocol::rpc::keycrux::{Build, Identity, Input, Policy, PolicyFault};
use quorum::Head;
use relay::{Pool, PoolError};
use service::ConfigError;
use thiserror::Error;
use transport::ParentClient;
use units::Clock;

use crate::checkpoint::Checkpoints;
use crate::config::{Backup, Config, Keycrux};
use crate::hold::Hold;
use crate::parent::ParentLog;
use crate::runtime::{Leftovers, RuntimeError};
use crate::snapshots::Snapshots;
use machine::Machine;
use place::Place;
pub(crate) use place::Placed;
pub use secret::{RecordSecret, SecretError};
use standing::Recovered;

/// Why a run may not have the state, or cannot.
#[derive(Debug, Error)]
pub enum SealedError {
    /// The launcher permitted nothing.
    #[error(
        "no genesis event came in {waited_secs} s: it names the record of this machine's state, or permits a \
         fresh start; put genesis.json beside instance.json at the parent"
    )]
    GenesisMissing {
        /// How long was waited.
        waited_secs: u64,
    },
    /// The permission is none.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The machine's launcher is not known.
    #[error("without a valid launcher's signature (instance.json at the parent) no genesis event counts")]
    Launcher(#[source] Option<NecError>),
    /// Somebody else than the machine's launcher permitted it.
    #[error("the genesis event is by {author}, and this machine was launched by {launcher}")]
    GenesisAuthor {
        /// Who signed it.
        author: PublicKey,
        /// Who should have.
        launcher: PublicKey,
    },
    /// Neither a recovery nor a fresh start.
    #[error(transparent)]
    Refused(#[from] founding::Refused),
    /// The host reads along.
    #[error("the enclave runs in debug mode, in which no key store gives it a key")]
    Debug,
    /// There is no evidence.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The document lacks a register.
    #[error("the attestation document has no PCR{0}")]
    Register(u8),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The relays cannot be used.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The key stores did not give the record.
    #[error("the record could not be acquired")]
    Acquire(#[from] AcquireError),
    /// The key stores did not take what was to be written.
    #[error("the record could not be written")]
    Hold(#[from] HoldError),
    /// The secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// No keys can be derived.
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// The key stores have forgotten what they acknowledged.
    #[error(
        "the key stores know no snapshot of this record, and have acknowledged generation {0}; nothing is \
         begun anew over state that is here"
    )]
    HeadLost(u64),
    /// The parent's backup port cannot be used.
    #[error("the parent's backup port cannot be used")]
    Store(#[from] StoreError),
    /// The backup cannot be restored.
    #[error("the newest snapshot cannot be restored; nothing was overwritten")]
    Restore(#[from] RestoreError),
    /// The disk cannot be used.
    #[error("{0} cannot be used")]
    Disk(&'static str, #[source] std::io::Error),
    /// The engine cannot be used.
    #[error(transparent)]
    Engine(#[from] RuntimeError),
    /// What is configured and what the record has do not go into one policy.
    #[error("the configured policy and the record's do not go together; raise `release.min_version`")]
    Policy(#[from] PolicyFault),
    /// A part of the start ended early.
    #[error("a part of the start ended early")]
    Task,
}

impl SealedError {
    /// A stable code, for whoever operates the server.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::GenesisMissing { .. } => "genesis_missing",
            Self::Genesis(error) => error.code(),
            Self::Launcher(_) => "launcher_invalid",
            Self::GenesisAuthor { .. } => "genesis_author",
            Self::Refused(refused) => refused.code(),
            Self::Debug => "debug_mode",
            Self::Evidence(_) | Self::Register(_) => "attestation_failed",
            Self::Config(_) => "config_invalid",
            Self::Pool(_) => "relays_unusable",
            Self::Acquire(error) => acquire_code(error),
            Self::Hold(_) => "record_not_written",
            Self::Secret(_) | Self::Derive(_) => "secret_invalid",
            Self::HeadLost(_) => "head_lost",
            Self::Store(error) => error.code(),
            Self::Restore(error) => error.code(),
            Self::Disk(..) => "disk_failed",
            Self::Engine(_) => "engine_failed",
            Self::Policy(_) => "policy_invalid",
            Self::Task => "internal",
        }
    }
}

fn acquire_code(error: &AcquireError) -> &str {
    match error.refusal() {
        Some(refusal) => &refusal.code,
        None => match error {
            AcquireError::NoQuorum { .. } | AcquireError::Pool(_) => "keycrux_unreachable",
            AcquireError::Random | AcquireError::Lost(_) => "record_lost",
        },
    }
}

/// What a start needs.
pub(crate) struct Opening<'o> {
    pub(crate) config: &'o Config,
    pub(crate) keycrux: &'o Keycrux,
    pub(crate) backup: &'o Backup,
    pub(crate) nsm: Nsm,
    pub(crate) trust_root: TrustRoot,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) parent: ParentClient,
    pub(crate) parent_log: ParentLog,
    pub(crate) checkpoints: Checkpoints,
}

/// State that this run may have, in its place and whole.
pub(crate) struct Opened {
    /// The service key.
    pub(crate) keys: Keys,
    pub(crate) meta: Meta,
    pub(crate) hold: Hold,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) recovered: Option<Recovered>,
    pub(crate) succession: Succession,
}

/// Who had the record, and who may have it next.
#[derive(Clone, Debug)]
pub struct Succession {
    /// What is announced of it.
    pub history: History,
    /// The policy in force.
    pub policy: Policy,
    /// This build.
    pub own: Build,
    /// The machine.
    pub machine: attestation::Pcr,
    /// The key stores that count.
    pub trust: Arc<Trust>,
    /// Where they are met.
    pub pool: Pool,
    /// How many must agree.
    pub writes: usize,
}

impl Opening<'_> {
    /// Finds out whose state this is, and has it in its place.
    ///
    /// # Errors
    /// [`SealedError`]; whatever lay on the disk lies there still, unless it was of another state and the
    /// newest one was there to take its place.
    pub(crate) async fn open(self) -> Result<Opened, SealedError> {
        // Whoever ran here before may not act now, and nobody knows yet whether we may.
        let leftovers = Leftovers::of_engine(&self.config.docker_socket).await?;
        leftovers.freeze_builtins().await?;
        let boot = Keys::generate();
        let machine = Machine::attest(self.nsm.clone(), &boot, &self.trust_root, &self.clock).await?;
        let (meta, genesis) = self.permission(&machine, &boot.public_key()).await?;
        let identity = self.identity(&machine, &meta, &genesis)?;
        let record = identity.record_id();
        tracing::info!(record = hex::encode(record.0), "acquiring the record from the key stores");
        let pool = Pool::connect(self.keycrux_relays()).await?;
        let trust = Arc::new(self.trust()?);
        let options = self.holder_options(&pool, &trust, &identity, &meta)?;
        let wait = Duration::from_secs(self.keycrux.wait_secs);
        let (holder, found) = Keyholder::acquire(options, wait).await?;
        let holder = Arc::new(holder);
        tracing::info!(epoch = %found.epoch, head = ?found.head.map(|head| head.generation), "the record is ours");
        let current = genesis.check_current(self.clock.now());
        let start =
            founding::decide(&genesis.boot_key(), current, &boot.public_key(), found.secret.is_some())?;
        let secret = self.secret(start, &found).await?;
        let (policy, own) = self.body(&machine, &meta, &identity, &found)?;
        let write = NewBody {
            policy: policy.clone(),
            build: own.clone(),
            secret: secret.to_data(),
            split: self.keycrux.split,
        };
        if start == founding::Start::Found {
            // Before anything is kept that could not be opened again.
            holder.write(write.clone()).await?;
            tracing::warn!(service = %secret.keys.public_key(), "a fresh start, permitted by the launcher: new record, new service key");
        }
        let place = Place {
            state_dir: &self.config.state_dir,
            data_dir: &self.config.data_dir(),
            backup: self.backup,
            clock: self.clock.as_ref(),
            checkpoints: &self.checkpoints,
            leftovers: &leftovers,
            record,
        };
        let placed = tokio::select! {
            placed = place.settle(&secret.disk, found.head) => placed?,
            loss = holder.lost() => return Err(HoldError::Lost(loss).into()),
        };
        if start == founding::Start::Recover {
            // Only now: a build that cannot restore changes nothing for those that can.
            holder.write(write).await?;
        }
        let lineage = succession::lineage(&found.lineage, &own);
        let history = History { genesis: Some(genesis.id()), lineage, upgrades: Vec::new() };
        let succession = Succession {
            history,
            policy,
            own,
            machine: machine.pcr4(),
            trust,
            pool,
            writes: self.keycrux.writes,
        };
        let recovered = placed.standing.recovered;
        let snapshots = Snapshots::new(
            self.config,
            self.backup,
            placed,
            Arc::clone(&holder),
            Arc::clone(&self.clock),
            self.checkpoints.clone(),
        );
        let hold = Hold::of(holder);
        Ok(Opened { keys: secret.keys, meta, hold, snapshots: Arc::new(snapshots), recovered, succession })
    }

    fn keycrux_relays(&self) -> Vec<String> {
        if self.keycrux.relays.is_empty() { self.config.relays.clone() } else { self.keycrux.relays.clone() }
    }

    fn trust(&self) -> Result<Trust, ConfigError> {
        Ok(Trust {
            root: self.trust_root.clone(),
            repo: self.keycrux.repo.clone(),
            env: self.keycrux.env,
            maintainers: self.keycrux.maintainers.clone(),
            threshold: self.keycrux.threshold,
            min_version: self.keycrux.version()?,
            members: self.keycrux.launchers.clone(),
        })
    }

    /// The name of the record: the machine, who may found it, and the permission of its founding.
    fn identity(
        &self,
        machine: &Machine,
        meta: &Meta,
        genesis: &VerifiedGenesis,
    ) -> Result<Identity, ConfigError> {
        let env = machine.env(meta);
        let founding = match &self.config.release {
            Some(release) => release.founding(&self.config.repo, env)?,
            None => Policy::default(),
        };
        Ok(Identity::new(machine.pcr4(), machine.image(), &founding).of_genesis(genesis.id()))
    }

    fn holder_options(
        &self,
        pool: &Pool,
        trust: &Arc<Trust>,
        identity: &Identity,
        meta: &Meta,
    ) -> Result<HolderOptions, ConfigError> {
        Ok(HolderOptions {
            pool: pool.clone(),
            clock: Arc::clone(&self.clock),
            nsm: self.nsm.clone(),
            trust: Arc::clone(trust),
            size: self.keycrux.size()?,
            lease: self.keycrux.lease(),
            margin: Duration::from_secs(self.keycrux.margin_secs),
            identity: identity.clone(),
            input: Input { repo: Some(self.config.repo.clone()), release_signatures: meta.releases.clone() },
        })
    }

    async fn secret(&self, start: founding::Start, found: &Found) -> Result<RecordSecret, SealedError> {
        match (start, &found.secret) {
            (founding::Start::Recover, Some(data)) => Ok(RecordSecret::read(data)?),
            (founding::Start::Recover | founding::Start::Found, _) => {
                let nsm = self.nsm.clone();
                // The device blocks.
                let drawn = tokio::task::spawn_blocking(move || RecordSecret::draw(&nsm)).await;
                Ok(drawn.map_err(|_| SealedError::Task)??)
            }
        }
    }

    /// The policy that the record gets, and this build as the last of its lineage.
    fn body(
        &self,
        machine: &Machine,
        meta: &Meta,
        identity: &Identity,
        found: &Found,
    ) -> Result<(Policy, Build), SealedError> {
        let env = machine.env(meta);
        let configured = self.config.release.as_ref().map(|release| release.policy(&self.config.repo, env));
        let configured = configured.transpose()?.unwrap_or_default();
        // A record that begins anew begins with the rules that it is named by, if the build has others.
        let founders = self.config.release.as_ref().and_then(|release| release.founders.as_ref());
        let in_force = found.policy.clone().or_else(|| founders.map(|_| identity.founding_policy()));
        let policy = succession::policy(in_force.as_ref(), &configured, &meta.releases)?;
        if policy != configured {
            tracing::warn!(
                "the configured policy would loosen the record's, which stays as far as it is stricter"
            );
        }
        let pcrs = machine.image();
        let known = found.lineage.iter().rev().find(|build| build.pcrs == pcrs);
        let version = succession::version(&policy, &pcrs, &meta.releases)
            .or_else(|| known.and_then(|build| build.version.clone()));
        Ok((policy, Build { pcrs, version, since: self.clock.now() }))
    }
}

/// The key stores' head as the parent's store names it.
#[must_use]
pub(crate) fn stored(head: Head) -> protocol::parent::backup::Head {
    let manifest = protocol::parent::backup::ObjectId(head.digest);
    protocol::parent::backup::Head { generation: head.generation, manifest }
}

/// The store's head as the key stores keep it.
#[must_use]
pub(crate) const fn kept(head: protocol::parent::backup::Head) -> Head {
    Head { generation: head.generation, digest: head.manifest.0 }
}

#[cfg(test)]
mod tests;

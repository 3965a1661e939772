//! What the server stands on: its key, its state, and its right to both.

use std::sync::Arc;

use anyhow::Context as _;
use attestation::TrustRoot;
use attestation::nsm::Nsm;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use instance::Attestor;
use nostr::key::Keys;
use protocol::parent::Meta;
use transport::ParentClient;
use units::Clock;

use crate::checkpoint::Checkpoints;
use crate::config::Config;
use crate::hold::Hold;
use crate::identity;
use crate::parent::ParentLog;
use crate::sealed::standing::Recovered;
use crate::sealed::{Opened, Opening, Succession};
use crate::snapshots::Snapshots;

/// What the server stands on.
pub(super) struct Ground {
    pub(super) keys: Keys,
    pub(super) meta: Meta,
    pub(super) hold: Hold,
    pub(super) snapshots: Option<Arc<Snapshots>>,
    pub(super) recovered: Option<Recovered>,
    pub(super) succession: Option<Succession>,
}

/// The device, or its simulator's socket.
pub(super) fn nsm(config: &Config) -> anyhow::Result<Nsm> {
    Nsm::open(&config.nsm).with_context(|| format!("nsm {}", config.nsm.display()))
}

impl Ground {
    /// Has key and state in place, in clear or from where they are sealed.
    pub(super) async fn open(
        config: &Config,
        trust_root: &TrustRoot,
        clock: &Arc<dyn Clock>,
        parent: &ParentClient,
        parent_log: &ParentLog,
    ) -> anyhow::Result<Self> {
        let nsm = nsm(config)?;
        let (Some(keycrux), Some(backup)) = (&config.keycrux, &config.backup) else {
            return Self::in_clear(config, nsm, trust_root, clock, parent).await;
        };
        let development = config.development.clone().unwrap_or_default();
        let opening = Opening {
            config,
            keycrux,
            backup,
            nsm,
            trust_root: trust_root.clone(),
            clock: Arc::clone(clock),
            parent: parent.clone(),
            parent_log: parent_log.clone(),
            checkpoints: Checkpoints::new(development.checkpoints),
        };
        let opened = opening.open().await.map_err(|e| {
            let code = e.code().to_owned();
            parent_log.line(format!("the server does not start: {code}: {e}"));
            anyhow::Error::new(e).context(code)
        })?;
        let Opened { keys, meta, hold, snapshots, recovered, succession } = opened;
        let (snapshots, succession) = (Some(snapshots), Some(succession));
        Ok(Self { keys, meta, hold, snapshots, recovered, succession })
    }

    /// State and key lie on the disk as they are: for development.
    async fn in_clear(
        config: &Config,
        nsm: Nsm,
        trust_root: &TrustRoot,
        clock: &Arc<dyn Clock>,
        parent: &ParentClient,
    ) -> anyhow::Result<Self> {
        tracing::warn!("the state lies in clear and ends with this machine: for development only");
        let keys = identity::load_or_create(&config.state_dir.join("service.key"))?;
        let attestor = Attestor::new(nsm, keys.clone(), trust_root.clone(), Arc::clone(clock));
        let evidence = attestor.current().await?;
        let meta = parent.get_meta(STANDARD.encode(&evidence.raw)).await?;
        let hold = Hold::default();
        Ok(Self { keys, meta, hold, snapshots: None, recovered: None, succession: None })
    }
}

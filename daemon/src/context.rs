//! What every part of the daemon has in common.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use instance::Attestor;
use nostr::key::Keys;
use protocol::event::CheckedEvent;
use protocol::nec::announcement::History;
use units::Clock;

use crate::admission::Admission;
use crate::announce::Changes;
use crate::checkpoint::Checkpoints;
use crate::config::Config;
use crate::hold::Hold;
use crate::image::ImageStore;
use crate::notices::Notices;
use crate::parent::ParentLog;
use crate::runtime::Runtime;
use crate::sealed::standing::Recovered;
use crate::snapshots::Snapshots;
use crate::statements::Statements;
use crate::store::Store;
use crate::topups::Topups;
use crate::upgrade::Stages;
use crate::wallet::Wallet;

/// The parts of the daemon that others use.
#[derive(Debug)]
pub struct Context {
    /// The configuration.
    pub config: Config,
    /// The service key.
    pub keys: Keys,
    /// Who is let in when many ask.
    pub admission: Admission,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The memory.
    pub store: Store,
    /// The engine.
    pub runtime: Runtime,
    /// Images.
    pub images: ImageStore,
    /// Keeps upgrades where they are while they are copied.
    pub stages: Stages,
    /// The wallet.
    pub wallet: Wallet,
    /// Who has invoices made of it.
    pub topups: Topups,
    /// The evidence.
    pub attestor: Attestor,
    /// Where statements about containers are asked for.
    pub statements: Statements,
    /// The maintainers' signatures of this build, once they were looked at.
    pub releases: OnceLock<Vec<CheckedEvent>>,
    /// What is to be announced.
    pub changes: Changes,
    /// Named steps for tests.
    pub checkpoints: Checkpoints,
    /// What owners are told unasked.
    pub notices: Notices,
    /// The operator's log.
    pub parent_log: ParentLog,
    /// Whether this server may act now.
    pub hold: Hold,
    /// What makes snapshots, if the state is sealed.
    pub snapshots: Option<Arc<Snapshots>>,
    /// The last time that the state was restored, if it ever was.
    pub recovered: Option<Recovered>,
    /// What became of this server, for its announcement.
    pub history: RwLock<Option<History>>,
    /// The address at which this server is reached, as the parent says.
    pub host: IpAddr,
}

impl Context {
    /// What is announced of this server's past and future, if its state outlives its builds.
    #[must_use]
    pub fn history(&self) -> Option<History> {
        self.history.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Announces another past or future from now on.
    pub fn tell_history(&self, history: History) {
        *self.history.write().unwrap_or_else(PoisonError::into_inner) = Some(history);
        self.changes.server();
    }
}

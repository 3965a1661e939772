//! What every part of the daemon has in common.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use instance::Attestor;
use nostr::key::Keys;
use protocol::event::CheckedEvent;
use units::Clock;

use crate::announce::Changes;
use crate::checkpoint::Checkpoints;
use crate::config::Config;
use crate::image::ImageStore;
use crate::notices::Notices;
use crate::parent::ParentLog;
use crate::runtime::Runtime;
use crate::statements::Statements;
use crate::store::Store;
use crate::wallet::Wallet;

/// The parts of the daemon that others use.
#[derive(Debug)]
pub struct Context {
    /// The configuration.
    pub config: Config,
    /// The service key.
    pub keys: Keys,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The memory.
    pub store: Store,
    /// The engine.
    pub runtime: Runtime,
    /// Images.
    pub images: ImageStore,
    /// The wallet.
    pub wallet: Wallet,
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
    /// The address at which this server is reached, as the parent says.
    pub host: IpAddr,
}

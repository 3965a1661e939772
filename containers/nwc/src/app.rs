//! The wallet put together from its configuration.

use std::path::Path;
use std::sync::Arc;

use units::UnixSecs;

use crate::config::{Backend, Config};
use crate::entropy::OsEntropy;
use crate::home::{DirLock, Home, HomeError};
use crate::keys::WalletKeys;
use crate::lightning::{InternalBackend, InvalidNodeKey, LightningBackend};
use crate::service::{Parts, StartError, Wallet};

/// A wallet that is ready to be given a transport.
#[derive(Debug)]
pub struct App {
    /// The keys; the service key reads requests and signs replies.
    pub keys: WalletKeys,
    /// The wallet.
    pub wallet: Arc<Wallet>,
    /// Keeps other wallets off the data directory.
    pub lock: DirLock,
}

/// Why the wallet cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data directory.
    #[error("the data directory cannot be used")]
    Home(#[from] HomeError),
    /// The volume.
    #[error("the size of the data directory's volume cannot be read")]
    Volume(#[source] std::io::Error),
    /// The node key.
    #[error("the Lightning backend cannot be used")]
    Backend(#[from] InvalidNodeKey),
    /// The wallet itself.
    #[error("the wallet cannot start")]
    Wallet(#[from] StartError),
}

impl App {
    /// Opens the data directory and starts the wallet.
    ///
    /// # Errors
    /// [`AppError`].
    pub fn open(config: &Config, now: UnixSecs) -> Result<Self, AppError> {
        let Home { keys, store, lock } = Home::open(&config.data_dir, config.network, &OsEntropy)?;
        let backend: Arc<dyn LightningBackend> = match config.backend {
            Backend::Internal => Arc::new(InternalBackend::new(keys.node(), config.network)?),
        };
        let limits = config.limits.within(volume_bytes(&config.data_dir)?);
        let parts = Parts {
            store,
            backend,
            entropy: Box::new(OsEntropy),
            service_pubkey: keys.service_pubkey(),
            admin: config.admin,
            faucet: config.faucet,
            limits,
            fees: config.fees,
        };
        let mut wallet = Wallet::start(parts, now)?;
        if let Some(lnurl) = &config.lnurl {
            wallet = wallet.with_addresses(lnurl.site.clone(), keys.service());
        }
        let wallet = Arc::new(wallet);
        Ok(Self { keys, wallet, lock })
    }
}

/// How large the volume is that the data directory lies on.
fn volume_bytes(dir: &Path) -> Result<u64, AppError> {
    let volume = nix::sys::statvfs::statvfs(dir).map_err(|e| AppError::Volume(e.into()))?;
    Ok(volume.blocks().saturating_mul(volume.fragment_size()))
}

//! The data directory: its lock, its keys and its books, opened together or not at all.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ledger::OpenError;

use crate::entropy::{Entropy, NoEntropy};
use crate::keys::{KeyFileError, WalletKeys};
use crate::lightning::Network;
use crate::store::{self, Identity, Store, StoreError};

const LOCK_FILE: &str = "wallet.lock";
const STORE_FILE: &str = "wallet.db";

/// An opened data directory. Keep the lock as long as the rest.
#[derive(Debug)]
pub struct Home {
    /// The secret keys.
    pub keys: WalletKeys,
    /// The wallet's file.
    pub store: Store,
    /// Proof that no other wallet uses the directory; freed when dropped.
    pub lock: DirLock,
}

/// The directory's lock, held by the operating system until this is dropped or the process ends.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The directory is missing or cannot be written.
    #[error("the data directory {path} is missing or cannot be written; mount a writable volume there")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Another wallet runs on it.
    #[error("another wallet is running on {path}; stop it first")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The keys cannot be read or saved.
    #[error("the keys cannot be used")]
    Keys(#[from] KeyFileError),
    /// No random bytes for new keys.
    #[error("no new keys can be made")]
    NoEntropy(#[from] NoEntropy),
    /// The books cannot be opened.
    #[error("the books cannot be opened")]
    Open(#[from] OpenError),
    /// The books cannot be read or written.
    #[error("the books cannot be used")]
    Store(#[from] StoreError),
    /// There are books with balances, but no keys. New ones would orphan every connection and invoice.
    #[error(
        "the books in {path} have accounts but their keys are missing; restore wallet.keys from a backup"
    )]
    KeysLost {
        /// The directory.
        path: PathBuf,
    },
    /// There are keys, but no books that belong to them. Starting with empty ones would forget what
    /// users own.
    #[error(
        "there are keys in {path} but the books that belong to them are missing; restore wallet.db from a \
         backup, or remove wallet.keys to start an empty wallet"
    )]
    BooksLost {
        /// The directory.
        path: PathBuf,
    },
    /// Keys, books and configured network do not belong together.
    #[error("the books in {path} belong to other keys or to another network; restore what belongs together")]
    Mismatch {
        /// The directory.
        path: PathBuf,
    },
}

impl Home {
    /// Opens `dir`, or sets it up at the very first start.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn open(dir: &Path, network: Network, entropy: &dyn Entropy) -> Result<Self, HomeError> {
        let path = || dir.to_owned();
        let lock = DirLock::take(dir)?;
        let file = dir.join(STORE_FILE);
        make_private(&file).map_err(|source| HomeError::Directory { path: path(), source })?;
        let store = Store::open(&file)?;
        let known = store.read(|view| store::identity(view).map_err(StoreError::from))?;
        let keys = match (WalletKeys::load(dir)?, known) {
            (Some(keys), Some(known)) if known == identity(&keys, network) => keys,
            (Some(_), Some(_)) => return Err(HomeError::Mismatch { path: path() }),
            (Some(_), None) => return Err(HomeError::BooksLost { path: path() }),
            (None, Some(_)) if !store.read(|view| store::is_blank(view).map_err(StoreError::from))? => {
                return Err(HomeError::KeysLost { path: path() });
            }
            // The first start, or one that ended between the two steps of the first.
            (None, None | Some(_)) => set_up(dir, &store, network, entropy)?,
        };
        Ok(Self { keys, store, lock })
    }
}

/// Creates the books' file readable by nobody else, if it is not there yet: it holds the preimages of
/// invoices. SQLite gives its log the same permissions.
fn make_private(file: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(file).map(drop)
}

fn identity(keys: &WalletKeys, network: Network) -> Identity {
    Identity::new(&keys.service_pubkey(), keys.node_id(), network)
}

/// The books first, then the keys: whichever of them is lost later, the other one tells.
fn set_up(
    dir: &Path,
    store: &Store,
    network: Network,
    entropy: &dyn Entropy,
) -> Result<WalletKeys, HomeError> {
    let keys = WalletKeys::generate(entropy)?;
    let identity = identity(&keys, network);
    store.write(move |tx| store::claim(tx, &identity).map_err(StoreError::from))?;
    keys.save(dir)?;
    Ok(keys)
}

impl DirLock {
    fn take(dir: &Path) -> Result<Self, HomeError> {
        let failed = |source| HomeError::Directory { path: dir.to_owned(), source };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(LOCK_FILE))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(HomeError::Locked { path: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests;

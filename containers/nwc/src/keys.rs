//! The wallet's two secret keys, in one file of the data directory.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bitcoin::secp256k1::{PublicKey as CurvePoint, Secp256k1, SecretKey};
use nostr::key::PublicKey;
use zeroize::Zeroizing;

use crate::entropy::{Entropy, NoEntropy};
use crate::lightning::NodeId;

/// The file's name.
const FILE: &str = "wallet.keys";
/// The name under which it is written before it is whole.
const FILE_NEW: &str = "wallet.keys.new";
/// More than the file ever has: two lines of a name and 64 digits.
const FILE_BYTES_MAX: u64 = 256;

/// The service key (the wallet's Nostr identity) and the node key (it signs invoices). Neither prints.
pub struct WalletKeys {
    service: Zeroizing<[u8; 32]>,
    node: Zeroizing<[u8; 32]>,
    service_pubkey: PublicKey,
    node_id: NodeId,
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("cannot {action} the key file {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Others on this machine can read the file.
    #[error("the key file {path} can be read by others (mode {mode:o}); set its mode to 600")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The content is not two secret keys.
    #[error("the key file {path} is damaged; restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// No random bytes for new keys.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

impl WalletKeys {
    /// New random keys, not yet saved.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        loop {
            // One in 2^128 numbers is not a key.
            if let Some(keys) = Self::new(entropy.bytes32()?, entropy.bytes32()?) {
                return Ok(keys);
            }
        }
    }

    fn new(service: Zeroizing<[u8; 32]>, node: Zeroizing<[u8; 32]>) -> Option<Self> {
        let secp = Secp256k1::signing_only();
        let point = |secret: &[u8; 32]| {
            let mut secret = SecretKey::from_slice(secret).ok()?;
            let point = CurvePoint::from_secret_key(&secp, &secret);
            secret.non_secure_erase();
            Some(point)
        };
        let (service_xonly, _) = point(&service)?.x_only_public_key();
        let node_id = NodeId::from_bytes(point(&node)?.serialize());
        let service_pubkey = PublicKey::from_byte_array(service_xonly.serialize());
        Some(Self { service, node, service_pubkey, node_id })
    }

    /// Reads the keys of `dir`; none if they were never saved there.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load(dir: &Path) -> Result<Option<Self>, KeyFileError> {
        let path = dir.join(FILE);
        let failed = |source| KeyFileError::Io { action: "read", path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Exposed { path, mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        parse(&text).map(Some).ok_or(KeyFileError::Damaged { path })
    }

    /// Saves the keys in `dir`, whole or not at all: after a crash the file is the old one or this one.
    ///
    /// # Errors
    /// [`KeyFileError::Io`].
    pub fn save(&self, dir: &Path) -> Result<(), KeyFileError> {
        let path = dir.join(FILE);
        let failed = |source| KeyFileError::Io { action: "write", path: path.clone(), source };
        let temporary = dir.join(FILE_NEW);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let (service, node) =
            (Zeroizing::new(hex::encode(*self.service)), Zeroizing::new(hex::encode(*self.node)));
        let text = Zeroizing::new(format!("service {}\nnode {}\n", *service, *node));
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&temporary, &path).map_err(failed)?;
        // The new name, too, must survive a power cut.
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
    }

    /// The secret key that reads requests and signs replies.
    #[must_use]
    pub const fn service(&self) -> &Zeroizing<[u8; 32]> {
        &self.service
    }

    /// The secret key that signs invoices.
    #[must_use]
    pub const fn node(&self) -> &Zeroizing<[u8; 32]> {
        &self.node
    }

    /// The wallet's Nostr identity.
    #[must_use]
    pub const fn service_pubkey(&self) -> PublicKey {
        self.service_pubkey
    }

    /// The payee of the wallet's invoices.
    #[must_use]
    pub const fn node_id(&self) -> NodeId {
        self.node_id
    }
}

fn parse(text: &str) -> Option<WalletKeys> {
    let key = |line: Option<&str>, name: &str| {
        let mut bytes = Zeroizing::new([0; 32]);
        let digits = line?.strip_prefix(name)?.strip_prefix(' ')?;
        hex::decode_to_slice(digits, bytes.as_mut()).ok()?;
        Some(bytes)
    };
    let mut lines = text.lines();
    let (service, node) = (key(lines.next(), "service")?, key(lines.next(), "node")?);
    if lines.next().is_some() {
        return None;
    }
    WalletKeys::new(service, node)
}

impl fmt::Debug for WalletKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalletKeys")
            .field("service_pubkey", &self.service_pubkey)
            .field("node_id", &self.node_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

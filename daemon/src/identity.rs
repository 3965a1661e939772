//! The service key, which everything that this server says is signed with.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nostr::key::{Keys, SecretKey};
use thiserror::Error;
use zeroize::Zeroizing;

/// The service key cannot be had.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The file failed.
    #[error("the service key in {} cannot be used", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// The file holds no key.
    #[error("{} does not hold a key of 64 hex digits; restore it, or remove it to become another server", .0.display())]
    Malformed(PathBuf),
}

/// Reads the service key from `path`, or makes one there, readable by this user only.
///
/// In clear: refused under AWS's root, where keys will be sealed.
///
/// # Errors
/// [`IdentityError`].
pub fn load_or_create(path: &Path) -> Result<Keys, IdentityError> {
    let failed = |e| IdentityError::File(path.to_owned(), e);
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let text = Zeroizing::new(text);
            let key =
                SecretKey::from_hex(text.trim()).map_err(|_| IdentityError::Malformed(path.to_owned()))?;
            Ok(Keys::new(key))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let keys = Keys::generate();
            let text = Zeroizing::new(keys.secret_key().to_secret_hex());
            // Whole or not at all: a half-written key would be another server for good.
            let new = path.with_extension("new");
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)
                .map_err(failed)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
            std::fs::rename(&new, path).map_err(failed)?;
            Ok(keys)
        }
        Err(e) => Err(failed(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn key_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("service.key");
        let keys = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap().public_key(), keys.public_key());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "not a key").unwrap();
        let error = load_or_create(&path).unwrap_err().to_string();
        assert!(!error.contains("not a key") && error.contains("service.key"), "{error}");
    }
}

//! Secrets, which configuration and command lines only point at.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;
use zeroize::Zeroizing;

/// Longest secret that is read from a file: a key, a token, a wallet's connection string.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Where a secret is: `env:NAME` or `file:PATH`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file.
    File(PathBuf),
}

/// A secret cannot be had.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Not a reference. The text is not repeated: it may be the secret itself.
    #[error("give a secret as env:NAME or file:PATH, never the secret itself")]
    Form,
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    Env(String),
    /// The file cannot be read.
    #[error("the secret in {} cannot be read", .0.display())]
    File(PathBuf, #[source] std::io::Error),
}

impl FromStr for SecretRef {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(SecretError::Form),
        }
    }
}

/// The text of a secret. Does not print; wiped when dropped.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// The secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl SecretRef {
    /// Reads the secret; white space around it is not part of it.
    ///
    /// # Errors
    /// [`SecretError`].
    #[expect(clippy::disallowed_methods, reason = "a secret in the environment is what the caller asked for")]
    pub fn read(&self) -> Result<SecretText, SecretError> {
        use std::io::Read;

        let text = match self {
            Self::Env(name) => {
                Zeroizing::new(std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?)
            }
            Self::File(path) => {
                let file_error = |e| SecretError::File(path.clone(), e);
                let mut text = Zeroizing::new(String::new());
                let file = std::fs::File::open(path).map_err(file_error)?;
                file.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(file_error)?;
                text
            }
        };
        Ok(SecretText(Zeroizing::new(text.trim().to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_parse_and_secrets_do_not_print() {
        assert_eq!("env:KEY".parse::<SecretRef>().unwrap(), SecretRef::Env("KEY".into()));
        for text in ["nsec1secret", "env:", "file:", "http:x"] {
            let error = text.parse::<SecretRef>().unwrap_err().to_string();
            assert!(!error.contains("nsec1"), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "hunter2\n").unwrap();
        let secret = SecretRef::File(path).read().unwrap();
        assert_eq!((secret.expose(), format!("{secret:?}").as_str()), ("hunter2", "SecretText(…)"));
    }
}

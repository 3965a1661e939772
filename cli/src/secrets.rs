//! Where secrets are, and reading them. They never stand on a command line, and what was given instead
//! of a place is never repeated: it may be the secret.

use std::path::Path;

use nostr::key::Keys;
use protocol::nwc::ConnectionUri;
use service::{SecretRef, SecretText};

use crate::error::{Failure, with_causes};

/// Where the user's key is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KeyRef {
    /// In a file or variable of this machine.
    Local(SecretRef),
    /// With a remote signer (NIP-46).
    Bunker,
}

impl KeyRef {
    /// Reads `env:NAME`, `file:PATH` or `bunker:…`.
    ///
    /// # Errors
    /// A [`Failure`] of usage that does not repeat the text.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if text.starts_with("bunker:") {
            return Ok(Self::Bunker);
        }
        place("--key", text).map(Self::Local)
    }

    /// The same with its path seen from a folder.
    pub(crate) fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::Local(SecretRef::File(path)) => Self::Local(SecretRef::File(folder.join(path))),
            other @ (Self::Local(SecretRef::Env(_)) | Self::Bunker) => other,
        }
    }

    /// Reads the key.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) fn keys(&self) -> Result<Keys, Failure> {
        let Self::Local(place) = self else {
            return Err(Failure::refused(
                "bunker_unsupported",
                "this version signs with local keys only: give --key env:NAME or --key file:PATH",
            ));
        };
        let text = read("--key", place)?;
        Keys::parse(text.expose()).map_err(|_| {
            let message = "what --key names holds no key: an nsec, or 64 hex digits, are wanted";
            Failure::usage("key_invalid", message)
        })
    }
}

/// Reads `env:NAME` or `file:PATH`, given to `option`.
///
/// # Errors
/// A [`Failure`] of usage that does not repeat the text.
pub(crate) fn place(option: &str, text: &str) -> Result<SecretRef, Failure> {
    text.parse().map_err(|e| Failure::usage("usage", format!("{option}: {e}")))
}

/// Reads a secret.
///
/// # Errors
/// A [`Failure`] of usage that says where it should have been.
pub(crate) fn read(option: &str, place: &SecretRef) -> Result<SecretText, Failure> {
    place.read().map_err(|e| Failure::usage("secret_unreadable", format!("{option}: {}", with_causes(&e))))
}

/// Reads a wallet's connection string.
///
/// # Errors
/// [`Failure`].
pub(crate) fn connection(option: &str, text: &str) -> Result<ConnectionUri, Failure> {
    let secret = read(option, &place(option, text)?)?;
    secret.expose().parse().map_err(|e: protocol::nwc::ConnectionUriError| {
        Failure::usage("wallet_invalid", format!("{option}: {e}"))
    })
}

/// A place whose path, if it has one, is seen from a folder.
pub(crate) fn relative(text: &str, folder: &Path) -> String {
    match text.strip_prefix("file:") {
        Some(path) => format!("file:{}", folder.join(path).display()),
        None => text.to_owned(),
    }
}

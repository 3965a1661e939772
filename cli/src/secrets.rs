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
    /// With a remote signer (NIP-46), whose URL is there.
    Bunker(SecretRef),
}

impl KeyRef {
    /// Reads `env:NAME`, `file:PATH`, or either of them after `bunker:`.
    ///
    /// # Errors
    /// A [`Failure`] of usage that does not repeat the text.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        match text.strip_prefix("bunker:") {
            Some(of_url) => place("--key", of_url).map(Self::Bunker),
            None => place("--key", text).map(Self::Local),
        }
    }

    /// The same with its path seen from a folder.
    pub(crate) fn relative_to(self, folder: &Path) -> Self {
        let seen_from = |place| match place {
            SecretRef::File(path) => SecretRef::File(folder.join(path)),
            other @ SecretRef::Env(_) => other,
        };
        match self {
            Self::Local(place) => Self::Local(seen_from(place)),
            Self::Bunker(place) => Self::Bunker(seen_from(place)),
        }
    }

    /// The variable that holds it, if one does: no program that we start needs to see it.
    pub(crate) fn variable(&self) -> Option<&str> {
        match self {
            Self::Local(SecretRef::Env(name)) | Self::Bunker(SecretRef::Env(name)) => Some(name),
            Self::Local(SecretRef::File(_)) | Self::Bunker(SecretRef::File(_)) => None,
        }
    }

    /// Reads the key of this machine.
    ///
    /// # Errors
    /// `bunker_unsupported` if it is elsewhere, or why it cannot be read.
    pub(crate) fn keys(&self) -> Result<Keys, Failure> {
        let Self::Local(place) = self else {
            return Err(Failure::refused(
                "bunker_unsupported",
                "a bunker signs releases, builds and instances; this needs a key of this machine: give --key \
                 env:NAME or --key file:PATH",
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

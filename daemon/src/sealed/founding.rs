//! Whether a start is a recovery or a fresh start: a pure function.
//!
//! ```text
//! the key stores have the record's secret ────────────► recover
//! they do not, and the launcher permits this very run ─► found it
//! they do not, and it was permitted to another run ────► refuse: that state exists, or is lost
//! ```
//!
//! A parent that has no backup and key stores that say nothing are no permission; without a permission
//! it does not even come to this question.

use nostr::key::PublicKey;
use protocol::nec::GenesisError;
use thiserror::Error;

/// What a start is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// There is a record: recover what it names.
    Recover,
    /// There is none, and this run may found it.
    Found,
}

/// Why a run may neither recover nor begin.
#[derive(Debug, Error)]
pub enum Refused {
    /// The record is not there, and another run was permitted to found it.
    #[error(
        "no key store knows the record of this genesis event, and the event permits another run (boot key \
         {permitted}) to found it: either that run never came so far, or all key stores forgot it; to begin \
         anew, remove genesis.json at the parent, start again, and have the launcher permit the boot key \
         that is then shown"
    )]
    RecordUnknown {
        /// Whom the event permits.
        permitted: PublicKey,
    },
    /// The permission was not used in time.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
}

impl Refused {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::RecordUnknown { .. } => "record_unknown",
            Self::Genesis(error) => error.code(),
        }
    }
}

/// Decides what a start is: `permitted` is the boot key that the launcher's event names, `current` whether
/// the event may still be used, and `has_record` whether the key stores have the record that it names.
///
/// # Errors
/// [`Refused`].
pub fn decide(
    permitted: &PublicKey,
    current: Result<(), GenesisError>,
    boot_key: &PublicKey,
    has_record: bool,
) -> Result<Start, Refused> {
    if has_record {
        return Ok(Start::Recover);
    }
    if permitted != boot_key {
        return Err(Refused::RecordUnknown { permitted: *permitted });
    }
    current?;
    Ok(Start::Found)
}

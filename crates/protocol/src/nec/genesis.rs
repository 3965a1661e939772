//! NEC-06: the launcher's permission of a fresh start.
//!
//! What a machine keeps is found by what its key stores remember. That nobody answers, or that the host
//! shows no backup, is no reason to begin anew: who launched the machine must say so, once, for one run
//! of the program, which it names by the boot key in its attestation. The event's id is part of the name
//! of the record that the run founds, so that no record from before is ever touched; for as long as the
//! record is to be found, the event stays with the machine's other signatures.

use attestation::{Pcr, VerifiedDocument};
use nostr::event::EventId;
use nostr::key::{Keys, PublicKey};
use thiserror::Error;
use units::UnixSecs;

use super::{Draft, Env, NecError, tags};
use crate::event::{CheckedEvent, SignError};
use crate::kinds::GENESIS;
use crate::tag;

/// How long a permission may be used if nothing else is said: time to copy a file to a host.
pub const LIFE_SECS: u64 = 3_600;

/// Why a permission is none.
#[derive(Debug, Error)]
pub enum GenesisError {
    /// Another kind, or a tag that is missing, doubled or malformed.
    #[error("the genesis event is not valid: {0}")]
    Malformed(String),
    /// It is for another machine.
    #[error("the genesis event is for another machine: its PCR4 is not the attested one")]
    Pcr4,
    /// It is for another use than this instance's.
    #[error("the genesis event is for {found}, and this instance is {wanted}")]
    Env {
        /// What this instance is for.
        wanted: Env,
        /// What the event says.
        found: Env,
    },
    /// It was not used in time.
    #[error("the genesis event ended at {0}; sign a new one")]
    Expired(UnixSecs),
}

impl GenesisError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "genesis_invalid",
            Self::Pcr4 => "genesis_pcr4_mismatch",
            Self::Env { .. } => "genesis_env_mismatch",
            Self::Expired(_) => "genesis_expired",
        }
    }
}

/// The permission of a fresh start on the machine with this PCR4, for the run with this boot key, until
/// `expiration`.
#[must_use]
pub fn draft(boot_key: &PublicKey, pcr4: &Pcr, env: Env, expiration: UnixSecs, now: UnixSecs) -> Draft {
    let tags = vec![
        tag!["-"],
        tag!["t", env],
        tag!["PCR4", pcr4],
        tag!["p", boot_key.to_hex()],
        tag!["expiration", expiration],
    ];
    Draft::new(GENESIS, tags, now)
}

/// Signs the permission of a fresh start.
///
/// # Errors
/// [`SignError`].
pub fn build(
    keys: &Keys,
    boot_key: &PublicKey,
    pcr4: &Pcr,
    env: Env,
    expiration: UnixSecs,
    now: UnixSecs,
) -> Result<CheckedEvent, SignError> {
    draft(boot_key, pcr4, env, expiration, now).sign(keys)
}

/// A permission for this machine. Whether its author launched the machine is seen by the launcher's
/// signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VerifiedGenesis {
    launcher: PublicKey,
    boot_key: PublicKey,
    id: EventId,
    expires_at: UnixSecs,
}

impl VerifiedGenesis {
    /// Checks a permission against the document of the machine that shows it.
    ///
    /// It may have expired: a record is found by the event that founded it for as long as it exists. Who
    /// founds one asks [`VerifiedGenesis::check_current`] as well.
    ///
    /// # Errors
    /// [`GenesisError`], but never [`GenesisError::Expired`].
    pub fn verify(event: &CheckedEvent, document: &VerifiedDocument, env: Env) -> Result<Self, GenesisError> {
        if event.kind != GENESIS {
            return Err(GenesisError::Malformed(format!("kind {} is not a genesis event", event.kind)));
        }
        let stated = Env::stated(event).map_err(malformed)?;
        let found = stated.ok_or_else(|| GenesisError::Malformed("it has no `t` tag".into()))?;
        let signed = required(event, "PCR4")?;
        let boot_key = required(event, "p")?;
        let boot_key = PublicKey::from_hex(boot_key)
            .ok()
            .filter(|key| key.to_hex() == boot_key)
            .ok_or_else(|| GenesisError::Malformed("its `p` tag is no key in small hex digits".into()))?;
        let expires_at = tags::expiration(event, "the genesis event").map_err(malformed)?;
        let attested = document.pcr(4).filter(|pcr| !pcr.is_zero());
        if attested.is_none_or(|attested| attested.to_string() != signed) {
            return Err(GenesisError::Pcr4);
        }
        if found != env {
            return Err(GenesisError::Env { wanted: env, found });
        }
        Ok(Self { launcher: event.pubkey, boot_key, id: event.id, expires_at })
    }

    /// Checks that it may still be used to found a record.
    ///
    /// # Errors
    /// [`GenesisError::Expired`].
    pub fn check_current(&self, at: UnixSecs) -> Result<(), GenesisError> {
        if at > self.expires_at { Err(GenesisError::Expired(self.expires_at)) } else { Ok(()) }
    }

    /// Who permits it.
    #[must_use]
    pub const fn launcher(&self) -> PublicKey {
        self.launcher
    }

    /// The boot key of the one run that may found the record.
    #[must_use]
    pub const fn boot_key(&self) -> PublicKey {
        self.boot_key
    }

    /// The event's id, by which the record is named.
    #[must_use]
    pub const fn id(&self) -> EventId {
        self.id
    }
}

fn required<'e>(event: &'e CheckedEvent, name: &str) -> Result<&'e str, GenesisError> {
    let value = tags::single(event, name).map_err(malformed)?;
    value.ok_or_else(|| GenesisError::Malformed(format!("it has no `{name}` tag")))
}

fn malformed(error: NecError) -> GenesisError {
    GenesisError::Malformed(error.problem())
}

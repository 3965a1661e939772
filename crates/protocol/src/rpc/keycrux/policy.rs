//! Which builds may have a record.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use attestation::Pcr;
use nostr::key::PublicKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::text;
use crate::canonical::{self, CanonicalError};
use crate::nec::approval::PolicyDigest;
use crate::nec::{Env, Version, VersionFormatError};

/// Maintainers of one record. A record travels in one event with all else that belongs to it.
pub const RELEASE_PUBKEYS_MAX: usize = 16;
/// Revoked releases of one record; `min_version` ends all below it at once.
pub const REVOKED_MAX: usize = 32;
/// Longest repository address, in bytes.
const REPO_BYTES_MAX: usize = 256;
/// Longest delay: who waits longer has forgotten that he waits.
const DELAY_SECS_MAX: u64 = 90 * 24 * 3_600;

/// Which builds, besides the one that wrote the record, may have it. `ref` and `release_pubkeys` are the
/// reference's; a policy without maintainers allows nothing but exactly the same build.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The repository that releases must name.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The maintainers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub release_pubkeys: BTreeSet<PublicKey>,
    /// What releases must be for. Left out, it is what the release is for that the first write shows.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Env>,
    /// How many maintainers must have signed. Left out, all, as the reference has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
    /// For how many seconds a release must have been known to the key store before it gets the record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_delay_secs: u64,
    /// The oldest release that may have it.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    pub min_version: Option<Version>,
    /// Releases that may not, although they were signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<Revoked>,
}

/// Why a policy cannot be used.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PolicyFault {
    /// Maintainers of nothing.
    #[error("policy.ref must name the repository, in at most {REPO_BYTES_MAX} bytes")]
    Repo,
    /// Too many maintainers.
    #[error("policy.release_pubkeys has more than {RELEASE_PUBKEYS_MAX} keys")]
    Maintainers,
    /// A threshold that nobody or everybody meets.
    #[error("policy.threshold must be between 1 and the number of release_pubkeys")]
    Threshold,
    /// Rules on releases without anybody who signs them.
    #[error("a policy without release_pubkeys has no other rules: only the same build gets the record")]
    Unsigned,
    /// Debug mode.
    #[error("policy.t must be prod or dev")]
    Env,
    /// Too many revocations.
    #[error("policy.revoked has more than {REVOKED_MAX} entries; use min_version")]
    Revoked,
    /// Too long a delay.
    #[error("policy.min_delay_secs is more than {DELAY_SECS_MAX}")]
    Delay,
}

impl Policy {
    /// True if maintainers can sign other builds.
    #[must_use]
    pub fn follows_releases(&self) -> bool {
        !self.release_pubkeys.is_empty()
    }

    /// How many maintainers must have signed; all of them if it is not said.
    #[must_use]
    pub fn signers_wanted(&self) -> usize {
        let all = self.release_pubkeys.len();
        self.threshold.map_or(all, |threshold| usize::try_from(threshold).unwrap_or(usize::MAX))
    }

    /// Checks that the policy means something.
    ///
    /// # Errors
    /// [`PolicyFault`].
    pub fn check(&self) -> Result<(), PolicyFault> {
        if self.repo.as_ref().is_some_and(|repo| repo.is_empty() || repo.len() > REPO_BYTES_MAX) {
            return Err(PolicyFault::Repo);
        }
        if self.env == Some(Env::Debug) {
            return Err(PolicyFault::Env);
        }
        if self.min_delay_secs > DELAY_SECS_MAX {
            return Err(PolicyFault::Delay);
        }
        if self.revoked.len() > REVOKED_MAX {
            return Err(PolicyFault::Revoked);
        }
        if !self.follows_releases() {
            let has_rules = self.threshold.is_some()
                || self.min_delay_secs > 0
                || self.min_version.is_some()
                || !self.revoked.is_empty();
            return if has_rules { Err(PolicyFault::Unsigned) } else { Ok(()) };
        }
        if self.repo.is_none() {
            return Err(PolicyFault::Repo);
        }
        if self.release_pubkeys.len() > RELEASE_PUBKEYS_MAX {
            return Err(PolicyFault::Maintainers);
        }
        let wanted = self.signers_wanted();
        if wanted == 0 || wanted > self.release_pubkeys.len() {
            return Err(PolicyFault::Threshold);
        }
        Ok(())
    }

    /// What approvals name it by: the SHA-256 of its canonical JSON.
    ///
    /// # Errors
    /// [`CanonicalError`] for a delay that JSON readers disagree on, which [`Self::check`] refuses.
    pub fn digest(&self) -> Result<PolicyDigest, CanonicalError> {
        Ok(Sha256::digest(canonical::to_bytes(self)?).into())
    }

    /// True if the policy refuses this build, or this version of it, by name.
    #[must_use]
    pub fn revokes(&self, pcr0: &Pcr, version: Option<&Version>) -> bool {
        self.revoked.iter().any(|revoked| match revoked {
            Revoked::Pcr0(revoked) => revoked == pcr0,
            Revoked::Version(revoked) => Some(revoked) == version,
        })
    }
}

/// A release that was taken back: by its version, or by the PCR0 of its image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Revoked {
    /// Whatever was signed under this version.
    Version(Version),
    /// This image.
    Pcr0(Pcr),
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Pcr0(pcr) => pcr.fmt(f),
        }
    }
}

impl FromStr for Revoked {
    type Err = VersionFormatError;

    fn from_str(text: &str) -> Result<Self, VersionFormatError> {
        // No version has 96 hex digits without a dot.
        if let Ok(pcr) = text.parse() {
            return Ok(Self::Pcr0(pcr));
        }
        text.parse().map(Self::Version)
    }
}

impl Serialize for Revoked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Revoked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

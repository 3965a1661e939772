//! What is kept.

use std::collections::BTreeSet;
use std::fmt;

use attestation::{Pcr, VerifiedDocument};
use nostr::event::{Event, EventId};
use nostr::key::PublicKey;
use quorum::{RecordId, Stamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use units::UnixSecs;
use zeroize::Zeroizing;

use super::{Policy, text};
use crate::nec::{Env, Version};

/// Builds that a record remembers; the oldest are forgotten first.
pub const LINEAGE_MAX: usize = 32;
/// Dealings of which a member keeps its share: the newest, and those that it may replace before enough
/// members have it.
pub const DEALINGS_MAX: usize = 3;
/// Signatures and approvals in one body.
pub const SHOWN_MAX: usize = 16;
/// Their length in all, as JSON: a body travels in one event with all else that belongs to it.
pub const SHOWN_BYTES_MAX: usize = 12 * 1_024;
/// For how many seconds a key store remembers an epoch of a record that nobody has written yet. Its holder
/// must have written, or renewed, within half of it (`quorum::TenureRules::unwritten_ms`).
pub const UNWRITTEN_SECS: u64 = 600;

/// Whose record it is: the machine, and how the record was founded. Its hash is the record's name.
///
/// The machine is PCR4, as in the reference. Beside it stands either the very build that founded the
/// record, or whose releases may have it: so a build that is updated finds its record by what it was
/// measured with, and nobody else can found one under that name, because who founds a record must meet
/// the policy that is in it. The policy may change later; the name stays.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The hash of the parent's instance id.
    pub pcr4: Pcr,
    /// How it was founded.
    pub founded: Founding,
    /// The launcher's permission of the fresh start that founded it (`protocol::nec::genesis`), so that
    /// one machine may have several records in the course of time, and a new one never touches an old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<EventId>,
}

/// Who may found a record.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Founding {
    /// This build.
    Exact {
        /// PCR0, 1 and 2.
        pcrs: [Pcr; 3],
    },
    /// Builds that these maintainers signed.
    Signed {
        /// The repository.
        #[serde(rename = "ref")]
        repo: String,
        /// What the releases are for.
        #[serde(rename = "t")]
        env: Env,
        /// The maintainers.
        release_pubkeys: BTreeSet<PublicKey>,
        /// How many of them must have signed.
        threshold: u32,
    },
}

impl Identity {
    /// The identity of the record that a build on this machine founds with this policy.
    #[must_use]
    pub fn new(pcr4: Pcr, pcrs: [Pcr; 3], policy: &Policy) -> Self {
        let founded = match &policy.repo {
            Some(repo) if policy.follows_releases() => Founding::Signed {
                repo: repo.clone(),
                env: policy.env.unwrap_or(Env::Prod),
                release_pubkeys: policy.release_pubkeys.clone(),
                threshold: u32::try_from(policy.signers_wanted()).unwrap_or(u32::MAX),
            },
            Some(_) | None => Founding::Exact { pcrs },
        };
        Self { pcr4, founded, genesis: None }
    }

    /// The identity of the record that this fresh start founds.
    #[must_use]
    pub fn of_genesis(self, genesis: EventId) -> Self {
        Self { genesis: Some(genesis), ..self }
    }

    /// The policy that is part of the name; none if only one build may found the record.
    #[must_use]
    pub fn founding_policy(&self) -> Policy {
        match &self.founded {
            Founding::Exact { .. } => Policy::default(),
            Founding::Signed { repo, env, release_pubkeys, threshold } => Policy {
                repo: Some(repo.clone()),
                env: Some(*env),
                release_pubkeys: release_pubkeys.clone(),
                threshold: Some(*threshold),
                ..Policy::default()
            },
        }
    }

    /// The record's name.
    #[must_use]
    pub fn record_id(&self) -> RecordId {
        let mut hasher = Sha256::new();
        hasher.update(b"enclaved/keycrux/record/1");
        hasher.update(self.pcr4.as_bytes());
        match &self.founded {
            Founding::Exact { pcrs } => {
                hasher.update([0]);
                pcrs.iter().for_each(|pcr| hasher.update(pcr.as_bytes()));
            }
            Founding::Signed { repo, env, release_pubkeys, threshold } => {
                hasher.update([1]);
                // The only parts of variable length are hashed by themselves.
                hasher.update(Sha256::digest(repo));
                hasher.update(Sha256::digest(env.as_str()));
                hasher.update(threshold.to_be_bytes());
                release_pubkeys.iter().for_each(|key| hasher.update(key.to_bytes()));
            }
        }
        let name: [u8; 32] = hasher.finalize().into();
        let Some(genesis) = &self.genesis else { return RecordId(name) };
        let mut hasher = Sha256::new();
        hasher.update(b"enclaved/keycrux/record/genesis/1");
        hasher.update(name);
        hasher.update(genesis.as_bytes());
        RecordId(hasher.finalize().into())
    }
}

/// One build that had the record.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// PCR0, 1 and 2.
    pub pcrs: [Pcr; 3],
    /// The version under which it was signed, if it was.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Since when.
    pub since: UnixSecs,
}

/// PCR0, 1 and 2 of an attested build, if the document has them.
#[must_use]
pub fn image_pcrs(document: &VerifiedDocument) -> Option<[Pcr; 3]> {
    Some([document.pcr(0)?, document.pcr(1)?, document.pcr(2)?])
}

/// What a record holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Whose it is.
    pub identity: Identity,
    /// Which builds may have it.
    pub policy: Policy,
    /// The builds that had it, oldest first; the last one is the one that it belongs to.
    pub lineage: Vec<Build>,
    /// The secret, or a share of it.
    pub material: Material,
    /// Who signed the build that the record belongs to, and who approved the last change of the policy:
    /// kind 63794. For key stores that were away and were not shown it themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<Event>,
}

impl Body {
    /// The build that the record belongs to.
    #[must_use]
    pub fn current(&self) -> Option<&Build> {
        self.lineage.last()
    }

    /// The highest version that ever had the record.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        self.lineage.iter().filter_map(|build| build.version.as_ref()).max()
    }

    /// Makes `build` the one that the record belongs to.
    pub fn pass_to(&mut self, build: Build) {
        if self
            .current()
            .is_some_and(|current| current.pcrs == build.pcrs && current.version == build.version)
        {
            return;
        }
        self.lineage.push(build);
        let surplus = self.lineage.len().saturating_sub(LINEAGE_MAX);
        self.lineage.drain(..surplus);
    }
}

/// The secret, or one member's part of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Material {
    /// The secret itself: every member has it.
    Data(SecretData),
    /// Shares of it, of which `threshold` make it whole. A member holds only its own.
    Split {
        /// How many shares it takes.
        threshold: u8,
        /// This member's, newest dealing last. Empty in what is written to keep what is there, and in
        /// what members tell each other.
        shares: Vec<Share>,
    },
}

impl Material {
    /// The same without shares: what may be told to another member.
    #[must_use]
    pub fn without_shares(&self) -> Self {
        match self {
            Self::Data(data) => Self::Data(data.clone()),
            Self::Split { threshold, .. } => Self::Split { threshold: *threshold, shares: Vec::new() },
        }
    }

    /// Length of what is kept, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Data(data) => data.expose().len(),
            Self::Split { shares, .. } => {
                shares.iter().map(|share| share.bytes.expose().len()).max().unwrap_or(0)
            }
        }
    }
}

/// One member's share in one dealing.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Which dealing: shares of different ones do not fit together.
    pub dealing: Stamp,
    /// The point at which the polynomial was evaluated; never 0.
    pub x: u8,
    /// The value.
    pub bytes: ShareBytes,
}

/// A secret text. Does not print; wiped when dropped.
#[derive(Clone, Eq, PartialEq)]
pub struct SecretData(Zeroizing<String>);

impl SecretData {
    /// Takes a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretData(…)")
    }
}

impl Serialize for SecretData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// The bytes of a share. Do not print; wiped when dropped.
#[derive(Clone, Eq, PartialEq)]
pub struct ShareBytes(Zeroizing<Vec<u8>>);

impl ShareBytes {
    /// Takes bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ShareBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareBytes(…)")
    }
}

impl Serialize for ShareBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex::encode(self.expose())))
    }
}

impl<'de> Deserialize<'de> for ShareBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        hex::decode(text.as_str()).map(Self::new).map_err(serde::de::Error::custom)
    }
}

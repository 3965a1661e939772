//! Who and what: members, their incarnations, records, epochs, heads.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Who has a vote: the key of a launcher, whatever number of instances it boots.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct MemberId(#[serde(with = "hex::serde")] pub [u8; 32]);

/// The key that an instance made when it started. Another start has another.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Boot(#[serde(with = "hex::serde")] pub [u8; 32]);

/// What is kept: one record for each owner.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct RecordId(#[serde(with = "hex::serde")] pub [u8; 32]);

/// The name of a group: the hash of who founded it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct GroupId(#[serde(with = "hex::serde")] pub [u8; 32]);

impl GroupId {
    /// The group that these instances found.
    #[must_use]
    pub fn founded_by(founders: &BTreeMap<MemberId, Boot>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"enclaved/quorum/group/1");
        for (member, boot) in founders {
            hasher.update(member.0);
            hasher.update(boot.0);
        }
        Self(hasher.finalize().into())
    }
}

/// One life of a member. A later one supersedes those before it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Incarnation {
    /// How often the member has joined the group; the founder's is 0.
    pub count: u64,
    /// Which instance: two that joined at once have the same count.
    pub boot: Boot,
}

/// What one replica knows of the group. It only ever grows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct View {
    /// The group.
    pub group: GroupId,
    /// The newest incarnation of each member.
    pub seats: BTreeMap<MemberId, Incarnation>,
}

impl View {
    /// Takes over what another view knows better.
    pub(crate) fn learn(&mut self, other: &Self) {
        for (member, incarnation) in &other.seats {
            self.seat(*member, *incarnation);
        }
    }

    /// Notes an incarnation, unless a newer one is known.
    pub(crate) fn seat(&mut self, member: MemberId, incarnation: Incarnation) {
        let known = self.seats.entry(member).or_insert(incarnation);
        *known = (*known).max(incarnation);
    }

    /// True if the incarnation is older than one that this view knows.
    pub(crate) fn supersedes(&self, member: MemberId, incarnation: Incarnation) -> bool {
        self.seats.get(&member).is_some_and(|known| *known > incarnation)
    }
}

/// The tenure of one holder. A higher one ends those below it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Epoch {
    /// Counted up by each that opens one.
    pub round: u64,
    /// Drawn at random by its holder: two that chose the same round differ in it.
    #[serde(with = "hex::serde")]
    pub holder: [u8; 16],
}

impl Epoch {
    /// The epoch that a holder opens to end this one.
    #[must_use]
    pub const fn next(&self, holder: [u8; 16]) -> Self {
        Self { round: self.round.saturating_add(1), holder }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.round, hex::encode(&self.holder[..4]))
    }
}

/// When something was written: in which epoch, and as the how-manieth in it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Stamp {
    /// The writer's epoch.
    pub epoch: Epoch,
    /// Counts the writes of one epoch.
    pub seq: u64,
}

/// The newest state of an owner.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Head {
    /// Counts snapshots; the first is 1.
    pub generation: u64,
    /// Digest of the snapshot's manifest.
    #[serde(with = "hex::serde")]
    pub digest: [u8; 32],
}

/// How many there are, and how many must agree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    members: usize,
    writes: usize,
}

/// Why a size is refused.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SizeError {
    /// Two quorums might not meet.
    #[error("{writes} of {members} is no quorum; name more than half, and at most all")]
    NoQuorum {
        /// Members.
        members: usize,
        /// How many were to agree.
        writes: usize,
    },
    /// With two, a member that restarts cannot tell the other from an old one kept aside.
    #[error("a group has three members or more (or one, for development)")]
    TwoMembers,
}

impl Size {
    /// A group of `members` in which `writes` must agree.
    ///
    /// # Errors
    /// [`SizeError`].
    pub const fn new(members: usize, writes: usize) -> Result<Self, SizeError> {
        if members == 2 {
            return Err(SizeError::TwoMembers);
        }
        if writes > members || writes * 2 <= members {
            return Err(SizeError::NoQuorum { members, writes });
        }
        Ok(Self { members, writes })
    }

    /// Members.
    #[must_use]
    pub const fn members(self) -> usize {
        self.members
    }

    /// How many acknowledge a write before it counts.
    #[must_use]
    pub const fn writes(self) -> usize {
        self.writes
    }

    /// How many a reader hears, so that one of them has what was written last.
    #[must_use]
    pub const fn reads(self) -> usize {
        self.members - self.writes + 1
    }

    /// How many others a member asks when it starts: enough to hear of each write, and more than half,
    /// so that among any two such sets without the member itself there is one in common.
    #[must_use]
    pub const fn join(self) -> usize {
        let majority = self.members / 2 + 1;
        if self.reads() > majority { self.reads() } else { majority }
    }
}

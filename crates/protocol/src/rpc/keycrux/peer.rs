//! What members of a group tell each other.

use std::collections::BTreeMap;

use attestation::Pcr;
use nostr::event::Event;
use quorum::{PeerReply, PeerRequest, RecordId};
use serde::{Deserialize, Serialize};
use units::UnixSecs;

use super::{Body, text};
use crate::nec::Version;

/// Parameters of `peer`. The caller proves by an announcement with a fresh attestation that it is a build
/// that the group accepts, run by the member that it says it is; the callee proved the same by its own
/// announcement, or it would not have been asked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PeerParams {
    /// The caller's announcement, kind 13793.
    pub announcement: Event,
    /// What it asks.
    pub request: PeerRequest,
    /// The last record that it has got: an answer is as long as an event allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<RecordId>,
}

/// Result of `peer`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PeerAnswer {
    /// The answer; of records, as many as fit.
    pub reply: PeerReply<Body>,
    /// Ask again with this one as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_after: Option<RecordId>,
    /// What is known of the records besides. A record without a note is one that was forgotten but for its
    /// newest epoch and head.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<RecordId, Note>,
}

/// What a key store remembers of a record besides its contents.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Whose it is, for the bound per machine.
    pub pcr4: Pcr,
    /// For how many more seconds it is kept unless it is used. No moment: each measures time by itself, on
    /// a clock that its host cannot set.
    pub left_secs: u64,
    /// Releases that may have it once they are known for long enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
}

/// A release that waits.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// PCR0, 1 and 2.
    pub pcrs: [Pcr; 3],
    /// Its version.
    #[serde(with = "text::option")]
    pub version: Option<Version>,
    /// When the key store was first shown enough signatures of it.
    pub first_seen: UnixSecs,
}

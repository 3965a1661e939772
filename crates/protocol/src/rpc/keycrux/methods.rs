//! Parameters and results of the methods.

use attestation::Pcr;
use nostr::event::{Event, EventId};
use quorum::{Epoch, GroupId, Head, Origin, RecordId, Stamped};
use serde::{Deserialize, Serialize};
use units::UnixSecs;

use super::{Body, Identity, Policy, SecretData, text};
use crate::nec::{Env, Version};

/// Release signatures in one request: every maintainer's, for a release and its successor.
pub const SIGNATURES_MAX: usize = 32;

/// Longest lease that a holder may have: whoever comes after it waits as long.
pub const LEASE_MS_MAX: u64 = 3_600_000;

/// What a build shows beside its attestation.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The repository that it claims to be built from.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Release signatures and approvals of policies, kind 63794.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub release_signatures: Vec<Event>,
}

/// Parameters of `set`, as the reference has them. The result is `"ok"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SetParams {
    /// Attestation document, base64.
    pub attestation: String,
    /// What to keep.
    pub data: SecretData,
    /// Which other builds may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// What shows that the caller meets its own policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
}

/// Parameters of `get`, as the reference has them. The result is the data.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GetParams {
    /// Attestation document, base64.
    pub attestation: String,
    /// What shows that the caller meets the record's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
    /// Which record, if the caller knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// Parameters of `has`, as the reference has them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HasParams {
    /// The machine.
    #[serde(rename = "PCR4")]
    pub pcr4: Pcr,
}

/// Result of `has`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HasReply {
    /// Records of the machine.
    pub count: usize,
    /// Of enclaves in debug mode: none, as they are refused.
    #[serde(rename = "countDebug")]
    pub count_debug: usize,
}

/// Result of `status`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StatusReply {
    /// Version of the program.
    pub version: String,
    /// What it is for.
    pub env: Env,
    /// True once it has joined its group.
    pub serving: bool,
    /// Who it is in its group, and what it knows of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Members of the group.
    pub members: usize,
    /// How many must acknowledge a write.
    pub writes: usize,
    /// Records that it holds, and may hold.
    pub records: usize,
    /// The most that it takes.
    pub records_max: usize,
    /// Longest data, in bytes.
    pub data_bytes_max: usize,
    /// For how many seconds an unused record is kept.
    pub ttl_secs: u64,
}

/// Parameters of `lease`: [`quorum::Request::Prepare`]. The result is a [`quorum::Reply`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseParams {
    /// Attestation document, base64.
    pub attestation: String,
    /// Which record.
    pub identity: Identity,
    /// What shows that the caller may have it.
    #[serde(default)]
    pub input: Input,
    /// The epoch to open.
    pub epoch: Epoch,
}

/// Parameters of `advance`: [`quorum::Request::Write`]. The result is a [`quorum::Reply`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AdvanceParams {
    /// Attestation document, base64.
    pub attestation: String,
    /// Which record.
    pub identity: Identity,
    /// What shows that the caller may have it.
    #[serde(default)]
    pub input: Input,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// The group in which it was opened.
    pub group: GroupId,
    /// What the record is to hold from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Stamped<Body>>,
    /// The newest state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Stamped<Head>>,
    /// For how many milliseconds whoever comes next may have to wait, at most [`LEASE_MS_MAX`].
    pub lease_ms: Stamped<u64>,
}

/// Parameters of `head`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HeadParams {
    /// Which record.
    pub record: RecordId,
}

/// Result of `head`: what one key store knows. No more than one vote.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HeadReply {
    /// Who answers.
    pub from: Origin,
    /// The highest epoch that was opened; zero if the record is not known.
    pub promised: Epoch,
    /// The newest state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Stamped<Head>>,
    /// The builds that had the record, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<super::Build>,
}

/// Parameters of `check`: a build that runs, by its attestation, or one that does not yet, by its
/// registers. The second opens nothing, whatever the answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CheckParams {
    /// Attestation document, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<String>,
    /// The registers of a build that does not run yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<HypotheticalBuild>,
    /// Which record, by all of its name …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// … or by the fresh start that founded it. With neither, the only one that the machine has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<EventId>,
    /// What the build would show.
    #[serde(default)]
    pub input: Input,
}

/// A build that does not run yet, on a machine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HypotheticalBuild {
    /// PCR0, 1 and 2, as the release names them.
    pub pcrs: [Pcr; 3],
    /// The machine.
    pub pcr4: Pcr,
}

/// Result of `check`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CheckReply {
    /// True if the build would get the record now.
    pub allowed: bool,
    /// `ok`, or the stable code of the rule that refuses.
    pub code: String,
    /// The same for people.
    pub reason: String,
    /// The version under which the build was signed.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The record that this is about: what several key stores say of different ones does not add up.
    pub record: RecordId,
    /// When the delay of this release ends, if nothing but the delay refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<UnixSecs>,
}

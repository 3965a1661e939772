//! What an owner sees of a container while it lives, and does in it.

use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};
use units::{Msat, UnitSize, UnixSecs};
use utoipa::ToSchema;

/// Most lines of one answer to `logs`.
pub const LOG_LINES_MAX: u32 = 1_000;
/// Lines of an answer that does not say how many.
const LOG_LINES: u32 = 100;
/// Most events of one answer to `events`.
pub const HISTORY_MAX: u32 = 200;
/// Longest time that a command may take, in seconds.
pub const EXEC_SECS_MAX: u32 = 60;
/// What a command may take that does not say.
const EXEC_SECS: u32 = 10;
/// Most words of a command.
pub const EXEC_WORDS_MAX: usize = 64;
/// Longest command, all words together, in bytes.
pub const EXEC_BYTES_MAX: usize = 8 * 1024;

/// Parameters of `logs`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogsParams {
    /// The container's key.
    pub pubkey: PublicKey,
    /// How many of the newest lines.
    #[serde(default = "default_lines")]
    pub lines: u32,
    /// Only what came after the line with this [`LogLine::at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

const fn default_lines() -> u32 {
    LOG_LINES
}

impl LogsParams {
    /// The newest lines of a container, as many as come unasked.
    #[must_use]
    pub const fn newest(pubkey: PublicKey) -> Self {
        Self { pubkey, lines: LOG_LINES, after: None }
    }
}

/// Where a process wrote a line.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

/// A line that a container's process wrote.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct LogLine {
    /// When, RFC 3339 in UTC with nine digits of a second: texts compare as times do.
    pub at: String,
    /// Where.
    pub stream: LogStream,
    /// What, without its line break; what is not UTF-8 is replaced, what is too long is cut.
    pub text: String,
}

/// Answer to `logs`: oldest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Logs {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Older lines were left out, because they were not asked for or do not fit into one answer.
    pub truncated: bool,
}

/// Answer to `stats`. What the engine does not say is absent.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Stats {
    /// Whether its process runs.
    pub running: bool,
    /// CPU in use during the last second, in thousandths of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<u64>,
    /// What it may use.
    pub cpu_milli_limit: u64,
    /// Memory in use, without what the kernel can take back at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// What it may use.
    pub memory_bytes_limit: u64,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
    /// How many it may have.
    pub pids_limit: u64,
    /// What it wrote beside its volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// What it may write there.
    pub disk_bytes_limit: u64,
    /// What is used of its volume, if it has one that is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_bytes: Option<u64>,
    /// The volume's size.
    pub volume_bytes_limit: u64,
    /// Received since its process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_bytes: Option<u64>,
    /// Sent since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_bytes: Option<u64>,
    /// Up to when it has paid; absent before the first charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub paid_until: Option<UnixSecs>,
    /// What it has to pay with besides, in millisatoshi.
    #[schema(value_type = i64)]
    pub balance_msat: Msat,
    /// What a day costs, in millisatoshi.
    #[schema(value_type = i64)]
    pub burn_msat_per_day: Msat,
    /// When its balance is used up at this price; absent for a container that is free or over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub lasts_until: Option<UnixSecs>,
}

/// Parameters of `events`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryParams {
    /// The container's key.
    pub pubkey: PublicKey,
    /// How many of the newest.
    #[serde(default = "default_history")]
    pub limit: u32,
}

const fn default_history() -> u32 {
    HISTORY_MAX
}

/// Something that happened to a container.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct HistoryEvent {
    /// Its number in the container's life, rising.
    pub seq: u64,
    /// When, in seconds since 1970.
    #[schema(value_type = u64)]
    pub at: UnixSecs,
    /// For programs: `state`, `exited`, `transferred`, `exec`, `upgraded` and so on.
    pub code: String,
    /// For people.
    pub message: String,
}

/// Answer to `events`: newest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct History {
    /// The events. The oldest of a long life are forgotten.
    pub events: Vec<HistoryEvent>,
}

/// Parameters of `exec`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecParams {
    /// The container's key.
    #[schema(value_type = String)]
    pub pubkey: PublicKey,
    /// The program and its arguments. There is no shell but the one that they name.
    pub command: Vec<String>,
    /// How long it may take, in seconds.
    #[serde(default = "default_exec_secs")]
    pub timeout_secs: u32,
}

const fn default_exec_secs() -> u32 {
    EXEC_SECS
}

/// Answer to `exec`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ExecReply {
    /// What the program ended with.
    pub exit_code: i64,
    /// What it wrote; what is not UTF-8 is replaced.
    pub stdout: String,
    /// What it wrote as errors.
    pub stderr: String,
    /// It wrote more than is kept.
    pub truncated: bool,
}

/// Parameters of `transfer`, which offers a container to another key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferParams {
    /// The container's key.
    #[schema(value_type = String)]
    pub pubkey: PublicKey,
    /// The key that commands it once that key has accepted (`accept_transfer`).
    #[schema(value_type = String)]
    pub owner: PublicKey,
}

/// A container that is offered to another key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Offer {
    /// To whom.
    #[schema(value_type = String)]
    pub to: PublicKey,
    /// The last second in which it can be accepted.
    #[schema(value_type = u64)]
    pub until: UnixSecs,
}

/// Answer to `price`: what this server sells, and for how much.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Terms {
    /// Whether new containers are taken.
    pub open: bool,
    /// When the server ends to be replaced by another version, in seconds since 1970, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    pub ends_at: Option<UnixSecs>,
    /// Price of a unit for an hour, in millisatoshi.
    #[schema(value_type = i64)]
    pub unit_hour_msat: Msat,
    /// How long one charge lasts, in seconds.
    pub period_secs: u32,
    /// What a unit is.
    #[schema(value_type = Object)]
    pub unit_size: UnitSize,
    /// Units that can be had now.
    pub units_free: u32,
    /// Units in all.
    pub units: u32,
    /// How many units are sold for each hundred that the machine has; 100 if none is sold twice.
    pub overcommit_percent: u32,
    /// How long the data of an unpaid container is kept, in seconds.
    pub retention_secs: u64,
    /// The limits that this server's kernel does not enforce, by name.
    pub limits_not_enforced: Vec<String>,
    /// Leading zero bits (NIP-13) of a request that is asked about no quota of free quotes; 0 if none is.
    #[serde(default)]
    pub free_work_bits: u8,
}

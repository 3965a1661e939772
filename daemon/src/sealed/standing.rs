//! What this machine's disk knows of itself: whose state it holds, and of which snapshot the key stores
//! have heard. It lies beside the state, never in it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use quorum::{Head, RecordId};
use serde::{Deserialize, Serialize};
use units::UnixSecs;

const FILE: &str = "standing.json";
const VERSION: u8 = 1;
/// Longer than any that was ever written; what is longer is something else.
const BYTES_MAX: u64 = 16 * 1024;

/// Whether the state beside it can be used.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It can.
    Whole,
    /// It is being replaced: whatever is there is half of something.
    Replacing,
}

/// What the disk knows of itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    pub(super) v: u8,
    /// Whose state it is.
    pub record: RecordId,
    /// Whether it can be used.
    pub condition: Condition,
    /// The newest snapshot that the key stores acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Head>,
    /// A snapshot of which they may or may not have heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Head>,
    /// The last time that state was restored, if it ever was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<Recovered>,
}

/// The last time that state was restored.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recovered {
    /// When.
    pub at: UnixSecs,
    /// When the snapshot was made that was restored. What happened between the two is not in the state.
    pub snapshot_made: UnixSecs,
}

impl Standing {
    /// State of `record` that is whole.
    #[must_use]
    pub const fn whole(record: RecordId, acknowledged: Option<Head>, recovered: Option<Recovered>) -> Self {
        Self { v: VERSION, record, condition: Condition::Whole, acknowledged, pending: None, recovered }
    }

    /// State that is being replaced by that of `record`.
    #[must_use]
    pub const fn replacing(record: RecordId) -> Self {
        let condition = Condition::Replacing;
        Self { v: VERSION, record, condition, acknowledged: None, pending: None, recovered: None }
    }

    /// Reads what lies in the folder; none if there is nothing, or nothing that is understood.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn load(dir: &Path) -> io::Result<Option<Self>> {
        let path = dir.join(FILE);
        let bytes = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() <= BYTES_MAX => std::fs::read(&path)?,
            Ok(_) => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let read = serde_json::from_slice::<Self>(&bytes).ok().filter(|standing| standing.v == VERSION);
        if read.is_none() {
            tracing::warn!("{} is not understood; the state beside it counts as another's", path.display());
        }
        Ok(read)
    }

    /// Writes it, whole or not at all, and durable when this returns.
    ///
    /// # Errors
    /// If it cannot be written; what was there stays.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        let (path, new) = (dir.join(FILE), dir.join(PathBuf::from(FILE).with_extension("new")));
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(dir)?.sync_all()
    }
}

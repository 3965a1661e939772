//! Upgrades of a container's image, as its owner asks for them and sees them.

use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};
use units::UnixSecs;
use utoipa::ToSchema;

/// Most rows of one answer to `upgrades`, and most that are kept of one container.
pub const UPGRADES_MAX: u32 = 50;

/// Parameters of `upgrade`, as the reference has them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeParams {
    /// The container's key.
    #[schema(value_type = String)]
    pub pubkey: PublicKey,
    /// Image reference, `[docker://][registry/]repository[:tag][@sha256:…]`. A tag is resolved once, now.
    pub docker: String,
}

/// What became of an upgrade.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpgradeOutcome {
    /// It is under way.
    Open,
    /// The new image runs.
    Done,
    /// It was not begun; nothing changed.
    Refused,
    /// The new image did not become healthy; the old one runs again, on the data of before.
    RolledBack,
    /// Something else came first, such as a pause; the old image is back, on the data of before.
    Cancelled,
}

impl UpgradeOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::Open, Self::Done, Self::Refused, Self::RolledBack, Self::Cancelled];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::RolledBack => "rolled_back",
            Self::Cancelled => "cancelled",
        }
    }

    /// The outcome of this name.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// What was done about one image, or one release, and why.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct UpgradeRecord {
    /// When it was decided.
    #[schema(value_type = u64)]
    pub at: UnixSecs,
    /// When it ended; absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub ended_at: Option<UnixSecs>,
    /// The image, `registry/repository@sha256:…`, as far as it is known.
    pub image: String,
    /// The released version; absent where the owner asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The event id of the release, hex; absent where the owner asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// What became of it.
    pub outcome: UpgradeOutcome,
    /// Why, for programs; absent where all went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Answer to `upgrades`, `pin` and `unpin`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Upgrades {
    /// The image that runs, `registry/repository@sha256:…`.
    pub image: String,
    /// Who may change it: `none`, `owner` or `signed`.
    pub policy: String,
    /// The owner holds it.
    pub pinned: bool,
    /// What was done, newest first.
    pub upgrades: Vec<UpgradeRecord>,
}

//! When a document is verified.

use units::{Clock, UnixSecs};

/// The moment at which a document's certificates must be valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VerifyAt {
    /// A given moment, in milliseconds since the Unix epoch.
    Millis(u64),
    /// The document's own timestamp: was it good when it was made? Says nothing about now, and no maximum
    /// age refuses it; for documents that were kept, or that are dated by what signs them.
    DocumentTime,
}

impl VerifyAt {
    /// The present, as `clock` has it.
    #[must_use]
    pub fn now(clock: &dyn Clock) -> Self {
        Self::Millis(clock.now_ms())
    }

    pub(super) const fn resolve(self, timestamp_ms: u64) -> u64 {
        match self {
            Self::Millis(at_ms) => at_ms,
            Self::DocumentTime => timestamp_ms,
        }
    }
}

impl From<UnixSecs> for VerifyAt {
    fn from(at: UnixSecs) -> Self {
        Self::Millis(at.0.saturating_mul(1_000))
    }
}

/// The second in which the millisecond lies: certificates know no finer time.
pub(super) const fn secs(at_ms: u64) -> UnixSecs {
    UnixSecs(at_ms / 1_000)
}

/// Unix seconds with a sign, as certificates have them.
pub(super) fn signed(at: UnixSecs) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// Unix seconds without a sign; a moment before 1970 becomes 1970.
pub(super) fn unix(secs: i64) -> UnixSecs {
    UnixSecs(u64::try_from(secs).unwrap_or(0))
}

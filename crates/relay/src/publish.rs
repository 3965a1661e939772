//! Publishing, and when to publish again.

use units::UnixSecs;

/// Which relays took an event.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PublishReport {
    /// Relays that said OK.
    pub accepted: Vec<String>,
    /// Relays that did not, with what they said.
    pub refused: Vec<(String, String)>,
}

impl PublishReport {
    /// True if at least one relay has the event.
    #[must_use]
    pub const fn is_published(&self) -> bool {
        !self.accepted.is_empty()
    }
}

/// An announcement is repeated at least hourly: relays forget, and so do caches.
const ANNOUNCEMENT_SECS_MAX: u64 = 3_600;
/// Not more often than this, however little life the leaf has left.
const ANNOUNCEMENT_SECS_MIN: u64 = 30;

/// Seconds until an announcement made at `now` is to be made again: an hour, or half of what is left of
/// the attestation's leaf certificate.
#[must_use]
pub fn next_announcement_secs(now: UnixSecs, leaf_not_after: UnixSecs) -> u64 {
    (leaf_not_after.secs_since(now) / 2).clamp(ANNOUNCEMENT_SECS_MIN, ANNOUNCEMENT_SECS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcement_comes_again_within_half_of_the_leafs_life() {
        for (left, secs) in [(10_800, 3_600), (7_200, 3_600), (900, 450), (10, 30), (0, 30)] {
            assert_eq!(next_announcement_secs(UnixSecs(1_000), UnixSecs(1_000 + left)), secs);
        }
        assert_eq!(next_announcement_secs(UnixSecs(1_000), UnixSecs(10)), 30);
    }
}

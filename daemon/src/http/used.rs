//! Events that were used: each stands for one request (NIP-98). In memory, and apart from the log of
//! commands: what only asks leaves nothing on the disk. After a restart, within the minute in which an event
//! is taken at all, one that asks could be used again; one that commands could not, the log has it.

use std::collections::BTreeSet;

use nostr::event::EventId;
use units::UnixSecs;

use super::auth::SKEW_SECS_MAX;

/// Events that are remembered, some 5 MB of them: for two minutes, more than the limits for keys and addresses
/// let a handful of clients use. Beyond it those are forgotten first that end first.
const USED_MAX: usize = 50_000;

/// Events by the time from which they are refused for their age.
#[derive(Debug, Default)]
pub(super) struct Used(BTreeSet<(u64, EventId)>);

impl Used {
    /// Takes an event of this time; false if it was taken before.
    pub(super) fn take(&mut self, id: EventId, made_at: UnixSecs, now: UnixSecs) -> bool {
        // The last second in which it is taken counts, too.
        self.0 = self.0.split_off(&(now.0, EventId::from_byte_array([0; 32])));
        if self.0.len() >= USED_MAX {
            self.0.pop_first();
        }
        self.0.insert((made_at.plus_secs(SKEW_SECS_MAX).0, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSecs = UnixSecs(1_800_000_000);

    fn id(number: usize) -> EventId {
        let mut bytes = [0xff; 32];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        EventId::from_byte_array(bytes)
    }

    #[test]
    fn event_is_taken_once_for_as_long_as_its_time_is_right() {
        let mut used = Used::default();
        for (number, made_at) in [NOW.minus_secs(60), NOW, NOW.plus_secs(60)].into_iter().enumerate() {
            let event = id(number + 1);
            assert!(used.take(event, made_at, NOW));
            for now in [NOW, made_at, made_at.plus_secs(60)] {
                assert!(!used.take(event, made_at, now.max(NOW)), "{made_at} again at {now}");
            }
        }
        assert!(used.take(id(0), NOW, NOW.plus_secs(1_000)));
        assert_eq!(used.0.len(), 1, "what is refused by its time need not be remembered");
    }

    #[test]
    fn flood_of_events_takes_no_more_memory() {
        let mut used = Used::default();
        for number in 0..(2 * USED_MAX) {
            assert!(used.take(id(number), NOW.plus_secs(number as u64 / USED_MAX as u64), NOW));
        }
        assert_eq!(used.0.len(), USED_MAX);
        assert!(!used.take(id(2 * USED_MAX - 1), NOW.plus_secs(1), NOW), "the newest are remembered");
    }
}

//! How many log lines an enclave may have written: its containers fill them, and the journal is the host's.

use std::sync::{Mutex, PoisonError};

/// Lines a second, on average: a person reads less, a disk takes more.
const LINES_PER_SEC: u64 = 50;
/// Lines at once, after a pause: a start of many containers.
const LINES_AT_ONCE: u64 = 1_000;
/// A line, in the unit in which room grows by [`LINES_PER_SEC`] every millisecond.
const LINE: u64 = 1_000;

/// What becomes of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It is written; so many before it were not.
    Write { dropped: u64 },
    /// It is not.
    Drop,
}

/// A token bucket.
#[derive(Debug)]
pub(crate) struct LogRate(Mutex<State>);

#[derive(Debug)]
struct State {
    room: u64,
    at_ms: u64,
    dropped: u64,
}

impl Default for LogRate {
    fn default() -> Self {
        Self(Mutex::new(State { room: LINES_AT_ONCE * LINE, at_ms: 0, dropped: 0 }))
    }
}

impl LogRate {
    /// What becomes of a line at `now_ms`, milliseconds by any clock.
    pub(crate) fn line(&self, now_ms: u64) -> Verdict {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = now_ms.saturating_sub(state.at_ms).saturating_mul(LINES_PER_SEC);
        state.room = state.room.saturating_add(grown).min(LINES_AT_ONCE * LINE);
        state.at_ms = now_ms;
        match state.room.checked_sub(LINE) {
            Some(room) => {
                state.room = room;
                Verdict::Write { dropped: std::mem::take(&mut state.dropped) }
            }
            None => {
                state.dropped += 1;
                Verdict::Drop
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_is_cut_and_told_and_a_pause_makes_room() {
        let rate = LogRate::default();
        let written = |count: u64, now_ms| {
            (0..count).filter(|_| matches!(rate.line(now_ms), Verdict::Write { .. })).count()
        };
        assert_eq!(written(5_000, 10_000), 1_000);
        assert_eq!(written(100, 11_000), 50);
        assert_eq!(rate.line(11_019), Verdict::Drop);
        assert_eq!(rate.line(11_020), Verdict::Write { dropped: 50 + 1 });
        // A clock that goes back makes no room, and does no harm.
        assert_eq!((written(10, 5_000), written(10, 6_000)), (0, 10));
        assert_eq!(written(5_000, 10_000_000), 1_000);
    }
}

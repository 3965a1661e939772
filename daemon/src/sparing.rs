//! Saying something to the log no more than once a minute, however often strangers make it happen.

use std::sync::{Mutex, PoisonError};

/// How often one thing is said.
const EVERY_MS: u64 = 60_000;

/// When something was said last, and how often it happened since without being said.
#[derive(Debug, Default)]
pub(crate) struct Sparing(Mutex<(Option<u64>, u64)>);

impl Sparing {
    /// How often it happened since it was said last, this time included, if it is to be said now.
    pub(crate) fn due(&self, now_ms: u64) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.1 += 1;
        if told.0.is_some_and(|at| now_ms < at.saturating_add(EVERY_MS)) {
            return None;
        }
        told.0 = Some(now_ms);
        Some(std::mem::take(&mut told.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_a_minute_with_what_was_left_out() {
        let sparing = Sparing::default();
        assert_eq!(sparing.due(5), Some(1));
        assert_eq!((sparing.due(6), sparing.due(60_004)), (None, None));
        assert_eq!(sparing.due(60_005), Some(3));
        assert_eq!(sparing.due(60_006), None);
    }
}

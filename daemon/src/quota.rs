//! How much a stranger is told: so much a day for each key, and so much an hour for all of them, because
//! keys cost nothing. What costs us something is counted in the database instead ([`crate::store`]).

use std::collections::HashMap;

use nostr::key::PublicKey;
use units::UnixSecs;

const HOUR_SECS: u64 = 3_600;
const DAY_SECS: u64 = 24 * HOUR_SECS;

/// What is left to say. Forgotten with the process: a restart gives everybody a new day.
#[derive(Debug)]
pub(crate) struct Quota {
    per_key_and_day: u32,
    per_hour: u32,
    day: u64,
    /// At most as many keys as a day's hours let in.
    keys: HashMap<PublicKey, u32>,
    hour: u64,
    this_hour: u32,
}

impl Quota {
    pub(crate) fn new(per_key_and_day: u32, per_hour: u32) -> Self {
        Self { per_key_and_day, per_hour, day: 0, keys: HashMap::new(), hour: 0, this_hour: 0 }
    }

    /// True if there is one left for this key.
    pub(crate) fn has_left(&mut self, key: &PublicKey, now: UnixSecs) -> bool {
        if now.0 / DAY_SECS != self.day {
            self.day = now.0 / DAY_SECS;
            self.keys.clear();
        }
        if now.0 / HOUR_SECS != self.hour {
            self.hour = now.0 / HOUR_SECS;
            self.this_hour = 0;
        }
        let taken = self.keys.get(key).copied().unwrap_or_default();
        taken < self.per_key_and_day && self.this_hour < self.per_hour
    }

    /// Takes one for this key; false if there is none left.
    pub(crate) fn take(&mut self, key: &PublicKey, now: UnixSecs) -> bool {
        let has_left = self.has_left(key, now);
        if has_left {
            *self.keys.entry(*key).or_default() += 1;
            self.this_hour += 1;
        }
        has_left
    }
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;

    #[test]
    fn key_gets_its_share_and_all_together_theirs() {
        let [a, b, c] = [(); 3].map(|()| Keys::generate().public_key());
        let mut quota = Quota::new(2, 3);
        let mut take = |key, secs| quota.take(key, UnixSecs(secs));
        assert!(take(&a, 0) && take(&a, 1) && !take(&a, 2), "two a day");
        assert!(take(&b, 3) && !take(&b, 4) && !take(&c, 5), "three an hour");
        assert!(!take(&a, HOUR_SECS) && take(&c, HOUR_SECS), "the hour is new, the day is not");
        assert!(take(&a, DAY_SECS));
    }
}

//! A token bucket per key, for a bounded number of keys.

use std::collections::HashMap;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

/// How often one key may ask.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Requests a second, in the long run.
    pub per_sec: u32,
    /// Requests at once.
    pub burst: u32,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { per_sec: 20, burst: 100 }
    }
}

/// Keys that are remembered; a full bucket is forgotten first, and is as good as new.
const KEYS_MAX: usize = 10_000;
const MILLI: u64 = 1_000;

/// Token buckets by key.
#[derive(Debug)]
pub struct RateLimiter<K> {
    limit: RateLimit,
    buckets: HashMap<K, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a request.
    milli_tokens: u64,
    at_ms: u64,
}

impl<K: Clone + Eq + Hash> RateLimiter<K> {
    /// No key has asked yet.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        Self { limit, buckets: HashMap::new() }
    }

    /// Takes one request of `key` at `now_ms`; false if it has none left.
    pub fn allow(&mut self, key: &K, now_ms: u64) -> bool {
        if self.buckets.len() >= KEYS_MAX && !self.buckets.contains_key(key) {
            self.forget_full(now_ms);
        }
        let full = u64::from(self.limit.burst) * MILLI;
        let bucket = self.buckets.entry(key.clone()).or_insert(Bucket { milli_tokens: full, at_ms: now_ms });
        // A request per second is a thousandth of a request per millisecond.
        let gained = now_ms.saturating_sub(bucket.at_ms).saturating_mul(u64::from(self.limit.per_sec));
        bucket.milli_tokens = bucket.milli_tokens.saturating_add(gained).min(full);
        bucket.at_ms = bucket.at_ms.max(now_ms);
        if bucket.milli_tokens < MILLI {
            return false;
        }
        bucket.milli_tokens -= MILLI;
        true
    }

    /// Forgets buckets that have filled up; all of them if a flood of new keys leaves none.
    fn forget_full(&mut self, now_ms: u64) {
        let fill_ms = u64::from(self.limit.burst) * MILLI / u64::from(self.limit.per_sec.max(1));
        self.buckets.retain(|_, bucket| now_ms.saturating_sub(bucket.at_ms) < fill_ms);
        if self.buckets.len() >= KEYS_MAX {
            self.buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_allows_the_burst_then_the_rate() {
        let mut limiter = RateLimiter::new(RateLimit { per_sec: 10, burst: 3 });
        let allowed = |limiter: &mut RateLimiter<u8>, key, at| limiter.allow(&key, at);
        assert_eq!((0..5).filter(|_| allowed(&mut limiter, 1, 0)).count(), 3);
        assert!(!allowed(&mut limiter, 1, 99));
        assert!(allowed(&mut limiter, 1, 100));
        assert!(!allowed(&mut limiter, 1, 100));
        assert!(allowed(&mut limiter, 2, 100));
        assert_eq!((0..5).filter(|_| allowed(&mut limiter, 1, 60_000)).count(), 3);
    }

    #[test]
    fn many_keys_do_not_take_more_memory() {
        let mut limiter = RateLimiter::new(RateLimit::default());
        for key in 0..(3 * KEYS_MAX) {
            limiter.allow(&key, 0);
        }
        assert!(limiter.buckets.len() <= KEYS_MAX);
    }
}

//! Naming containers that ask too much, without letting them flood the log, too.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use nostr::key::PublicKey;

/// One line a minute for each container.
const EVERY_MS: u64 = 60_000;
/// Containers that are remembered: as many as ever have a network.
const REMEMBERED_MAX: usize = 8_192;

/// Who was named when.
#[derive(Debug)]
pub(super) struct Floods<K>(Mutex<HashMap<K, u64>>);

impl<K> Default for Floods<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl Floods<PublicKey> {
    /// Writes to the log that a container asks too much, unless something was said of it a moment ago.
    pub(super) fn tell(&self, pubkey: PublicKey, now_ms: u64) {
        metrics::counter!("guest_floods_total").increment(1);
        if self.is_news(pubkey, now_ms) {
            tracing::warn!(container = %pubkey, "guest API: it asks too much and is refused");
        }
    }

    /// Writes to the log why a container's connection was refused, unless something was said of it a moment
    /// ago.
    pub(super) fn tell_refused(&self, pubkey: PublicKey, why: &dyn std::error::Error, now_ms: u64) {
        metrics::counter!("guest_connections_refused_total").increment(1);
        if self.is_news(pubkey, now_ms) {
            tracing::warn!(container = %pubkey, "guest API: a connection was refused: {why}");
        }
    }
}

impl<K: Eq + Hash> Floods<K> {
    /// True if nothing was said of this one a moment ago.
    pub(super) fn is_news(&self, who: K, now_ms: u64) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= REMEMBERED_MAX && !told.contains_key(&who) {
            told.clear();
        }
        if told.get(&who).is_some_and(|before| now_ms < before.saturating_add(EVERY_MS)) {
            return false;
        }
        told.insert(who, now_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;

    #[test]
    fn each_is_named_once_a_minute() {
        let floods = Floods::default();
        let [one, other] = [Keys::generate().public_key(), Keys::generate().public_key()];
        assert!(floods.is_news(one, 0));
        assert!(!floods.is_news(one, 59_999));
        assert!(floods.is_news(other, 59_999));
        assert!(floods.is_news(one, 60_000));
    }
}

//! Naming containers that ask too much, without letting them flood the log, too.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use nostr::key::PublicKey;

/// One line a minute for each container.
const EVERY_MS: u64 = 60_000;
/// Containers that are remembered: as many as ever have a network.
const REMEMBERED_MAX: usize = 8_192;

#[derive(Debug, Default)]
pub(super) struct Floods(Mutex<HashMap<PublicKey, u64>>);

impl Floods {
    /// Writes to the log that a container asks too much, unless that was said a moment ago.
    pub(super) fn tell(&self, pubkey: PublicKey, now_ms: u64) {
        metrics::counter!("guest_floods_total").increment(1);
        if self.is_news(pubkey, now_ms) {
            tracing::warn!(container = %pubkey, "guest API: it asks too much and is refused");
        }
    }

    fn is_news(&self, pubkey: PublicKey, now_ms: u64) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= REMEMBERED_MAX {
            told.clear();
        }
        match told.insert(pubkey, now_ms) {
            Some(before) if now_ms < before.saturating_add(EVERY_MS) => {
                told.insert(pubkey, before);
                false
            }
            Some(_) | None => true,
        }
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

//! How many invoices for one payee one client is given: few enough that no client alone uses up what a payee has
//! for strangers.

use std::collections::HashMap;
use std::net::IpAddr;

use nostr::key::PublicKey;
use units::UnixSecs;

/// Pairs of a client and a payee that are remembered.
const PAIRS_MAX: usize = 10_000;

/// What was given in windows of a fixed length.
#[derive(Debug)]
pub(super) struct PayeeLimits {
    most: u32,
    /// As long as such an invoice is open at most.
    window_secs: u64,
    given: HashMap<(IpAddr, PublicKey), Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: UnixSecs,
    given: u32,
}

impl PayeeLimits {
    pub(super) fn new(most: u32, window_secs: u32) -> Self {
        Self { most, window_secs: window_secs.into(), given: HashMap::new() }
    }

    /// Counts one more invoice of `payee` for `client`; false if it had enough.
    pub(super) fn allow(&mut self, client: IpAddr, payee: PublicKey, now: UnixSecs) -> bool {
        let is_over = |window: &Window| now.secs_since(window.since) >= self.window_secs;
        let key = (client, payee);
        if self.given.len() >= PAIRS_MAX && !self.given.contains_key(&key) {
            self.given.retain(|_, window| !is_over(window));
            if self.given.len() >= PAIRS_MAX {
                // Those that had enough are kept: a flood of other pairs gives nobody more.
                self.given.retain(|_, window| window.given >= self.most);
            }
            if self.given.len() >= PAIRS_MAX {
                // All had enough: one is forgiven, so that those who never asked are not refused for them.
                let oldest = self.given.iter().min_by_key(|(_, window)| window.since).map(|(key, _)| *key);
                oldest.map(|oldest| self.given.remove(&oldest));
            }
        }
        let window = self.given.entry(key).or_insert(Window { since: now, given: 0 });
        if now.secs_since(window.since) >= self.window_secs {
            *window = Window { since: now, given: 0 };
        }
        if window.given >= self.most {
            return false;
        }
        window.given += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSecs = UnixSecs(1_000_000);

    fn key(n: u8) -> PublicKey {
        PublicKey::from_byte_array([n; 32])
    }

    fn client(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn client_gets_so_many_invoices_of_one_payee_and_others_get_theirs() {
        let mut limits = PayeeLimits::new(2, 600);
        let mut allowed = |from, payee, now| limits.allow(client(from), key(payee), now);
        assert_eq!([0, 1, 2].map(|_| allowed(1, 1, NOW)), [true, true, false]);
        assert!(allowed(2, 1, NOW), "another client");
        assert!(allowed(1, 2, NOW), "another payee");
        assert!(!allowed(1, 1, NOW.plus_secs(599)));
        assert!(allowed(1, 1, NOW.plus_secs(600)));
    }

    #[test]
    fn flood_of_pairs_takes_no_more_memory_and_forgives_nobody() {
        let mut limits = PayeeLimits::new(2, 600);
        assert!(limits.allow(client(0), key(1), NOW) && limits.allow(client(0), key(1), NOW));
        for n in 1..40_000 {
            assert!(limits.allow(client(n), key(1), NOW));
        }
        assert!(limits.given.len() <= PAIRS_MAX);
        assert!(!limits.allow(client(0), key(1), NOW));
    }

    #[test]
    fn pairs_that_all_had_enough_keep_nobody_else_out() {
        let mut limits = PayeeLimits::new(1, 600);
        for n in 0..10_000 {
            assert!(limits.allow(client(n), key(1), NOW.plus_secs(u64::from(n / 100))));
        }
        let late = NOW.plus_secs(100);
        assert!(limits.allow(client(10_000), key(2), late));
        assert!(limits.given.len() <= PAIRS_MAX);
        assert!(!limits.allow(client(9_999), key(1), late), "only the oldest is forgiven");
    }
}

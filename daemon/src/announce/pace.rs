//! When containers are told of. A stranger who makes one change its state a hundred times a minute, or a
//! hundred that come back together after a restart, must not make this server write more than relays take from
//! one address: what changes again meanwhile is told once.

use std::collections::{BTreeMap, BTreeSet};

use nostr::key::PublicKey;
use units::UnixSecs;

/// Containers are told of so often without a change, so that clients can check them before paying. Each at a
/// moment of its own within that time, which its key decides.
pub(super) const EVERY_SECS: u64 = 600;
/// A container's relay list changes with the configuration only; relays forget.
pub(super) const LIST_EVERY_SECS: u64 = 3_600;
/// What failed is tried again after this.
pub(super) const AGAIN_SECS: u64 = 30;
/// A container's changes: a launch and what follows at once, then one in so long.
pub(super) const OWN: Rate = Rate { burst: 6, every_ms: 20_000 };
/// Events of all containers. Relays commonly take two a second of one address; the server itself needs some.
const ALL: Rate = Rate { burst: 40, every_ms: 1_000 };
/// A container's event, and its profile if that changed; its relay list and its profile besides.
const EVENTS: u32 = 2;
const EVENTS_WITH_LIST: u32 = 3;

/// So many at once, and one more after each such time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) burst: u32,
    pub(super) every_ms: u64,
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    left: u32,
    /// When the next one comes to what is left, unless it is full.
    from_ms: u64,
}

impl Bucket {
    pub(super) const fn full(rate: Rate) -> Self {
        Self { rate, left: rate.burst, from_ms: 0 }
    }

    fn fill(&mut self, now_ms: u64) {
        let gained = now_ms.saturating_sub(self.from_ms) / self.rate.every_ms;
        let room = u64::from(self.rate.burst - self.left);
        if gained >= room {
            self.left = self.rate.burst;
            self.from_ms = now_ms;
        } else {
            self.left += u32::try_from(gained).unwrap_or(0);
            self.from_ms += gained * self.rate.every_ms;
        }
    }

    /// Takes so many; false, and nothing is taken, if there are fewer.
    pub(super) fn take(&mut self, count: u32, now_ms: u64) -> bool {
        self.fill(now_ms);
        let enough = self.left >= count;
        if enough {
            self.left -= count;
        }
        enough
    }

    /// When there are so many.
    pub(super) fn ready_ms(&self, count: u32) -> u64 {
        let missing = u64::from(count.saturating_sub(self.left));
        if missing == 0 { 0 } else { self.from_ms.saturating_add(missing * self.rate.every_ms) }
    }
}

/// What became of telling of a container.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Told {
    /// There is nothing to tell of it yet, or no more after this.
    NothingMore,
    /// It lives, and is told of again.
    Lives,
    /// It could not be told.
    Failed,
}

/// One container's turn.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Since when it is to be told of, and not before.
    wanted: Option<UnixSecs>,
    /// When it is told of without a change.
    due: Option<UnixSecs>,
    /// When its relay list goes with it.
    list_due: UnixSecs,
    own: Bucket,
}

impl Turn {
    const fn events(&self, now: UnixSecs) -> u32 {
        if self.has_list(now) { EVENTS_WITH_LIST } else { EVENTS }
    }

    const fn has_list(&self, now: UnixSecs) -> bool {
        self.list_due.0 <= now.0
    }
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Pace {
    turns: BTreeMap<PublicKey, Turn>,
    all: Bucket,
}

impl Default for Pace {
    fn default() -> Self {
        Self { turns: BTreeMap::new(), all: Bucket::full(ALL) }
    }
}

impl Pace {
    /// A container changed, or is known from before: it is to be told of.
    pub(super) fn want(&mut self, pubkey: PublicKey, now: UnixSecs) {
        let turn = self.turns.entry(pubkey).or_insert(Turn {
            wanted: None,
            due: None,
            list_due: UnixSecs(0),
            own: Bucket::full(OWN),
        });
        turn.wanted = turn.wanted.or(Some(now));
    }

    /// Who is told of now, and whether the relay list goes with it: those of whom nobody has heard yet first,
    /// then in the order in which they waited.
    pub(super) fn take(&mut self, now: UnixSecs) -> Vec<(PublicKey, bool)> {
        let now_ms = now.0.saturating_mul(1_000);
        let mut waiting = Vec::new();
        for (pubkey, turn) in &mut self.turns {
            turn.own.fill(now_ms);
            let changed = turn.wanted.filter(|since| *since <= now && turn.own.left > 0);
            if let Some(since) = changed.or(turn.due.filter(|due| *due <= now)) {
                waiting.push((turn.due.is_some(), since, *pubkey));
            }
        }
        waiting.sort_unstable();
        let mut told = Vec::new();
        for (_, _, pubkey) in waiting {
            let Some(turn) = self.turns.get_mut(&pubkey) else { continue };
            if !self.all.take(turn.events(now), now_ms) {
                break;
            }
            // Being told of in its time is nobody's doing.
            if turn.due.is_none_or(|due| due > now) {
                turn.own.take(1, now_ms);
            }
            told.push((pubkey, turn.has_list(now)));
            turn.wanted = None;
        }
        told
    }

    /// What came of it.
    pub(super) fn note(&mut self, pubkey: PublicKey, outcome: Told, now: UnixSecs) {
        let Some(turn) = self.turns.get_mut(&pubkey) else { return };
        match outcome {
            Told::Lives => {
                turn.due = Some(next(&pubkey, EVERY_SECS, now));
                if turn.has_list(now) {
                    turn.list_due = next(&pubkey, LIST_EVERY_SECS, now);
                }
            }
            Told::NothingMore => turn.due = None,
            Told::Failed => {
                turn.wanted = Some(now.plus_secs(AGAIN_SECS));
                turn.due = turn.due.map(|due| due.max(now.plus_secs(AGAIN_SECS)));
            }
        }
        self.forget_idle(now);
    }

    /// Containers that are over are remembered until nothing of their doing is left to be slowed down.
    fn forget_idle(&mut self, now: UnixSecs) {
        let now_ms = now.0.saturating_mul(1_000);
        self.turns.retain(|_, turn| {
            turn.own.fill(now_ms);
            turn.wanted.is_some() || turn.due.is_some() || turn.own.left < turn.own.rate.burst
        });
    }

    /// When somebody's turn comes, if nothing changes; not before `now`.
    pub(super) fn next_due(&self, now: UnixSecs) -> Option<UnixSecs> {
        let turns = self.turns.values().filter_map(|turn| {
            let changed = turn.wanted.map(|since| since.max(UnixSecs(turn.own.ready_ms(1).div_ceil(1_000))));
            changed.into_iter().chain(turn.due).min()
        });
        let all = UnixSecs(self.all.ready_ms(EVENTS_WITH_LIST).div_ceil(1_000));
        turns.min().map(|due| due.max(all).max(now))
    }
}

/// The next moment of this key's own in every so many seconds.
fn next(pubkey: &PublicKey, every_secs: u64, now: UnixSecs) -> UnixSecs {
    let bytes = pubkey.to_bytes();
    let offset = bytes.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte)) % every_secs;
    let since = (now.0 % every_secs + every_secs - offset) % every_secs;
    now.plus_secs(every_secs - since)
}

/// Which of them live is for who knows them.
impl Extend<PublicKey> for Pace {
    fn extend<T: IntoIterator<Item = PublicKey>>(&mut self, pubkeys: T) {
        pubkeys.into_iter().collect::<BTreeSet<_>>().into_iter().for_each(|one| self.want(one, UnixSecs(0)));
    }
}

#[cfg(test)]
mod tests;

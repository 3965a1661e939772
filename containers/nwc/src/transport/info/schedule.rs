//! When which service key is announced.
//!
//! ```text
//!  new ──► announced ──► every relay has it ── an hour, or a relay connected anew ──► announced again
//!              └─ one did not take it ── a while, longer each time ──┘
//! ```

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::super::RELOAD_EVERY;

/// Relays forget; some clients cache for two days.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(3_600);
/// Until every relay has taken it once; twice as long after each attempt.
const AGAIN_MIN: Duration = Duration::from_secs(2);
/// A relay that says nothing may stay so; the others get everything anew each time.
const AGAIN_MAX: Duration = Duration::from_secs(64);
/// Keys that are announced side by side: a relay that says nothing takes ten seconds of each.
const AT_ONCE: usize = 16;

/// What the schedule hears of.
pub(super) struct Signals<C> {
    /// A relay connected, perhaps anew; one for each pool.
    pub(super) reconnected: Vec<watch::Receiver<u64>>,
    /// The connections, whenever one is made or ends.
    pub(super) connections: watch::Receiver<C>,
}

/// Which keys are where. `K` names a key.
struct Schedule<K> {
    /// Every relay has it.
    told: HashSet<K>,
    /// One did not take it when it was tried last.
    failed: HashSet<K>,
    /// On its way.
    under_way: HashSet<K>,
    /// When it was begun last, whatever came of it, counted in announcements.
    tried: HashMap<K, u64>,
    begun: u64,
    /// Counts what makes all of it worthless; what was begun before counts no more.
    round: u64,
}

/// Announces every key of `keys` until it is aborted. `announce` says whether every relay took it.
pub(super) async fn keep<C, K, F>(signals: Signals<C>, keys: impl Fn(&C) -> Vec<K>, announce: impl Fn(K) -> F)
where
    K: Copy + Debug + Eq + Hash + Send + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    let Signals { mut reconnected, mut connections } = signals;
    let (mut hourly, mut again, mut pace) = (every(ANNOUNCE_EVERY), every(AGAIN_MIN), every(RELOAD_EVERY));
    hourly.reset();
    again.reset();
    let mut wait = AGAIN_MIN;
    for one in &mut reconnected {
        one.mark_unchanged();
    }
    let mut schedule = Schedule::default();
    let mut tasks: JoinSet<(u64, K, bool)> = JoinSet::new();
    let (mut current, mut is_stale) = (Vec::new(), true);
    loop {
        while tasks.len() < AT_ONCE
            && let Some(key) = schedule.next(&current)
        {
            let (round, announcing) = (schedule.round, announce(key));
            tasks.spawn(async move { (round, key, announcing.await) });
        }
        tokio::select! {
            Some(done) = tasks.join_next() => match done {
                Ok((round, key, taken)) => {
                    if !taken && schedule.failed.is_empty() {
                        again.reset_after(wait);
                    }
                    schedule.note(round, key, taken);
                }
                Err(e) => {
                    // Whichever it was: all that were on their way are tried again.
                    tracing::error!("an announcement's task ended: {e}");
                    tasks.shutdown().await;
                    schedule.failed.extend(schedule.under_way.drain());
                    again.reset_after(wait);
                }
            },
            _ = hourly.tick() => {
                schedule.begin_anew();
                wait = AGAIN_MIN;
            }
            () = changed(&mut reconnected) => {
                schedule.begin_anew();
                wait = AGAIN_MIN;
                again.reset_after(wait);
            }
            _ = again.tick(), if !schedule.failed.is_empty() => {
                schedule.failed.clear();
                wait = (wait * 2).min(AGAIN_MAX);
                again.reset_after(wait);
            }
            Ok(()) = connections.changed(), if !is_stale => is_stale = true,
            // Whoever makes and revokes connections without end is followed at this pace.
            _ = pace.tick(), if is_stale => {
                is_stale = false;
                current = keys(&connections.borrow_and_update());
                schedule.keep(&current);
            }
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Waits until any of them changes; for ever if none can.
async fn changed(all: &mut [watch::Receiver<u64>]) {
    let waiting = all.iter_mut().map(|one| {
        Box::pin(async move {
            if one.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    });
    futures_util::future::select_all(waiting).await;
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        let (told, failed, under_way) = Default::default();
        Self { told, failed, under_way, tried: HashMap::new(), begun: 0, round: 0 }
    }
}

impl<K: Copy + Eq + Hash> Schedule<K> {
    /// The next key to be announced: first what never was, then what was longest ago. So everything has its turn,
    /// however many fail again and again.
    fn next(&mut self, current: &[K]) -> Option<K> {
        let is_due = |key: &&K| {
            !self.told.contains(key) && !self.failed.contains(key) && !self.under_way.contains(key)
        };
        let longest_ago = |key: &&K| self.tried.get(key).copied();
        let key = *current.iter().filter(is_due).min_by_key(longest_ago)?;
        self.under_way.insert(key);
        self.begun += 1;
        self.tried.insert(key, self.begun);
        Some(key)
    }

    fn note(&mut self, round: u64, key: K, taken: bool) {
        self.under_way.remove(&key);
        if round != self.round {
            return;
        }
        if taken {
            self.told.insert(key);
        } else {
            self.failed.insert(key);
        }
    }

    fn begin_anew(&mut self) {
        self.round += 1;
        self.told.clear();
        self.failed.clear();
    }

    /// Forgets the keys that are no longer ours.
    fn keep(&mut self, current: &[K]) {
        let current: HashSet<_> = current.iter().collect();
        self.told.retain(|key| current.contains(key));
        self.failed.retain(|key| current.contains(key));
        self.tried.retain(|key, _| current.contains(key));
    }
}

#[cfg(test)]
mod tests;

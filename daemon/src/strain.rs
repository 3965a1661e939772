//! Containers that press against their limits are named in the log, those that try to reach what they may not, and
//! those whose output is lost: what keeps them from their neighbours is the kernel's, but the operator should know
//! who it was. Of a system call that a process has no right to, the kernel tells the process and nobody else.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::time::Duration;

use nostr::key::PublicKey;

use crate::context::Context;
use crate::runtime::{Groups, LogFiles, Pressure};
use crate::store::Container;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A container is named so often for each limit.
const TELL_EVERY_MS: u64 = 600_000;
/// A container that was held back in so many of a hundred slices of time between two looks wants more than its
/// share of the processor.
const HELD_BACK_PERCENT: u64 = 80;
/// At every so-manieth look the firewall is asked, by a program of its own: each quarter of a minute.
const ASK_FIREWALL_EVERY: u64 = 3;
/// So many packets refused between two such looks are an attempt. A program that asks for a name or two, or tries
/// again now and then to reach what it may not, sends fewer.
const REFUSED_PACKETS: u64 = 20;
/// A volume is full when so much of a hundred is used.
const FULL_PERCENT: u64 = 95;

/// What a container presses against.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Limit {
    Memory,
    Processes,
    Processor,
    Volume,
    Network,
    Log,
}

impl Limit {
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Processor => "processor",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Log => "log",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Memory | Self::Processes | Self::Processor | Self::Volume => "it presses against its limit",
            Self::Network => "it tries again and again to reach what it may not",
            Self::Log => "it writes more output than is kept for a few seconds, and the rest is lost",
        }
    }
}

/// What is known of a container since the last look.
#[derive(Debug)]
struct Known {
    groups: Groups,
    last: Pressure,
    /// Packets that the firewall had refused when it was asked last.
    refused: Option<u64>,
    /// The files of its output at the last look.
    log: Option<LogFiles>,
    told_ms: HashMap<Limit, u64>,
}

/// What one look shows.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    pressure: Pressure,
    volume_percent: u64,
    refused: Option<u64>,
    log: Option<LogFiles>,
}

impl Known {
    fn new(groups: Groups) -> Self {
        Self { groups, last: Pressure::default(), refused: None, log: None, told_ms: HashMap::new() }
    }

    /// The limits that are to be told of, given how it is now, and what the firewall said if it was asked.
    fn news(&mut self, seen: &Seen, now_ms: u64) -> Vec<Limit> {
        let Seen { pressure: now, volume_percent, refused, log } = *seen;
        let rose = |now: u64, last: u64| now.saturating_sub(if now < last { 0 } else { last });
        // What was refused before the first look may be of another life.
        let tried = refused.map_or(0, |now| rose(now, self.refused.replace(now).unwrap_or(now)));
        let last = std::mem::replace(&mut self.last, now);
        let read = std::mem::replace(&mut self.log, log);
        let has_lost = log.zip(read).is_some_and(|(now, before)| now.have_lost_since(&before));
        let (slices, held) = (rose(now.slices, last.slices), rose(now.held_back, last.held_back));
        let pressed = [
            (Limit::Memory, rose(now.oom_kills, last.oom_kills) > 0),
            (Limit::Processes, rose(now.forks_refused, last.forks_refused) > 0),
            (Limit::Processor, slices > 0 && held * 100 >= slices * HELD_BACK_PERCENT),
            (Limit::Volume, volume_percent >= FULL_PERCENT),
            (Limit::Network, tried >= REFUSED_PACKETS),
            (Limit::Log, has_lost),
        ];
        let mut news = Vec::new();
        for (limit, _) in pressed.into_iter().filter(|(_, is_pressed)| *is_pressed) {
            let told = self.told_ms.get(&limit);
            if told.is_none_or(|at| now_ms >= at.saturating_add(TELL_EVERY_MS)) {
                self.told_ms.insert(limit, now_ms);
                news.push(limit);
            }
        }
        news
    }
}

/// Looks until the future is dropped.
pub(crate) async fn watch(ctx: Arc<Context>) {
    let mut known: HashMap<PublicKey, Known> = HashMap::new();
    for number in 1_u64.. {
        tokio::time::sleep(LOOK_EVERY).await;
        let running: Vec<_> = match ctx.store.containers() {
            Ok(all) => all.into_iter().filter(|one| one.state.should_run() && !one.is_builtin()).collect(),
            Err(e) => {
                tracing::error!("containers not read: {e}");
                continue;
            }
        };
        let keys: HashSet<_> = running.iter().map(Container::pubkey).collect();
        known.retain(|pubkey, _| keys.contains(pubkey));
        let refused = if number.is_multiple_of(ASK_FIREWALL_EVERY) { refused(&ctx).await } else { None };
        for container in &running {
            let bridge = ctx.runtime.addresses(container).map(|addresses| addresses.bridge);
            let refused = refused.as_ref().and_then(|all| all.get(&bridge?).copied());
            look(&ctx, &mut known, container, refused).await;
        }
    }
}

async fn refused(ctx: &Context) -> Option<HashMap<String, u64>> {
    let asked = ctx.runtime.refused_packets().await;
    asked.inspect_err(|e| tracing::warn!("who tries to reach what it may not is not known: {e}")).ok()
}

async fn look(
    ctx: &Context,
    known: &mut HashMap<PublicKey, Known>,
    container: &Container,
    refused: Option<u64>,
) {
    let pubkey = container.pubkey();
    let one = match known.entry(pubkey) {
        Entry::Occupied(one) => one.into_mut(),
        Entry::Vacant(place) => {
            // One that is only about to run is looked at the next time.
            let Ok(Some(groups)) = ctx.runtime.groups(container).await else { return };
            place.insert(Known::new(groups))
        }
    };
    let Some(pressure) = one.groups.pressure() else {
        // Its process ended, or was started anew.
        known.remove(&pubkey);
        return;
    };
    let (volume_percent, log) = (ctx.runtime.volume_percent(container), one.groups.log_files());
    for limit in one.news(&Seen { pressure, volume_percent, refused, log }, ctx.clock.now_ms()) {
        metrics::counter!("limits_reached_total", "limit" => limit.name()).increment(1);
        tracing::warn!(container = %pubkey, limit = limit.name(), "{}", limit.message());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_told_once_in_a_while_when_it_is_pressed() {
        let mut known = Known::new(Groups::default());
        let mut news = |pressure, volume_percent, now_ms| {
            known.news(&Seen { pressure, volume_percent, ..Seen::default() }, now_ms)
        };
        let calm = Pressure { oom_kills: 0, forks_refused: 0, slices: 100, held_back: 79 };
        assert_eq!(news(calm, 94, 0), []);
        let hog = Pressure { oom_kills: 1, forks_refused: 7, slices: 200, held_back: 159 };
        assert_eq!(news(hog, 95, 1), [Limit::Memory, Limit::Processes, Limit::Processor, Limit::Volume]);
        let more = Pressure { oom_kills: 2, forks_refused: 8, slices: 300, held_back: 259 };
        assert_eq!(news(more, 100, TELL_EVERY_MS), []);
        assert_eq!(news(more, 0, TELL_EVERY_MS + 1), [], "nothing rose");
        // Started anew, its counters begin anew.
        let anew = Pressure { oom_kills: 1, forks_refused: 0, slices: 10, held_back: 0 };
        assert_eq!(news(anew, 0, TELL_EVERY_MS + 2), [Limit::Memory]);
    }

    #[test]
    fn who_is_refused_again_and_again_is_told_of() {
        let mut known = Known::new(Groups::default());
        let mut news = |refused, now_ms| known.news(&Seen { refused, ..Seen::default() }, now_ms);
        assert_eq!(news(Some(1_000), 0), [], "it may have been another before");
        assert_eq!(news(None, 1), []);
        assert_eq!(news(Some(1_000 + REFUSED_PACKETS - 1), 2), []);
        assert_eq!(news(Some(1_000 + 2 * REFUSED_PACKETS), 3), [Limit::Network]);
        // Admitted anew, its counter begins anew.
        assert_eq!(news(Some(REFUSED_PACKETS), 3 + TELL_EVERY_MS), [Limit::Network]);
    }

    #[test]
    fn whose_output_is_lost_is_told_of() {
        let mut known = Known::new(Groups::default());
        let mut news = |log, now_ms| known.news(&Seen { log, ..Seen::default() }, now_ms);
        let files = |current, full| Some(LogFiles::made(current, Some(full)));
        assert_eq!(news(files(20, 15), 0), [], "what was before is not known");
        assert_eq!(news(files(25, 20), 1), []);
        assert_eq!(news(files(29, 27), 2), [Limit::Log]);
        assert_eq!(news(None, 3), [], "the files cannot be seen");
        assert_eq!(news(files(40, 38), 4 + TELL_EVERY_MS), []);
        assert_eq!(news(files(44, 42), 5 + TELL_EVERY_MS), [Limit::Log]);
    }
}

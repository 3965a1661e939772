//! Containers that press against their limits are named in the log, and those that try to reach what they may
//! not: what keeps them from their neighbours is the kernel's, but the operator should know who it was.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::time::Duration;

use nostr::key::PublicKey;

use crate::context::Context;
use crate::runtime::{Groups, Pressure};
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
}

impl Limit {
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Processor => "processor",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Memory | Self::Processes | Self::Processor | Self::Volume => "it presses against its limit",
            Self::Network => "it tries again and again to reach what it may not",
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
    told_ms: HashMap<Limit, u64>,
}

impl Known {
    /// The limits that are to be told of, given how it is now, and what the firewall said if it was asked.
    fn news(&mut self, now: Pressure, volume_percent: u64, refused: Option<u64>, now_ms: u64) -> Vec<Limit> {
        let rose = |now: u64, last: u64| now.saturating_sub(if now < last { 0 } else { last });
        // What was refused before the first look may be of another life.
        let tried = refused.map_or(0, |now| rose(now, self.refused.replace(now).unwrap_or(now)));
        let last = std::mem::replace(&mut self.last, now);
        let (slices, held) = (rose(now.slices, last.slices), rose(now.held_back, last.held_back));
        let pressed = [
            (Limit::Memory, rose(now.oom_kills, last.oom_kills) > 0),
            (Limit::Processes, rose(now.forks_refused, last.forks_refused) > 0),
            (Limit::Processor, slices > 0 && held * 100 >= slices * HELD_BACK_PERCENT),
            (Limit::Volume, volume_percent >= FULL_PERCENT),
            (Limit::Network, tried >= REFUSED_PACKETS),
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
            place.insert(Known { groups, last: Pressure::default(), refused: None, told_ms: HashMap::new() })
        }
    };
    let Some(now) = one.groups.pressure() else {
        // Its process ended, or was started anew.
        known.remove(&pubkey);
        return;
    };
    let volume_percent = ctx.runtime.volume_percent(container);
    for limit in one.news(now, volume_percent, refused, ctx.clock.now_ms()) {
        metrics::counter!("limits_reached_total", "limit" => limit.name()).increment(1);
        tracing::warn!(container = %pubkey, limit = limit.name(), "{}", limit.message());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_told_once_in_a_while_when_it_is_pressed() {
        let mut known = known();
        let calm = Pressure { oom_kills: 0, forks_refused: 0, slices: 100, held_back: 79 };
        assert_eq!(known.news(calm, 94, None, 0), []);
        let hog = Pressure { oom_kills: 1, forks_refused: 7, slices: 200, held_back: 159 };
        assert_eq!(
            known.news(hog, 95, None, 1),
            [Limit::Memory, Limit::Processes, Limit::Processor, Limit::Volume]
        );
        let more = Pressure { oom_kills: 2, forks_refused: 8, slices: 300, held_back: 259 };
        assert_eq!(known.news(more, 100, None, TELL_EVERY_MS), []);
        assert_eq!(known.news(more, 0, None, TELL_EVERY_MS + 1), [], "nothing rose");
        // Started anew, its counters begin anew.
        let anew = Pressure { oom_kills: 1, forks_refused: 0, slices: 10, held_back: 0 };
        assert_eq!(known.news(anew, 0, None, TELL_EVERY_MS + 2), [Limit::Memory]);
    }

    #[test]
    fn who_is_refused_again_and_again_is_told_of() {
        let mut known = known();
        let mut news = |refused, now_ms| known.news(Pressure::default(), 0, refused, now_ms);
        assert_eq!(news(Some(1_000), 0), [], "it may have been another before");
        assert_eq!(news(None, 1), []);
        assert_eq!(news(Some(1_000 + REFUSED_PACKETS - 1), 2), []);
        assert_eq!(news(Some(1_000 + 2 * REFUSED_PACKETS), 3), [Limit::Network]);
        // Admitted anew, its counter begins anew.
        assert_eq!(news(Some(REFUSED_PACKETS), 3 + TELL_EVERY_MS), [Limit::Network]);
    }

    fn known() -> Known {
        Known { groups: Groups::default(), last: Pressure::default(), refused: None, told_ms: HashMap::new() }
    }
}

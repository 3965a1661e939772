//! What a server publishes of itself and its containers, of every kind, as a relay sees it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use devnet::world::World;
use nostr::filter::Filter;
use nostr::key::PublicKey;
use protocol::kinds::CONTAINER;
use relay::Subscription;
use units::Stopwatch;

use super::{CONTAINERS, EVENT_BYTES_MAX, EVENTS_PER_MINUTE_MAX, SETTLED, SETTLES_WITHIN};

/// One event: when it came, of whom, of which kind, and how long it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    at: Duration,
    author: PublicKey,
    kind: u16,
    bytes: usize,
}

/// Listens to the server and its containers.
#[derive(Debug)]
pub(super) struct Told {
    events: Subscription,
}

impl Told {
    pub(super) async fn listen(world: &World, containers: &[PublicKey]) -> Result<Self> {
        let authors = containers.iter().copied().chain([world.service()?]);
        Ok(Self { events: world.pool().await?.subscribe(Filter::new().authors(authors)).await? })
    }

    /// Waits until nothing is told any more for a while.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let took = Stopwatch::start();
        while let Ok(event) = tokio::time::timeout(SETTLED, self.events.next()).await {
            event.context("the relay went away")?;
            if took.elapsed() > SETTLES_WITHIN {
                bail!("a hundred idle containers are told of without an end");
            }
        }
        Ok(())
    }

    /// All that comes within this time.
    pub(super) async fn watch(mut self, watched: Duration) -> Vec<Seen> {
        let (took, mut seen) = (Stopwatch::start(), Vec::new());
        while let Some(left) = watched.checked_sub(took.elapsed()) {
            let Ok(Some(event)) = tokio::time::timeout(left, self.events.next()).await else { break };
            let bytes = event.as_json().len();
            let at = took.elapsed();
            seen.push(Seen { at, author: event.pubkey, kind: event.kind.as_u16(), bytes });
        }
        seen
    }
}

/// Each container is told of, no event is longer than relays take, and no minute has more of them than relays take,
/// whichever minute that is.
pub(super) fn check_events(events: &[Seen], containers: &[PublicKey]) -> Result<()> {
    let longest = events.iter().map(|seen| seen.bytes).max().unwrap_or(0);
    ensure!(longest <= EVENT_BYTES_MAX, "an event has {longest} bytes");
    let of_containers = events.iter().filter(|seen| seen.kind == CONTAINER.as_u16());
    let told: BTreeSet<_> = of_containers.map(|seen| seen.author).collect();
    let missing = containers.iter().filter(|one| !told.contains(one)).count();
    ensure!(missing == 0, "{missing} of {CONTAINERS} containers were not told of in a whole cycle");
    for (i, first) in events.iter().enumerate() {
        let minute = first.at + Duration::from_secs(60);
        let count = events[i..].iter().take_while(|seen| seen.at < minute).count();
        ensure!(count <= EVENTS_PER_MINUTE_MAX, "{count} events in the minute after {:?}", first.at);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;

    #[test]
    fn burst_across_two_minutes_and_a_silent_container_are_found() {
        let containers = [Keys::generate().public_key(), Keys::generate().public_key()];
        let seen =
            |author, secs| Seen { at: Duration::from_secs(secs), author, kind: CONTAINER.as_u16(), bytes: 9 };
        let quiet = [seen(containers[0], 1), seen(containers[1], 300)];
        assert!(check_events(&quiet, &containers).is_ok());
        let silent = check_events(&quiet[..1], &containers).unwrap_err().to_string();
        assert!(silent.contains("1 of"), "{silent}");
        let burst: Vec<_> =
            (0..121).map(|n| seen(containers[n % 2], 50 + u64::try_from(n / 12).unwrap())).collect();
        let refused = check_events(&burst, &containers).unwrap_err().to_string();
        assert!(refused.contains("121 events"), "{refused}");
        let long = [Seen { bytes: EVENT_BYTES_MAX + 1, ..seen(containers[0], 1) }];
        assert!(check_events(&long, &containers).is_err());
    }
}

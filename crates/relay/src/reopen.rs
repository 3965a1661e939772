//! Subscriptions that a relay ended, or never took: they are asked for again.
//!
//! The library asks again after a new connection, and only for what the relay had taken; a subscription that a relay
//! ends is gone on it for good, and nobody would notice.

use std::time::Duration;

use nostr::message::SubscriptionId;
use nostr::types::RelayUrl;
use nostr_sdk::client::Client;
use units::Stopwatch;

use crate::dialer::lock;
use crate::subscription::Routes;

/// First wait before a relay is asked again; doubled each time.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// Longest wait: a relay that is repaired is heard within five minutes.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// 2^9 s is above [`WAIT_MAX`].
const DOUBLINGS_MAX: u32 = 9;
/// A relay that kept the subscription for so long is asked at the first pace again.
const LASTED_MIN: Duration = Duration::from_secs(600);

/// How a relay treats one subscription, since it ended it for the first time.
#[derive(Debug)]
pub(crate) struct Ended {
    times: u32,
    last: Stopwatch,
    /// It is not heard from since.
    is_deaf: bool,
}

impl Ended {
    /// Counts one more end, and says how long to wait; nothing if somebody waits already.
    pub(crate) fn again(known: &mut Option<Self>) -> Option<Duration> {
        let times = match known {
            Some(Self { is_deaf: true, .. }) => return None,
            Some(ended) if ended.last.elapsed() < LASTED_MIN => ended.times.saturating_add(1),
            Some(_) | None => 0,
        };
        *known = Some(Self { times, last: Stopwatch::start(), is_deaf: true });
        Some(wait(times))
    }

    /// It was heard from, or asked again.
    pub(crate) const fn heard(&mut self) {
        self.is_deaf = false;
    }

    pub(crate) const fn is_deaf(&self) -> bool {
        self.is_deaf
    }
}

fn wait(times: u32) -> Duration {
    WAIT_FIRST.saturating_mul(1 << times.min(DOUBLINGS_MAX)).min(WAIT_MAX)
}

/// Asks a relay again for a subscription that it ended or did not take, after a while, for as long as somebody
/// wants it.
pub(crate) fn later(client: &Client, routes: &Routes, relay: &RelayUrl, id: &SubscriptionId, why: &str) {
    let due = lock(routes).get_mut(id).and_then(|route| Ended::again(route.ended_at(relay.as_str())));
    let Some(mut wait) = due else { return };
    metrics::counter!("relay_subscriptions_ended_total").increment(1);
    tracing::warn!(%relay, "a subscription has ended ({why}); it is asked for again in {} s", wait.as_secs());
    let (client, routes, relay, id) = (client.clone(), routes.clone(), relay.clone(), id.clone());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(wait).await;
            let filter = {
                let mut routes = lock(&routes);
                let Some(route) = routes.get_mut(&id) else { return };
                let filter = route.filter().clone();
                match route.ended_at(relay.as_str()) {
                    Some(ended) if ended.is_deaf() => ended.heard(),
                    Some(_) | None => return,
                }
                filter
            };
            let Ok(Some(connection)) = client.relay(&relay).await else { return };
            // The library may have kept it, and would refuse it as known.
            drop(connection.unsubscribe(&id).await);
            if connection.subscribe(filter).with_id(id.clone()).await.is_ok() {
                return;
            }
            // It is not connected, and hears of it when it is.
            let again = lock(&routes).get_mut(&id).map(|route| Ended::again(route.ended_at(relay.as_str())));
            let Some(Some(longer)) = again else { return };
            wait = longer;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_nobody_waits_twice() {
        let mut ended = None;
        let secs: Vec<_> = (0..11)
            .map(|_| {
                let wait = Ended::again(&mut ended).unwrap();
                assert_eq!(Ended::again(&mut ended), None, "somebody waits already");
                ended.as_mut().unwrap().heard();
                wait.as_secs()
            })
            .collect();
        assert_eq!(secs, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }
}

//! Publishing, and when to publish again.

use std::borrow::Cow;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use nostr::message::{ClientMessage, MachineReadablePrefix};
use nostr_sdk::relay::Relay;
use protocol::event::CheckedEvent;
use units::UnixSecs;

use crate::Pool;
use crate::acks::Said;
use crate::pool::{Connections, parse_url};

/// How long a relay may take to say OK.
const OK_WAIT: Duration = Duration::from_secs(10);

/// Which relays took an event.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PublishReport {
    /// Relays that said OK.
    pub accepted: Vec<String>,
    /// Relays that did not, with what they said.
    pub refused: Vec<(String, String)>,
}

impl PublishReport {
    /// True if at least one relay has the event.
    #[must_use]
    pub const fn is_published(&self) -> bool {
        !self.accepted.is_empty()
    }
}

impl Pool {
    /// Sends an event to every relay and says which took it.
    pub async fn publish(&self, event: &CheckedEvent) -> PublishReport {
        let relays = self.connections.client.relays().await;
        let sent = relays
            .values()
            .map(async |relay| (relay.url().to_string(), self.connections.send(relay, event).await));
        PublishReport::of(join_all(sent).await)
    }

    /// Sends an event to every relay and returns as soon as one took it; what the others say is not waited
    /// for, so that one that never answers delays nobody. If none takes it, as [`Self::publish`].
    pub async fn publish_until_taken(&self, event: &CheckedEvent) -> PublishReport {
        let relays = self.connections.client.relays().await;
        // All of them are sent the event before the first can have answered.
        let mut sent: FuturesUnordered<_> = relays
            .values()
            .map(async |relay| (relay.url().to_string(), self.connections.send(relay, event).await))
            .collect();
        let mut said = Vec::new();
        while let Some((url, outcome)) = sent.next().await {
            let is_taken = outcome.is_ok();
            said.push((url, outcome));
            if is_taken {
                break;
            }
        }
        PublishReport::of(said)
    }

    /// Sends an event to these relays of the pool and says which took it.
    pub async fn publish_to(&self, urls: &[String], event: &CheckedEvent) -> PublishReport {
        let relays = self.connections.client.relays().await;
        let sent = urls.iter().map(async |url| {
            let relay = parse_url(url).ok().and_then(|url| relays.get(&url));
            match relay {
                Some(relay) => (relay.url().to_string(), self.connections.send(relay, event).await),
                None => (url.clone(), Err("not a relay of this pool".to_owned())),
            }
        });
        PublishReport::of(join_all(sent).await)
    }
}

impl Connections {
    /// Sends an event and waits until the relay has said what it does with it.
    async fn send(&self, relay: &Relay, event: &CheckedEvent) -> Result<(), String> {
        let mut waiting = self.acks.wait_for(event.id, relay.url().as_str());
        let message = ClientMessage::Event(Cow::Borrowed(event.event()));
        relay.send_msg(message).await.map_err(|e| e.to_string())?;
        match tokio::time::timeout(OK_WAIT, waiting.said()).await {
            Ok(Said::Taken) => Ok(()),
            Ok(Said::Refused(why)) if self.authenticates && is_auth_required(&why) => {
                // The library has the relay's challenge; it answers, and sends again.
                let again = relay.send_event(event.event()).ok_timeout(OK_WAIT);
                again.await.map(drop).map_err(|e| e.to_string())
            }
            Ok(Said::Refused(why)) => Err(why),
            Ok(Said::Gone) => Err("the connection ended".to_owned()),
            Err(_) => Err(format!("no answer within {} s", OK_WAIT.as_secs())),
        }
    }
}

fn is_auth_required(why: &str) -> bool {
    matches!(MachineReadablePrefix::parse(why), Some(MachineReadablePrefix::AuthRequired))
}

impl PublishReport {
    fn of(sent: Vec<(String, Result<(), String>)>) -> Self {
        let mut report = Self::default();
        for (url, outcome) in sent {
            match outcome {
                Ok(()) => report.accepted.push(url),
                Err(why) => report.refused.push((url, why)),
            }
        }
        report
    }
}

/// An announcement is repeated at least hourly: relays forget, and so do caches.
const ANNOUNCEMENT_SECS_MAX: u64 = 3_600;
/// Not more often than this, however little life the leaf has left.
const ANNOUNCEMENT_SECS_MIN: u64 = 30;

/// Seconds until an announcement made at `now` is to be made again: an hour, or half of what is left of
/// the attestation's leaf certificate.
#[must_use]
pub fn next_announcement_secs(now: UnixSecs, leaf_not_after: UnixSecs) -> u64 {
    (leaf_not_after.secs_since(now) / 2).clamp(ANNOUNCEMENT_SECS_MIN, ANNOUNCEMENT_SECS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcement_comes_again_within_half_of_the_leafs_life() {
        for (left, secs) in [(10_800, 3_600), (7_200, 3_600), (900, 450), (10, 30), (0, 30)] {
            assert_eq!(next_announcement_secs(UnixSecs(1_000), UnixSecs(1_000 + left)), secs);
        }
        assert_eq!(next_announcement_secs(UnixSecs(1_000), UnixSecs(10)), 30);
    }
}

//! Publishing, and when to publish again.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use nostr::message::{ClientMessage, MachineReadablePrefix};
use nostr_sdk::relay::Relay;
use protocol::event::CheckedEvent;
use units::UnixSecs;

use crate::Pool;
use crate::acks::{Acks, Said};
use crate::pool::{Connections, parse_url};

/// How long a relay may take to say OK.
const OK_WAIT: Duration = Duration::from_secs(10);
/// Events of one pool that one relay has taken and others still owe an OK for. Those beyond were sent to the others,
/// too, but what they say is heard by nobody.
pub(crate) const LATE_MAX: usize = 256;

/// Which relays took an event.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PublishReport {
    /// Relays that said OK.
    pub accepted: Vec<String>,
    /// Relays that did not, with what they said.
    pub refused: Vec<(String, String)>,
    /// Those of the refused that said nothing: not connected, or too slow.
    pub silent: Vec<String>,
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
        let (relays, sender) = (self.connections.client.relays().await, self.connections.sender());
        let sent =
            relays.values().map(async |relay| (relay.url().to_string(), sender.send(relay, event).await));
        PublishReport::of(join_all(sent).await)
    }

    /// Sends an event to every relay, and waits for none to say what it does with it.
    pub async fn send(&self, event: &CheckedEvent) {
        let message = ClientMessage::Event(Cow::Borrowed(event.event()));
        for (url, relay) in self.connections.client.relays().await {
            if let Err(e) = relay.send_msg(message.clone()).await {
                tracing::debug!(%url, "an event was not sent: {e}");
            }
        }
    }

    /// Sends an event to every relay and returns as soon as one has taken it, or none will. What the others say is
    /// waited for aside, of a bounded number of events: a relay that says nothing holds up nobody.
    pub async fn publish_first(&self, event: &CheckedEvent) -> PublishReport {
        let event = Arc::new(event.clone());
        let send = |relay: Relay| {
            let (sender, event) = (self.connections.sender(), Arc::clone(&event));
            async move { (relay.url().to_string(), sender.send(&relay, &event).await) }
        };
        let relays = self.connections.client.relays().await;
        let mut sending: FuturesUnordered<_> = relays.into_values().map(send).collect();
        let mut report = PublishReport::default();
        while !report.is_published()
            && let Some((url, outcome)) = sending.next().await
        {
            report.note(url, outcome);
        }
        if !sending.is_empty()
            && let Ok(place) = Arc::clone(&self.connections.late).try_acquire_owned()
        {
            // With the connections, which end with the last of them: the pool may be dropped meanwhile.
            let connections = Arc::clone(&self.connections);
            tokio::spawn(async move {
                while let Some((relay, outcome)) = sending.next().await {
                    tracing::debug!(relay, "said after another: {outcome:?}");
                }
                drop((place, connections));
            });
        }
        report
    }

    /// Sends an event to these relays of the pool and says which took it.
    pub async fn publish_to(&self, urls: &[String], event: &CheckedEvent) -> PublishReport {
        let (relays, sender) = (self.connections.client.relays().await, self.connections.sender());
        let sent = urls.iter().map(async |url| {
            let relay = parse_url(url).ok().and_then(|url| relays.get(&url));
            match relay {
                Some(relay) => (relay.url().to_string(), sender.send(relay, event).await),
                None => (url.clone(), Err(NotTaken::Silent("not a relay of this pool".to_owned()))),
            }
        });
        PublishReport::of(join_all(sent).await)
    }
}

/// Why a relay does not have an event.
#[derive(Debug)]
enum NotTaken {
    /// It said so.
    Refused(String),
    /// It said nothing.
    Silent(String),
}

/// What sending needs of a pool; does not keep its connections.
struct Sender {
    acks: Acks,
    authenticates: bool,
}

impl Connections {
    fn sender(&self) -> Sender {
        Sender { acks: self.acks.clone(), authenticates: self.authenticates }
    }
}

impl Sender {
    /// Sends an event and waits until the relay has said what it does with it.
    async fn send(&self, relay: &Relay, event: &CheckedEvent) -> Result<(), NotTaken> {
        let mut waiting = self.acks.wait_for(event.id, relay.url().as_str());
        let message = ClientMessage::Event(Cow::Borrowed(event.event()));
        relay.send_msg(message).await.map_err(|e| NotTaken::Silent(e.to_string()))?;
        match tokio::time::timeout(OK_WAIT, waiting.said()).await {
            Ok(Said::Taken) => Ok(()),
            Ok(Said::Refused(why)) if self.authenticates && is_auth_required(&why) => {
                // The library has the relay's challenge; it answers, and sends again.
                let again = relay.send_event(event.event()).ok_timeout(OK_WAIT);
                again.await.map(drop).map_err(|e| NotTaken::Refused(e.to_string()))
            }
            Ok(Said::Refused(why)) => Err(NotTaken::Refused(why)),
            Ok(Said::Gone) => Err(NotTaken::Silent("the connection ended".to_owned())),
            Err(_) => Err(NotTaken::Silent(format!("no answer within {} s", OK_WAIT.as_secs()))),
        }
    }
}

fn is_auth_required(why: &str) -> bool {
    matches!(MachineReadablePrefix::parse(why), Some(MachineReadablePrefix::AuthRequired))
}

impl PublishReport {
    fn of(sent: Vec<(String, Result<(), NotTaken>)>) -> Self {
        let mut report = Self::default();
        for (url, outcome) in sent {
            report.note(url, outcome);
        }
        report
    }

    fn note(&mut self, url: String, outcome: Result<(), NotTaken>) {
        match outcome {
            Ok(()) => self.accepted.push(url),
            Err(NotTaken::Refused(why)) => self.refused.push((url, why)),
            Err(NotTaken::Silent(why)) => {
                self.silent.push(url.clone());
                self.refused.push((url, why));
            }
        }
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

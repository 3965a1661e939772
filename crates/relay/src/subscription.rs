//! Subscriptions: checked events of one filter, from all relays of a pool, each once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use nostr::event::{Event, EventId};
use nostr::filter::{Filter, MatchEventOptions};
use nostr::message::{RelayMessage, SubscriptionId};
use nostr_sdk::client::{Client, ClientNotification};
use protocol::event::CheckedEvent;
use units::Stopwatch;

use crate::acks::{Acks, Said};
use crate::dialer::lock;
use crate::pool::Connections;
use crate::queue::{QueueReceiver, QueueSender, event_bytes};
use crate::reopen::{self, Ended};
use crate::rpc::{RateLimit, RateLimiter};

/// Events that wait for their reader. A reader that falls behind by so much loses events, as it would
/// behind a relay that drops slow readers; RPC clients repeat their requests.
pub(crate) const QUEUE_MAX: usize = 1_024;
/// And so many bytes of them: a few dozen of the longest, a thousand of what is usual.
pub(crate) const QUEUE_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// The same event from another relay comes within this time, and is delivered once. What comes later was
/// sent again on purpose, by somebody who got no answer, and is delivered again.
const COPY_WINDOW: Duration = Duration::from_millis(700);
/// Events remembered for that, of one subscription.
const COPIES_MAX: usize = 4_096;
/// What is repeated in the log of a relay's reason.
const WHY_CHARS_MAX: usize = 100;

/// Events that match one filter. Keeps the pool's connections up.
#[derive(Debug)]
pub struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) events: QueueReceiver<CheckedEvent>,
    pub(crate) connections: Arc<Connections>,
}

impl Subscription {
    /// The next event; `None` once the pool is shut down.
    ///
    /// Cancel-safe: no event is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<CheckedEvent> {
        self.events.next().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.connections.routes).remove(&self.id);
        let (client, id) = (self.connections.client.clone(), self.id.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // The relay may be gone; then so is the subscription.
                drop(client.unsubscribe(&id).await);
            });
        }
    }
}

/// Where the events of each subscription go.
pub(crate) type Routes = Arc<Mutex<HashMap<SubscriptionId, Route>>>;

#[derive(Debug)]
pub(crate) struct Route {
    filter: Filter,
    events: QueueSender<CheckedEvent>,
    delivered: HashMap<EventId, Stopwatch>,
    /// What each relay may deliver, by its address, and since when that is counted.
    limiter: Option<(RateLimiter<String>, Stopwatch)>,
    /// Relays that ended it at least once, by their addresses.
    ended: HashMap<String, Option<Ended>>,
}

impl Route {
    pub(crate) fn new(filter: Filter, events: QueueSender<CheckedEvent>) -> Self {
        Self { filter, events, delivered: HashMap::new(), limiter: None, ended: HashMap::new() }
    }

    pub(crate) fn limited(mut self, limit: RateLimit) -> Self {
        self.limiter = Some((RateLimiter::new(limit), Stopwatch::start()));
        self
    }

    pub(crate) const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// How a relay of the pool ended this, if it did.
    pub(crate) fn ended_at(&mut self, relay: &str) -> &mut Option<Ended> {
        self.ended.entry(relay.to_owned()).or_default()
    }

    fn heard(&mut self, relay: &str) {
        if let Some(Some(ended)) = self.ended.get_mut(relay) {
            ended.heard();
        }
    }

    fn has_rate(&mut self, relay: &str) -> bool {
        let Some((limiter, since)) = &mut self.limiter else { return true };
        let now_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        limiter.allow(&relay.to_owned(), now_ms)
    }

    fn is_copy(&self, id: &EventId) -> bool {
        self.delivered.get(id).is_some_and(|at| at.elapsed() < COPY_WINDOW)
    }

    fn remember(&mut self, id: EventId) {
        if self.delivered.len() >= COPIES_MAX {
            self.delivered.retain(|_, at| at.elapsed() < COPY_WINDOW);
        }
        if self.delivered.len() < COPIES_MAX {
            self.delivered.insert(id, Stopwatch::start());
        }
    }
}

/// Hands each event to its subscription, after the checks that count, and each OK to who waits for it.
///
/// The library's own notification of events comes once per event, whichever subscription asked for it
/// first; several subscriptions may want the same event, so every message is looked at.
pub(crate) async fn dispatch(client: Client, routes: Routes, acks: Acks) {
    let mut notifications = client.notifications();
    while let Some(notification) = notifications.next().await {
        match notification {
            ClientNotification::Message { relay_url, message } => match *message {
                RelayMessage::Event { subscription_id, event } => {
                    route(&routes, relay_url.as_str(), &subscription_id, event.into_owned());
                }
                RelayMessage::Ok { event_id, status: true, .. } => {
                    acks.tell(relay_url.as_str(), &event_id, &Said::Taken);
                }
                RelayMessage::Ok { event_id, message, .. } => {
                    acks.tell(relay_url.as_str(), &event_id, &Said::Refused(message.into_owned()));
                }
                RelayMessage::EndOfStoredEvents(id) => {
                    if let Some(route) = lock(&routes).get_mut(id.as_ref()) {
                        route.heard(relay_url.as_str());
                    }
                }
                RelayMessage::Closed { subscription_id, message } => {
                    let why: String = message.chars().take(WHY_CHARS_MAX).collect();
                    reopen::later(&client, &routes, &relay_url, &subscription_id, &why);
                }
                RelayMessage::Notice(_)
                | RelayMessage::Auth { .. }
                | RelayMessage::Count { .. }
                | RelayMessage::NegMsg { .. }
                | RelayMessage::NegErr { .. } => {}
            },
            ClientNotification::Event { .. } => {}
            ClientNotification::Shutdown => break,
        }
    }
    lock(&routes).clear();
}

fn route(routes: &Routes, relay: &str, id: &SubscriptionId, event: Event) {
    {
        let mut routes = lock(routes);
        let Some(route) = routes.get_mut(id) else { return };
        route.heard(relay);
        // A copy is not worth a signature check; an event under its id that is no copy is a forgery.
        if route.is_copy(&event.id) {
            return;
        }
        if !route.has_rate(relay) {
            metrics::counter!("relay_events_refused_total", "reason" => "relay_rate").increment(1);
            return;
        }
    }
    let event = match CheckedEvent::check(event) {
        Ok(event) => event,
        Err(e) => {
            metrics::counter!("relay_events_refused_total", "reason" => "invalid").increment(1);
            tracing::warn!("a relay served an event that is not what it claims: {e}");
            return;
        }
    };
    let mut routes = lock(routes);
    let Some(route) = routes.get_mut(id) else { return };
    if !route.filter.match_event(&event, MatchEventOptions::default()) {
        metrics::counter!("relay_events_refused_total", "reason" => "unasked").increment(1);
        return;
    }
    route.remember(event.id);
    let bytes = event_bytes(&event);
    if route.events.try_put(event, bytes).is_err() {
        metrics::counter!("relay_events_refused_total", "reason" => "reader_behind").increment(1);
        tracing::warn!(
            "an event was dropped: its reader is {QUEUE_MAX} events or {QUEUE_BYTES_MAX} bytes behind"
        );
    }
}

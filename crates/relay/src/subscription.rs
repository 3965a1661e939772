//! Subscriptions: checked events of one filter, from all relays of a pool, each once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use nostr::event::Event;
use nostr::filter::{Filter, MatchEventOptions};
use nostr::message::SubscriptionId;
use nostr_sdk::client::{Client, ClientNotification};
use protocol::event::CheckedEvent;
use tokio::sync::mpsc;

use crate::dialer::lock;
use crate::pool::Connections;

/// Events that wait for their reader. A reader that falls behind by so much loses events, as it would
/// behind a relay that drops slow readers; RPC clients repeat their requests.
pub(crate) const QUEUE_MAX: usize = 1_024;

/// Events that match one filter. Keeps the pool's connections up.
#[derive(Debug)]
pub struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) events: mpsc::Receiver<CheckedEvent>,
    pub(crate) connections: Arc<Connections>,
}

impl Subscription {
    /// The next event; `None` once the pool is shut down.
    ///
    /// Cancel-safe: no event is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<CheckedEvent> {
        self.events.recv().await
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
    pub(crate) filter: Filter,
    pub(crate) events: mpsc::Sender<CheckedEvent>,
}

/// Hands each event to its subscription, after the checks that count.
pub(crate) async fn dispatch(client: Client, routes: Routes) {
    let mut notifications = client.notifications();
    while let Some(notification) = notifications.next().await {
        match notification {
            ClientNotification::Event { subscription_id, event, .. } => {
                route(&routes, &subscription_id, *event)
            }
            ClientNotification::Message { .. } => {}
            ClientNotification::Shutdown => break,
        }
    }
    lock(&routes).clear();
}

fn route(routes: &Routes, id: &SubscriptionId, event: Event) {
    let event = match CheckedEvent::check(event) {
        Ok(event) => event,
        Err(e) => {
            metrics::counter!("relay_events_refused_total", "reason" => "invalid").increment(1);
            tracing::warn!("a relay served an event that is not what it claims: {e}");
            return;
        }
    };
    let routes = lock(routes);
    let Some(route) = routes.get(id) else { return };
    if !route.filter.match_event(&event, MatchEventOptions::default()) {
        metrics::counter!("relay_events_refused_total", "reason" => "unasked").increment(1);
        return;
    }
    if route.events.try_send(event).is_err() {
        metrics::counter!("relay_events_refused_total", "reason" => "reader_behind").increment(1);
        tracing::warn!("an event was dropped: its reader is {QUEUE_MAX} events behind");
    }
}

//! Where messages go: to the relays on which people write to us, and to those that the receiver names
//! for messages (NIP-17, kind 10050).
//!
//! Nobody waits for a receiver's relays. What was not taken waits in memory, in order for each receiver, so that
//! relays that stall delay what is for their user and nothing else; what is about money is tried again for hours.

mod outside;
mod waiting;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use guard::AddressGuard;
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use relay::Pool;
use relay::dm::Channel;
use tokio::sync::Semaphore;
use units::Clock;

use crate::sparing::Sparing;
use outside::Relays;
use waiting::{Item, Waiting};

/// Deliveries under way at once.
const UNDER_WAY_MAX: usize = 16;
/// How long one may take, so that its place is soon another's.
const TRY_WAIT: Duration = Duration::from_secs(10);
/// How long to wait before the next try of what is kept; after the last one it is given up: eight hours.
const TRY_AGAIN: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
    Duration::from_secs(7_200),
    Duration::from_secs(18_000),
];

/// How much it matters that a message arrives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Weight {
    /// Who misses it asks again.
    Talk,
    /// It is about somebody's money or data: it is kept until it is taken.
    Kept,
}

/// Carries events to relays.
trait Carrier: Send + Sync + 'static {
    /// To the relays on which people write to us; whether one took it.
    fn to_ours(&self, event: &CheckedEvent) -> impl Future<Output = bool> + Send;
    /// To those that the receiver names; whether one took it, or there are none.
    fn to_theirs(&self, to: &PublicKey, event: &CheckedEvent) -> impl Future<Output = bool> + Send;
}

/// Publishes messages.
#[derive(Debug)]
pub(crate) struct Delivery(Arc<Post<Relays>>);

#[derive(Debug)]
struct Post<C> {
    carrier: C,
    waiting: Mutex<Waiting>,
    places: Semaphore,
    clock: Arc<dyn Clock>,
    not_taken: Sparing,
}

impl Delivery {
    pub(crate) fn new(pool: Pool, guard: AddressGuard, clock: Arc<dyn Clock>) -> Self {
        Self(Post::new(Relays::new(pool, guard, Arc::clone(&clock)), clock))
    }

    /// Publishes on our relays, and for wraps on the receiver's, for which nobody waits.
    pub(crate) async fn deliver(
        &self,
        to: &PublicKey,
        channel: Channel,
        event: &CheckedEvent,
        weight: Weight,
    ) {
        Post::deliver(&self.0, to, matches!(channel, Channel::Wrapped(_)), event, weight).await;
    }
}

impl<C: Carrier> Post<C> {
    fn new(carrier: C, clock: Arc<dyn Clock>) -> Arc<Self> {
        let places = Semaphore::new(UNDER_WAY_MAX);
        Arc::new(Self { carrier, waiting: Mutex::default(), places, clock, not_taken: Sparing::default() })
    }

    async fn deliver(self: &Arc<Self>, to: &PublicKey, outside: bool, event: &CheckedEvent, weight: Weight) {
        // What is behind something that our relays have not taken yet does not overtake it.
        let is_behind = self.lock().has_ours(to);
        let is_taken = !is_behind && self.carrier.to_ours(event).await;
        if !is_taken
            && !is_behind
            && let Some(times) = self.not_taken.due(self.clock.now_ms())
        {
            tracing::warn!(times, "no relay of ours took a message; the last one was to {to}");
        }
        let to_ours = !is_taken && (is_behind || weight == Weight::Kept);
        if !to_ours && !outside {
            return;
        }
        let item = Item { event: event.clone(), weight, to_ours, to_theirs: outside, tries: 0 };
        let is_first = self.lock().put(to, item);
        if is_first {
            let (post, to) = (Arc::clone(self), *to);
            tokio::spawn(async move { post.empty(&to).await });
        }
    }

    /// Delivers what waits for one receiver, in its order, until nothing does.
    async fn empty(&self, to: &PublicKey) {
        loop {
            let Some(mut item) = self.lock().first(to) else { return };
            let Ok(place) = self.places.acquire().await else { return };
            let tried = tokio::time::timeout(TRY_WAIT, self.try_once(to, &mut item)).await;
            drop(place);
            if tried.is_ok() && !item.to_ours && !item.to_theirs {
                count("taken");
                self.lock().remove(to, &item.event.id);
                continue;
            }
            let again = TRY_AGAIN.get(item.tries).filter(|_| item.weight == Weight::Kept);
            let Some(again) = again else {
                count("not_taken");
                self.lock().remove(to, &item.event.id);
                continue;
            };
            item.tries += 1;
            self.lock().put_back(to, item);
            tokio::time::sleep(*again).await;
        }
    }

    async fn try_once(&self, to: &PublicKey, item: &mut Item) {
        if item.to_ours && self.carrier.to_ours(&item.event).await {
            item.to_ours = false;
        }
        if item.to_theirs && self.carrier.to_theirs(to, &item.event).await {
            item.to_theirs = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("messages_outside_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests;

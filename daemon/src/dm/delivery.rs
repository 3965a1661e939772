//! Where messages go: to the relays on which people write to us, and to those that the receiver names
//! for messages (NIP-17, kind 10050).
//!
//! Nobody waits for a relay. What was not taken waits in memory, in order for each receiver and apart for each of
//! the two ways, so that relays that stall delay what is for their user and nothing else; what is about money is
//! tried again for hours, and is on record until it is taken or given up: after a restart the very same events go
//! out, which whoever has them knows by their ids.

mod lane;
mod relays;
mod waiting;

use std::sync::{Arc, Mutex, PoisonError};

use guard::AddressGuard;
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use relay::Pool;
use relay::dm::Channel;
use units::Clock;

use crate::context::Context;
use crate::quota::Quota;
use crate::store::{Store, Unsent};
use lane::{Carrier, Lane};
use relays::{Ours, Theirs};
use waiting::Item;

/// Deliveries to our own relays under way at once, to customers; and as many to strangers. Each waits for the
/// first OK and takes little else.
const OURS_UNDER_WAY_MAX: usize = 64;
/// The same to receivers' relays; each takes connections.
const THEIRS_UNDER_WAY_MAX: usize = 16;
/// Talk to strangers that goes to the relays that they name, for a key in a day and for all in an hour: they cost
/// nothing to name, and us connections. More of it is on our own relays, where they wrote.
const TALK_PER_STRANGER: u32 = 50;
const TALK_PER_HOUR: u32 = 1_000;

/// How much it matters that a message arrives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Weight {
    /// Who misses it asks again.
    Talk,
    /// It is about somebody's money or data: it is kept until it is taken.
    Kept,
}

/// A message that is ready.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: PublicKey,
    /// The receiver has paid for something here: it waits for no stranger.
    pub(crate) is_customer: bool,
    pub(crate) channel: Channel,
    pub(crate) event: CheckedEvent,
    pub(crate) weight: Weight,
}

/// Has the store in which messages wait.
trait Records: std::fmt::Debug + Send + Sync {
    fn store(&self) -> &Store;
}

impl Records for Context {
    fn store(&self) -> &Store {
        &self.store
    }
}

/// Publishes messages.
#[derive(Debug)]
pub(crate) struct Delivery(Post<Ours, Theirs>);

#[derive(Debug)]
struct Post<O, T> {
    ours: Arc<Lane<O>>,
    theirs: Arc<Lane<T>>,
    records: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    strangers: Mutex<Quota>,
}

impl Delivery {
    pub(crate) fn new(pool: Pool, guard: AddressGuard, ctx: Arc<Context>) -> Self {
        let clock = Arc::clone(&ctx.clock);
        let ours = Ours::new(pool.clone(), Arc::clone(&clock));
        let theirs = Theirs::new(pool, guard, Arc::clone(&clock));
        Self(Post::new(ours, theirs, ctx, clock))
    }

    /// Puts on its way again what the process before this one had to leave.
    pub(crate) fn resume(&self) {
        self.0.resume();
    }

    /// Puts a message on its way to our relays, and a wrap to the receiver's. Does not wait.
    pub(crate) fn deliver(&self, message: Outgoing) {
        self.0.deliver(message);
    }

    /// Waits until our relays were sent everything once.
    pub(crate) async fn all_sent(&self) {
        self.0.ours.all_tried().await;
    }
}

impl<O: Carrier, T: Carrier> Post<O, T> {
    fn new(ours: O, theirs: T, records: Arc<dyn Records>, clock: Arc<dyn Clock>) -> Self {
        let ours = Lane::new(ours, OURS_UNDER_WAY_MAX, Arc::clone(&records));
        let theirs = Lane::new(theirs, THEIRS_UNDER_WAY_MAX, Arc::clone(&records));
        let strangers = Mutex::new(Quota::new(TALK_PER_STRANGER, TALK_PER_HOUR));
        Self { ours, theirs, records, clock, strangers }
    }

    fn resume(&self) {
        self.ours.resume(self.clock.now());
        self.theirs.resume(self.clock.now());
    }

    fn deliver(&self, message: Outgoing) {
        let Outgoing { to, is_customer, channel, event, weight } = message;
        if weight == Weight::Kept {
            let ways = if is_wrapped(channel) { [O::NAME, T::NAME].as_slice() } else { &[O::NAME] };
            let unsent = Unsent { to, event: event.clone(), is_customer };
            if let Err(e) = self.records.store().keep_unsent(ways, &unsent, self.clock.now()) {
                tracing::error!("a message is not on record, and is lost if this process ends: {e}");
            }
        }
        let item = Item { event: Arc::new(event), weight, is_customer, is_tried: false };
        let is_free = || {
            let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
            is_customer || weight == Weight::Kept || strangers.take(&to, self.clock.now())
        };
        if is_wrapped(channel) && is_free() {
            self.theirs.put(&to, item.clone());
        }
        self.ours.put(&to, item);
    }
}

/// What is wrapped goes to the relays that its receiver names, too.
const fn is_wrapped(channel: Channel) -> bool {
    matches!(channel, Channel::Wrapped(_))
}

#[cfg(test)]
mod tests;

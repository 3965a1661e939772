//! One way to deliver: tries, waits, tries again, for each receiver by itself.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Sleep;
use units::UnixSecs;

use super::waiting::{Item, Ticket, Waiting};
use super::{Records, Weight};

/// How long one delivery may take, so that its place is soon another's.
pub(super) const TRY_WAIT: Duration = Duration::from_secs(10);
/// What was not taken is not tried again sooner, whatever comes.
pub(super) const AGAIN_MIN: Duration = Duration::from_secs(5);
/// How often it is looked whether all was tried, when the server ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Carries events to relays.
pub(super) trait Carrier: Send + Sync + 'static {
    /// Whose relays these are, for metrics.
    const NAME: &'static str;
    /// How long to wait before the next try of what is kept, after so many; none: it is given up.
    fn again(tries: usize) -> Option<Duration>;
    /// Sends an event to one receiver; whether a relay took it, or there is none that could.
    fn carry(&self, to: &PublicKey, event: &CheckedEvent) -> impl Future<Output = bool> + Send;
    /// Counts our connections: with each that is made, what was not taken may be.
    fn connected(&self) -> watch::Receiver<u64>;
}

/// What became of a try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tried {
    Taken,
    NotTaken,
    /// It made room for others before.
    Dropped,
}

/// Messages on one way.
#[derive(Debug)]
pub(super) struct Lane<C> {
    pub(super) carrier: C,
    waiting: Mutex<Waiting>,
    records: Arc<dyn Records>,
    /// Deliveries under way at once: strangers choose relays that stall, and have their own.
    strangers: Semaphore,
    customers: Semaphore,
}

impl<C: Carrier> Lane<C> {
    /// A way with so many deliveries at once to customers, and as many to strangers.
    pub(super) fn new(carrier: C, under_way_max: usize, records: Arc<dyn Records>) -> Arc<Self> {
        let [strangers, customers] = [(); 2].map(|()| Semaphore::new(under_way_max));
        Arc::new(Self { carrier, waiting: Mutex::default(), records, strangers, customers })
    }

    /// Puts on its way what is on record.
    pub(super) fn resume(self: &Arc<Self>, now: UnixSecs) {
        let unsent = self.records.store().unsent(C::NAME, now).unwrap_or_else(|e| {
            tracing::error!("messages that waited are lost: {e}");
            Vec::new()
        });
        for one in unsent {
            let (event, is_customer) = (Arc::new(one.event), one.is_customer);
            self.put(&one.to, Item { event, weight: Weight::Kept, is_customer, is_tried: false });
        }
    }

    /// Puts a message on its way, if there is room for it. Does not wait.
    pub(super) fn put(self: &Arc<Self>, to: &PublicKey, item: Item) {
        let is_first = self.lock().put(to, item);
        if is_first {
            let (lane, to) = (Arc::clone(self), *to);
            tokio::spawn(async move { lane.empty(&to).await });
        }
    }

    /// Waits until everything was tried at least once.
    pub(super) async fn all_tried(&self) {
        while self.lock().has_untried() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Delivers what waits for one receiver, in its order, until nothing does.
    async fn empty(&self, to: &PublicKey) {
        loop {
            let Some(first) = self.lock().first(to) else { return };
            let tried = match self.attempt(to, first).await {
                Tried::NotTaken if first.weight == Weight::Kept => self.insist(to, first).await,
                tried @ (Tried::Taken | Tried::NotTaken | Tried::Dropped) => tried,
            };
            self.settle(to, first, tried);
        }
    }

    /// Tries again what is kept, at its times, and sooner when there is reason to hope. What comes behind it is
    /// tried once without waiting for it, because it may be refused for good.
    async fn insist(&self, to: &PublicKey, kept: Ticket) -> Tried {
        let (news, mut connected) = (self.lock().news(to), self.carrier.connected());
        for tries in 0.. {
            let Some(again) = C::again(tries) else { break };
            let mut due = Box::pin(tokio::time::sleep(again));
            loop {
                self.try_behind(to).await;
                let is_due = is_due(due.as_mut(), &news, &mut connected).await;
                match self.attempt(to, kept).await {
                    Tried::NotTaken if is_due => break,
                    Tried::NotTaken => {}
                    tried @ (Tried::Taken | Tried::Dropped) => return tried,
                }
            }
        }
        Tried::NotTaken
    }

    async fn try_behind(&self, to: &PublicKey) {
        loop {
            let Some(next) = self.lock().first_untried(to) else { return };
            match self.attempt(to, next).await {
                Tried::NotTaken if next.weight == Weight::Kept => {}
                tried @ (Tried::Taken | Tried::NotTaken | Tried::Dropped) => self.settle(to, next, tried),
            }
        }
    }

    async fn attempt(&self, to: &PublicKey, ticket: Ticket) -> Tried {
        let places = if ticket.is_customer { &self.customers } else { &self.strangers };
        let Ok(_place) = places.acquire().await else { return Tried::Dropped };
        // Only now: who waits for a place keeps no memory that the queue has given to others.
        let Some(event) = self.lock().take_turn(to, &ticket.id) else { return Tried::Dropped };
        match tokio::time::timeout(TRY_WAIT, self.carrier.carry(to, &event)).await {
            Ok(true) => Tried::Taken,
            Ok(false) | Err(_) => Tried::NotTaken,
        }
    }

    fn settle(&self, to: &PublicKey, ticket: Ticket, tried: Tried) {
        let outcome = match tried {
            Tried::Taken => "taken",
            Tried::NotTaken => "not_taken",
            // It was counted when it was dropped.
            Tried::Dropped => return,
        };
        metrics::counter!("messages_sent_total", "to" => C::NAME, "outcome" => outcome).increment(1);
        if ticket.weight == Weight::Kept
            && let Err(e) = self.records.store().forget_unsent(C::NAME, &ticket.id)
        {
            tracing::error!("a message that was sent stays on record, and is sent once more: {e}");
        }
        self.lock().remove(to, &ticket.id);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until something is due, or for a reason to try it before that; whether it is due.
async fn is_due(due: Pin<&mut Sleep>, news: &Notify, connected: &mut watch::Receiver<u64>) -> bool {
    let sooner = async {
        tokio::time::sleep(AGAIN_MIN).await;
        tokio::select! {
            () = news.notified() => {}
            Ok(()) = connected.changed() => {}
        }
    };
    tokio::select! {
        () = due => true,
        () = sooner => false,
    }
}

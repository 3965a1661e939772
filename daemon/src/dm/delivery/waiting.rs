//! Messages that wait for relays, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use nostr::event::EventId;
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use tokio::sync::Notify;

use super::Weight;

/// Messages that wait for one receiver.
const PER_RECEIVER_MAX: usize = 32;
/// Messages that wait in all.
pub(super) const ALL_MAX: usize = 1_024;
/// Receivers to which somebody delivers, each with a task of its own, before talk to more strangers is dropped;
/// and before anything to more receivers is.
const RECEIVERS_MAX: [usize; 2] = [ALL_MAX, 2 * ALL_MAX];
/// What they hold together, in bytes: answers with a container's output are long.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// A message that waits.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) event: Arc<CheckedEvent>,
    pub(super) weight: Weight,
    /// Its receiver has paid for something here.
    pub(super) is_customer: bool,
    /// It was sent at least once.
    pub(super) is_tried: bool,
}

impl Item {
    fn bytes(&self) -> usize {
        self.event.content.len()
    }

    fn is_strangers_talk(&self) -> bool {
        self.weight == Weight::Talk && !self.is_customer
    }
}

/// Names a message that waits, without keeping it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub(super) id: EventId,
    pub(super) weight: Weight,
    pub(super) is_customer: bool,
}

impl From<&Item> for Ticket {
    fn from(item: &Item) -> Self {
        Self { id: item.event.id, weight: item.weight, is_customer: item.is_customer }
    }
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Told of each message that is put behind others.
    news: Arc<Notify>,
}

impl Queue {
    fn count(&self, is_wanted: impl Fn(&Item) -> bool) -> usize {
        self.items.iter().filter(|item| is_wanted(item)).count()
    }
}

/// All of them. A receiver is in it for as long as somebody delivers to it.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queues: HashMap<PublicKey, Queue>,
    count: usize,
    bytes: usize,
}

impl Waiting {
    /// Puts a message behind the others of its receiver, if there is room or room can be made; true if somebody
    /// must begin to deliver to it.
    pub(super) fn put(&mut self, to: &PublicKey, item: Item) -> bool {
        // What was on its way when the process began is found on record as well.
        if self.queues.get(to).is_some_and(|queue| queue.count(|one| one.event.id == item.event.id) > 0) {
            return false;
        }
        if self.queues.get(to).is_some_and(|queue| queue.items.len() >= PER_RECEIVER_MAX) {
            self.drop_one(to, |_| true);
        }
        let receivers_max = RECEIVERS_MAX[usize::from(!item.is_strangers_talk())];
        let has_task = self.queues.contains_key(to) || self.queues.len() < receivers_max;
        while !has_task || self.count >= ALL_MAX || self.bytes + item.bytes() > BYTES_MAX {
            if !has_task || !self.make_room(&item) {
                count_dropped();
                return false;
            }
        }
        self.count += 1;
        self.bytes += item.bytes();
        let is_first = !self.queues.contains_key(to);
        let queue = self.queues.entry(*to).or_default();
        queue.items.push_back(item);
        if !is_first {
            queue.news.notify_one();
        }
        is_first
    }

    /// The first message for this receiver; with none, nobody delivers to it any more.
    pub(super) fn first(&mut self, to: &PublicKey) -> Option<Ticket> {
        let first = self.queues.get(to).and_then(|queue| queue.items.front()).map(Ticket::from);
        if first.is_none() {
            self.queues.remove(to);
        }
        first
    }

    /// The first message for this receiver that was not sent yet.
    pub(super) fn first_untried(&self, to: &PublicKey) -> Option<Ticket> {
        self.queues.get(to).and_then(|queue| queue.items.iter().find(|item| !item.is_tried)).map(Ticket::from)
    }

    /// Tells whoever delivers to this receiver of what is put behind the first.
    pub(super) fn news(&self, to: &PublicKey) -> Arc<Notify> {
        self.queues.get(to).map(|queue| Arc::clone(&queue.news)).unwrap_or_default()
    }

    /// A message, to be sent now; none if it made room meanwhile.
    pub(super) fn take_turn(&mut self, to: &PublicKey, id: &EventId) -> Option<Arc<CheckedEvent>> {
        let item = self.queues.get_mut(to)?.items.iter_mut().find(|item| item.event.id == *id)?;
        item.is_tried = true;
        Some(Arc::clone(&item.event))
    }

    /// Forgets a message, if it is still there.
    pub(super) fn remove(&mut self, to: &PublicKey, id: &EventId) {
        let at =
            self.queues.get(to).and_then(|queue| queue.items.iter().position(|item| item.event.id == *id));
        if let Some(at) = at {
            self.drop_at(to, at);
        }
    }

    /// True if something was not sent yet.
    pub(super) fn has_untried(&self) -> bool {
        self.queues.values().any(|queue| queue.items.iter().any(|item| !item.is_tried))
    }

    /// Drops a message for this one: of whoever has most, strangers' talk before customers', and talk before
    /// what is kept. What is kept and the only one for its receiver stays.
    fn make_room(&mut self, item: &Item) -> bool {
        let is_talk = |item: &Item| item.weight == Weight::Talk;
        if self.drop_of_most(1, Item::is_strangers_talk) {
            return true;
        }
        if item.is_strangers_talk() {
            return false;
        }
        self.drop_of_most(1, is_talk) || (item.weight == Weight::Kept && self.drop_of_most(2, |_| true))
    }

    /// Drops the oldest such message of the receiver that has most of them, if that is so many at least.
    fn drop_of_most(&mut self, at_least: usize, is_wanted: impl Fn(&Item) -> bool) -> bool {
        let counts = self.queues.iter().map(|(to, queue)| (*to, queue.count(&is_wanted)));
        match counts.max_by_key(|(_, count)| *count) {
            Some((to, count)) if count >= at_least => {
                self.drop_one(&to, is_wanted);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Drops the oldest such message of a receiver, talk before what is kept.
    fn drop_one(&mut self, to: &PublicKey, is_wanted: impl Fn(&Item) -> bool) {
        let Some(queue) = self.queues.get(to) else { return };
        let talk = queue.items.iter().position(|item| is_wanted(item) && item.weight == Weight::Talk);
        if let Some(at) = talk.or_else(|| queue.items.iter().position(is_wanted)) {
            count_dropped();
            self.drop_at(to, at);
        }
    }

    fn drop_at(&mut self, to: &PublicKey, at: usize) {
        if let Some(item) = self.queues.get_mut(to).and_then(|queue| queue.items.remove(at)) {
            self.count -= 1;
            self.bytes -= item.bytes();
        }
    }
}

fn count_dropped() {
    metrics::counter!("messages_dropped_total").increment(1);
}

#[cfg(test)]
mod tests {
    use nostr::event::Kind;
    use nostr::key::Keys;
    use protocol::event::sign;
    use units::UnixSecs;

    use super::*;

    fn item(weight: Weight, is_customer: bool, bytes: usize) -> Item {
        let event =
            sign(&Keys::generate(), Kind::GiftWrap, UnixSecs(1), Vec::new(), "x".repeat(bytes)).unwrap();
        Item { event: Arc::new(event), weight, is_customer, is_tried: false }
    }

    fn key() -> PublicKey {
        Keys::generate().public_key()
    }

    fn first(waiting: &mut Waiting, to: &PublicKey) -> Option<EventId> {
        waiting.first(to).map(|ticket| ticket.id)
    }

    #[test]
    fn flood_takes_bounded_memory_and_nothing_of_others_that_is_kept() {
        let (mut waiting, owner, talker) = (Waiting::default(), key(), key());
        let notice = item(Weight::Kept, true, 10);
        assert!(waiting.put(&owner, notice.clone()));
        // One who talks, many who talk, and one to whom much is owed.
        for _ in 0..2 * PER_RECEIVER_MAX {
            waiting.put(&talker, item(Weight::Talk, true, 10));
        }
        assert_eq!(waiting.count, 1 + PER_RECEIVER_MAX);
        let one = item(Weight::Talk, true, BYTES_MAX / 8);
        for _ in 0..20 {
            waiting.put(&key(), one.clone());
        }
        assert!(waiting.bytes <= BYTES_MAX);
        let kept = item(Weight::Kept, true, 10);
        for _ in 0..2 * ALL_MAX {
            waiting.put(&key(), kept.clone());
        }
        assert_eq!(waiting.count, ALL_MAX);
        assert!(!waiting.put(&key(), item(Weight::Talk, true, 10)), "talk makes no room among what is kept");
        assert_eq!(first(&mut waiting, &owner), Some(notice.event.id));
        let sum: usize = waiting.queues.values().map(|queue| queue.items.len()).sum();
        assert_eq!(sum, waiting.count);
    }

    #[test]
    fn strangers_talk_makes_room_for_customers_and_not_the_other_way_round() {
        let (mut waiting, customer) = (Waiting::default(), key());
        let talk = item(Weight::Talk, true, 10);
        assert!(waiting.put(&customer, talk.clone()));
        for _ in 0..3 * ALL_MAX {
            waiting.put(&key(), item(Weight::Talk, false, 10));
        }
        assert_eq!(waiting.count, ALL_MAX);
        assert_eq!(first(&mut waiting, &customer), Some(talk.event.id));
        assert_eq!(waiting.queues.len(), ALL_MAX, "each has a task");
        for _ in 0..3 * ALL_MAX {
            waiting.put(&key(), item(Weight::Talk, true, 10));
        }
        assert!(waiting.queues.len() <= 2 * ALL_MAX, "each has a task");
        assert_eq!(first(&mut waiting, &customer), Some(talk.event.id));
    }

    #[test]
    fn receiver_is_delivered_to_by_one_at_a_time_and_in_order() {
        let (mut waiting, to) = (Waiting::default(), key());
        let [one, two] = [item(Weight::Kept, true, 1), item(Weight::Talk, true, 1)];
        assert!(waiting.put(&to, one.clone()));
        assert!(!waiting.put(&to, two.clone()), "somebody is at it");
        assert_eq!(first(&mut waiting, &to), Some(one.event.id));
        assert_eq!(waiting.first_untried(&to).unwrap().id, one.event.id);
        assert!(waiting.has_untried());
        for id in [one.event.id, two.event.id] {
            assert_eq!(waiting.take_turn(&to, &id).unwrap().id, id);
        }
        assert!(!waiting.has_untried());
        waiting.remove(&to, &one.event.id);
        assert!(waiting.take_turn(&to, &one.event.id).is_none(), "it is gone");
        assert_eq!(first(&mut waiting, &to), Some(two.event.id));
        waiting.remove(&to, &two.event.id);
        assert_eq!(first(&mut waiting, &to), None);
        assert!(waiting.put(&to, two), "nobody is at it any more");
        assert_eq!((waiting.count, waiting.bytes), (1, 1));
    }
}

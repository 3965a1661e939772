//! Messages that wait for their receivers' relays, in bounded memory.

use std::collections::{HashMap, VecDeque};

use nostr::event::EventId;
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;

use super::Weight;

/// Messages that wait for one receiver.
const PER_RECEIVER_MAX: usize = 32;
/// Messages that wait in all; each receiver among them has a task of its own.
const ALL_MAX: usize = 1_024;
/// What they hold together, in bytes: answers with a container's output are long.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// A message that waits.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) event: CheckedEvent,
    pub(super) weight: Weight,
    /// Our own relays have not taken it.
    pub(super) to_ours: bool,
    /// Its receiver's have not.
    pub(super) to_theirs: bool,
    pub(super) tries: usize,
}

impl Item {
    fn bytes(&self) -> usize {
        self.event.content.len()
    }
}

/// All of them. A receiver is in it for as long as somebody delivers to it.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queues: HashMap<PublicKey, VecDeque<Item>>,
    count: usize,
    bytes: usize,
}

impl Waiting {
    /// Whether something waits for this receiver that our own relays have not taken.
    pub(super) fn has_ours(&self, to: &PublicKey) -> bool {
        self.queues.get(to).is_some_and(|queue| queue.iter().any(|item| item.to_ours))
    }

    /// Puts a message behind the others of its receiver, if there is room or room can be made; true if somebody
    /// must begin to deliver to it.
    pub(super) fn put(&mut self, to: &PublicKey, item: Item) -> bool {
        if self.queues.get(to).is_some_and(|queue| queue.len() >= PER_RECEIVER_MAX) {
            self.drop_one(to);
        }
        while self.count >= ALL_MAX || self.bytes + item.bytes() > BYTES_MAX {
            if !self.make_room(item.weight) {
                metrics::counter!("messages_outside_total", "outcome" => "dropped").increment(1);
                return false;
            }
        }
        self.count += 1;
        self.bytes += item.bytes();
        let is_first = !self.queues.contains_key(to);
        self.queues.entry(*to).or_default().push_back(item);
        is_first
    }

    /// The first message for this receiver; with none, nobody delivers to it any more.
    pub(super) fn first(&mut self, to: &PublicKey) -> Option<Item> {
        let first = self.queues.get(to).and_then(|queue| queue.front().cloned());
        if first.is_none() {
            self.queues.remove(to);
        }
        first
    }

    /// Forgets the first message if it is this one: it may have made room meanwhile.
    pub(super) fn remove(&mut self, to: &PublicKey, id: &EventId) {
        if self.is_first(to, id) {
            self.drop_at(to, 0);
        }
    }

    /// Remembers what became of the first message, if it is this one.
    pub(super) fn put_back(&mut self, to: &PublicKey, item: Item) {
        if self.is_first(to, &item.event.id)
            && let Some(first) = self.queues.get_mut(to).and_then(VecDeque::front_mut)
        {
            *first = item;
        }
    }

    fn is_first(&self, to: &PublicKey, id: &EventId) -> bool {
        self.queues.get(to).and_then(VecDeque::front).is_some_and(|item| item.event.id == *id)
    }

    /// Drops a message for another of this weight: of whoever has most, and talk before what is kept. What is
    /// kept and the only one for its receiver stays.
    fn make_room(&mut self, weight: Weight) -> bool {
        let talk = |queue: &VecDeque<Item>| queue.iter().filter(|item| item.weight == Weight::Talk).count();
        let most_talk = self.queues.iter().max_by_key(|(_, queue)| talk(queue));
        if let Some((to, _)) = most_talk.filter(|(_, queue)| talk(queue) > 0) {
            let to = *to;
            self.drop_one(&to);
            return true;
        }
        let most = self.queues.iter().max_by_key(|(_, queue)| queue.len());
        match most.filter(|(_, queue)| weight == Weight::Kept && queue.len() > 1) {
            Some((to, _)) => {
                let to = *to;
                self.drop_one(&to);
                true
            }
            None => false,
        }
    }

    /// Drops the oldest talk of a receiver, or the oldest of all.
    fn drop_one(&mut self, to: &PublicKey) {
        let Some(queue) = self.queues.get(to) else { return };
        let at = queue.iter().position(|item| item.weight == Weight::Talk).unwrap_or_default();
        metrics::counter!("messages_outside_total", "outcome" => "dropped").increment(1);
        self.drop_at(to, at);
    }

    fn drop_at(&mut self, to: &PublicKey, at: usize) {
        if let Some(item) = self.queues.get_mut(to).and_then(|queue| queue.remove(at)) {
            self.count -= 1;
            self.bytes -= item.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use nostr::event::Kind;
    use nostr::key::Keys;
    use protocol::event::sign;
    use units::UnixSecs;

    use super::*;

    fn item(weight: Weight, bytes: usize) -> Item {
        let event =
            sign(&Keys::generate(), Kind::GiftWrap, UnixSecs(1), Vec::new(), "x".repeat(bytes)).unwrap();
        Item { event, weight, to_ours: false, to_theirs: true, tries: 0 }
    }

    fn key() -> PublicKey {
        Keys::generate().public_key()
    }

    #[test]
    fn flood_takes_bounded_memory_and_nothing_of_others_that_is_kept() {
        let (mut waiting, owner, talker) = (Waiting::default(), key(), key());
        let notice = item(Weight::Kept, 10);
        assert!(waiting.put(&owner, notice.clone()));
        // One who talks, many who talk, and one to whom much is owed.
        for _ in 0..2 * PER_RECEIVER_MAX {
            waiting.put(&talker, item(Weight::Talk, 10));
        }
        assert_eq!(waiting.count, 1 + PER_RECEIVER_MAX);
        let one = item(Weight::Talk, BYTES_MAX / 8);
        for _ in 0..20 {
            waiting.put(&key(), one.clone());
        }
        assert!(waiting.bytes <= BYTES_MAX);
        let kept = item(Weight::Kept, 10);
        for _ in 0..2 * ALL_MAX {
            waiting.put(&key(), kept.clone());
        }
        assert_eq!(waiting.count, ALL_MAX);
        assert!(!waiting.put(&key(), item(Weight::Talk, 10)), "talk makes no room among what is kept");
        assert_eq!(waiting.first(&owner).unwrap().event.id, notice.event.id);
        let sum: usize = waiting.queues.values().map(VecDeque::len).sum();
        assert_eq!(sum, waiting.count);
    }

    #[test]
    fn receiver_is_delivered_to_by_one_at_a_time_and_in_order() {
        let (mut waiting, to) = (Waiting::default(), key());
        let [one, two] = [item(Weight::Kept, 1), item(Weight::Talk, 1)];
        assert!(waiting.put(&to, one.clone()));
        assert!(!waiting.put(&to, two.clone()), "somebody is at it");
        assert_eq!(waiting.first(&to).unwrap().event.id, one.event.id);
        waiting.put_back(&to, Item { tries: 3, ..one.clone() });
        assert_eq!(waiting.first(&to).unwrap().tries, 3);
        waiting.remove(&to, &two.event.id);
        waiting.remove(&to, &one.event.id);
        assert_eq!(waiting.first(&to).unwrap().event.id, two.event.id);
        waiting.remove(&to, &two.event.id);
        assert!(waiting.first(&to).is_none());
        assert!(waiting.put(&to, two), "nobody is at it any more");
        assert_eq!((waiting.count, waiting.bytes), (1, 1));
    }
}

//! Who waits for which relay's OK.
//!
//! The library can wait, too, but each of its waiters reads everything that a relay says: a thousand events
//! on their way would cost a million copies. Here every message is read once, by [`crate::subscription::dispatch`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use nostr::event::EventId;
use tokio::sync::oneshot;

use crate::dialer::lock;

/// What a relay said of an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    /// It has it.
    Taken,
    /// It does not take it, for this reason.
    Refused(String),
    /// Nothing: the connection ended.
    Gone,
}

/// Those who wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acks(Arc<Mutex<HashMap<EventId, Vec<Waiter>>>>);

#[derive(Debug)]
struct Waiter {
    relay: String,
    tell: oneshot::Sender<Said>,
}

/// A place among those who wait; given up when dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    acks: Acks,
    event: EventId,
    answer: oneshot::Receiver<Said>,
}

impl Acks {
    /// Waits for what `relay` says of `event`. To be called before the event is sent.
    pub(crate) fn wait_for(&self, event: EventId, relay: &str) -> Waiting {
        let (tell, answer) = oneshot::channel();
        lock(&self.0).entry(event).or_default().push(Waiter { relay: relay.to_owned(), tell });
        Waiting { acks: self.clone(), event, answer }
    }

    /// Tells everybody who waits what `relay` said of `event`.
    pub(crate) fn tell(&self, relay: &str, event: &EventId, said: &Said) {
        let mut all = lock(&self.0);
        let Some(waiters) = all.get_mut(event) else { return };
        tell_if(waiters, said, |waiter| waiter.relay == relay);
        if waiters.is_empty() {
            all.remove(event);
        }
    }

    /// Tells everybody who waits for `relay` that its connection ended.
    pub(crate) fn gone(&self, relay: &str) {
        lock(&self.0).retain(|_, waiters| {
            tell_if(waiters, &Said::Gone, |waiter| waiter.relay == relay);
            !waiters.is_empty()
        });
    }
}

fn tell_if(waiters: &mut Vec<Waiter>, said: &Said, is_told: impl Fn(&Waiter) -> bool) {
    for waiter in waiters.extract_if(.., |waiter| is_told(waiter)) {
        // Whoever gave up meanwhile need not know.
        drop(waiter.tell.send(said.clone()));
    }
}

impl Waiting {
    /// What the relay says, whenever that is.
    pub(crate) async fn said(&mut self) -> Said {
        (&mut self.answer).await.unwrap_or(Said::Gone)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.answer.close();
        let mut all = lock(&self.acks.0);
        let Some(waiters) = all.get_mut(&self.event) else { return };
        waiters.retain(|waiter| !waiter.tell.is_closed());
        if waiters.is_empty() {
            all.remove(&self.event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(byte: u8) -> EventId {
        EventId::from_byte_array([byte; 32])
    }

    #[tokio::test]
    async fn each_is_told_of_its_own_relay_and_event() {
        let acks = Acks::default();
        let mut first = acks.wait_for(event(1), "ws://a");
        let mut again = acks.wait_for(event(1), "ws://a");
        let mut other_relay = acks.wait_for(event(1), "ws://b");
        let mut other_event = acks.wait_for(event(2), "ws://a");
        acks.tell("ws://a", &event(1), &Said::Taken);
        assert_eq!((first.said().await, again.said().await), (Said::Taken, Said::Taken));
        acks.tell("ws://b", &event(1), &Said::Refused("no".into()));
        assert_eq!(other_relay.said().await, Said::Refused("no".into()));
        acks.gone("ws://b");
        acks.gone("ws://a");
        assert_eq!(other_event.said().await, Said::Gone);
        assert!(lock(&acks.0).is_empty());
    }

    #[test]
    fn who_gives_up_leaves_nothing_behind() {
        let acks = Acks::default();
        let (kept, left) = (acks.wait_for(event(1), "ws://a"), acks.wait_for(event(1), "ws://b"));
        drop(left);
        assert_eq!(lock(&acks.0)[&event(1)].len(), 1);
        drop(kept);
        assert!(lock(&acks.0).is_empty());
    }
}

//! The server's own voice: what it writes to people.

use std::borrow::Cow;
use std::sync::Arc;

use nostr::event::{EventId, Kind};
use nostr::key::PublicKey;
use relay::dm::{Channel, Letter, Mailbox, TEXT_BYTES_MAX, fitting};

use super::delivery::Outgoing;
use super::{Delivery, Weight};
use crate::context::Context;
use crate::sparing::Sparing;

/// Behind a text that did not fit.
const CUT: &str = "\n(The rest does not fit into a message.)";

/// Writes messages with the service key.
#[derive(Debug)]
pub struct Speaker {
    ctx: Arc<Context>,
    mailbox: Mailbox,
    delivery: Delivery,
    faults: Sparing,
}

impl Speaker {
    /// A speaker that publishes by `delivery`.
    #[must_use]
    pub(crate) fn new(ctx: Arc<Context>, delivery: Delivery) -> Arc<Self> {
        let mailbox = Mailbox::new(ctx.keys.clone());
        Arc::new(Self { ctx, mailbox, delivery, faults: Sparing::default() })
    }

    pub(super) const fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Answers a letter the way it came. Nobody waits for relays.
    pub(super) fn answer(&self, letter: &Letter, text: &str, weight: Weight) {
        let to = Receiver::of(&self.ctx, letter.from);
        self.send(to, text, letter.channel, Some(&letter.id), weight);
    }

    /// Tells somebody in private what began in public, as NIP-17 has it.
    pub(super) fn go_on(&self, letter: &Letter, text: &str, weight: Weight) {
        self.send(Receiver::of(&self.ctx, letter.from), text, Channel::Wrapped(Kind::GiftWrap), None, weight);
    }

    /// Tells somebody who has something here what they did not ask for, as NIP-17 has it.
    pub(crate) fn tell(&self, owner: PublicKey, text: &str) {
        let to = Receiver { key: owner, is_customer: true };
        self.send(to, text, Channel::Wrapped(Kind::GiftWrap), None, Weight::Kept);
    }

    /// Sends what the process before this one had to leave.
    pub(crate) fn resume(&self) {
        self.delivery.resume();
    }

    /// Waits until our relays were sent everything once.
    pub(crate) async fn all_sent(&self) {
        self.delivery.all_sent().await;
    }

    fn send(&self, to: Receiver, text: &str, channel: Channel, answers: Option<&EventId>, weight: Weight) {
        let Receiver { key: to, is_customer } = to;
        let text = fitted(text);
        match self.mailbox.write(&to, &text, channel, answers, self.ctx.clock.now()) {
            Ok(event) => self.delivery.deliver(Outgoing { to, is_customer, channel, event, weight }),
            Err(e) => {
                if let Some(times) = self.faults.due(self.ctx.clock.now_ms()) {
                    tracing::error!(times, "a message could not be written: {e}");
                }
            }
        }
    }
}

/// Who is written to.
struct Receiver {
    key: PublicKey,
    is_customer: bool,
}

impl Receiver {
    fn of(ctx: &Context, key: PublicKey) -> Self {
        Self { key, is_customer: ctx.store.has_paid(&key).unwrap_or(false) }
    }
}

/// A text as far as it fits into a message.
fn fitted(text: &str) -> Cow<'_, str> {
    let fits = fitting(text, TEXT_BYTES_MAX);
    if fits.len() == text.len() {
        return Cow::Borrowed(text);
    }
    let room = TEXT_BYTES_MAX - CUT.len() - 2;
    Cow::Owned(format!("{}{CUT}", fitting(text, room)))
}

#[cfg(test)]
mod tests {
    use relay::dm::escaped_bytes;

    use super::*;

    #[test]
    fn text_that_does_not_fit_is_cut_and_says_so() {
        for (one, bytes) in [("x", 1), ("\u{1}", 6), ("\"", 2), ("\u{1f600}", 4)] {
            let fits = one.repeat(TEXT_BYTES_MAX / bytes);
            assert_eq!(fitted(&fits), fits, "{one:?}");
            let long = format!("{fits}{one}");
            let cut = fitted(&long);
            assert!(cut.ends_with(CUT) && escaped_bytes(&cut) <= TEXT_BYTES_MAX, "{one:?}");
            assert!(long.starts_with(cut.strip_suffix(CUT).unwrap()), "{one:?}");
        }
    }
}

//! The server's own voice: what it writes to people.

use std::sync::Arc;

use nostr::event::{EventId, Kind};
use nostr::key::PublicKey;
use relay::dm::{Channel, Letter, Mailbox};

use super::{Delivery, Weight};
use crate::context::Context;

/// Writes messages with the service key.
#[derive(Debug)]
pub struct Speaker {
    ctx: Arc<Context>,
    mailbox: Mailbox,
    delivery: Delivery,
}

impl Speaker {
    /// A speaker that publishes by `delivery`.
    #[must_use]
    pub(crate) fn new(ctx: Arc<Context>, delivery: Delivery) -> Arc<Self> {
        let mailbox = Mailbox::new(ctx.keys.clone());
        Arc::new(Self { ctx, mailbox, delivery })
    }

    pub(super) const fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Answers a letter the way it came.
    pub(super) async fn answer(&self, letter: &Letter, text: &str, weight: Weight) {
        self.send(&letter.from, text, letter.channel, Some(&letter.id), weight).await;
    }

    /// Tells somebody something that they did not ask for, as NIP-17 has it.
    pub(crate) async fn tell(&self, to: &PublicKey, text: &str, weight: Weight) {
        self.send(to, text, Channel::Wrapped(Kind::GiftWrap), None, weight).await;
    }

    async fn send(
        &self,
        to: &PublicKey,
        text: &str,
        channel: Channel,
        answers: Option<&EventId>,
        weight: Weight,
    ) {
        match self.mailbox.write(to, text, channel, answers, self.ctx.clock.now()) {
            Ok(event) => self.delivery.deliver(to, channel, &event, weight).await,
            Err(e) => tracing::error!("a message could not be written: {e}"),
        }
    }
}

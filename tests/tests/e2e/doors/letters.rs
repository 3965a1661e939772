//! Direct messages (NIP-04), as a program writes them.

use anyhow::{Context, Result};
use devnet::world::World;
use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::PublicKey;
use relay::dm::{Channel, Mailbox};
use relay::{Pool, Subscription};
use units::{Clock, SystemClock};

use crate::stranger::{SOON, Stranger};

/// A conversation with the server.
pub(crate) struct Letters {
    mailbox: Mailbox,
    pool: Pool,
    answers: Subscription,
    service: PublicKey,
}

impl Letters {
    pub(crate) async fn open(world: &World, who: &Stranger) -> Result<Self> {
        let (pool, service) = (world.pool().await?, world.service()?);
        let ours = Filter::new().kind(Kind::EncryptedDirectMessage).author(service);
        let answers = pool.subscribe(ours.pubkey(who.keys.public_key()).limit(0)).await?;
        Ok(Self { mailbox: Mailbox::new(who.keys.clone()), pool, answers, service })
    }

    /// Writes something and returns the answer to it.
    pub(crate) async fn say(&mut self, text: &str) -> Result<String> {
        let letter = self.mailbox.write(&self.service, text, Channel::Nip04, None, SystemClock.now())?;
        self.pool.publish(&letter).await;
        let answer = tokio::time::timeout(SOON, self.answers.next()).await;
        let answer = answer.with_context(|| format!("no answer to {text}"))?.context("the relay is gone")?;
        Ok(self.mailbox.open(&answer)?.text)
    }
}

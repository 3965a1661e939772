//! Requests made by hand: signed at any time, sent any number of times, with any text inside.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use devnet::world::World;
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use protocol::event::CheckedEvent;
use protocol::kinds::ENCLAVED_RPC;
use protocol::rpc::Reply;
use relay::rpc::Envelope;
use relay::{Pool, PublishReport, Subscription};
use serde_json::{Value, json};
use units::{Clock, SystemClock, UnixSecs};

use crate::stranger::SOON;

/// A connection of its own to the relay, with one key.
pub(crate) struct Wire {
    pub(crate) keys: Keys,
    envelope: Envelope,
    service: PublicKey,
    pool: Pool,
    replies: Subscription,
}

impl Wire {
    pub(crate) async fn open(world: &World, keys: &Keys) -> Result<Self> {
        let (pool, service) = (world.pool().await?, world.service()?);
        let filter = Filter::new().kind(ENCLAVED_RPC).author(service).pubkey(keys.public_key());
        let replies = pool.subscribe(filter).await?;
        Ok(Self { keys: keys.clone(), envelope: Envelope::new(keys.clone()), service, pool, replies })
    }

    /// A request, signed and encrypted.
    pub(crate) fn request(
        &self,
        id: &str,
        method: &str,
        params: &Value,
        at: UnixSecs,
    ) -> Result<CheckedEvent> {
        let text = json!({"id": id, "method": method, "params": params}).to_string();
        Ok(self.envelope.seal(ENCLAVED_RPC, &self.service, &text, at)?)
    }

    /// An encrypted text that need not be a request.
    pub(crate) fn sealed(&self, text: &str) -> Result<CheckedEvent> {
        Ok(self.envelope.seal(ENCLAVED_RPC, &self.service, text, SystemClock.now())?)
    }

    pub(crate) async fn send(&self, event: &CheckedEvent) -> PublishReport {
        self.pool.publish(event).await
    }

    /// The next reply with this id; others are passed over.
    pub(crate) async fn reply(&mut self, id: &str) -> Result<Reply> {
        let replied = tokio::time::timeout(SOON, async {
            loop {
                let event = self.replies.next().await.context("the relay is gone")?;
                let reply: Reply = serde_json::from_str(&self.envelope.open(&event)?)?;
                if reply.id == id {
                    return Ok(reply);
                }
            }
        });
        replied.await.with_context(|| format!("no reply to {id:?}"))?
    }

    /// Sends a request made now and waits for its reply.
    pub(crate) async fn ask(&mut self, id: &str, method: &str, params: &Value) -> Result<Reply> {
        let event = self.request(id, method, params, SystemClock.now())?;
        let report = self.send(&event).await;
        if !report.is_published() {
            bail!("no relay took the request: {:?}", report.refused);
        }
        self.reply(id).await
    }

    /// Whether nothing with this id is answered within `wait`.
    pub(crate) async fn is_silent(&mut self, id: &str, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.reply(id)).await.is_err()
    }
}

//! The peer of everything that goes through a relay: the least that an answer through it costs. A service
//! that signs an event back, without encryption, rate limits or memory.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use protocol::event::{sign, tag_value};
use protocol::tag;
use relay::{Pool, Subscription};
use units::{Clock, SystemClock};

use crate::load::Caller;

/// What figures call it.
pub(crate) const PEER: &str = "bare echo over the same relay";
/// An ephemeral kind of nobody's.
const ECHO: Kind = Kind::Custom(29_999);
const WAIT: Duration = Duration::from_secs(20);

/// A connection to the relay.
pub(crate) async fn connect(relay: &str) -> Result<Pool> {
    let pool = Pool::connect([relay.to_owned()]).await?;
    if pool.wait_connected(WAIT).await { Ok(pool) } else { bail!("the relay does not answer") }
}

/// Somebody who asks it.
pub(crate) struct Echo {
    pool: Pool,
    keys: Keys,
    service: PublicKey,
    replies: Subscription,
    asked: u64,
}

impl Echo {
    pub(crate) async fn clients(relay: &str, service: &Keys, count: usize) -> Result<Vec<Self>> {
        let mut clients = Vec::new();
        for _ in 0..count {
            let (pool, keys) = (connect(relay).await?, Keys::generate());
            let filter = Filter::new().kind(ECHO).author(service.public_key()).pubkey(keys.public_key());
            let replies = pool.subscribe(filter).await?;
            clients.push(Self { pool, keys, service: service.public_key(), replies, asked: 0 });
        }
        Ok(clients)
    }
}

impl Caller for Echo {
    async fn call(&mut self) -> Result<()> {
        self.asked += 1;
        let text = self.asked.to_string();
        let tags = vec![tag!["p", self.service.to_hex()]];
        let event = sign(&self.keys, ECHO, SystemClock.now(), tags, text.clone())?;
        let pool = self.pool.clone();
        // As the RPC client does: the answer may be here before the relay's OK.
        let sending = tokio::spawn(async move { pool.publish(&event).await });
        let answered = async {
            while let Some(reply) = self.replies.next().await {
                if reply.content == text {
                    return Ok(());
                }
            }
            bail!("the relay is gone")
        };
        tokio::time::timeout(WAIT, answered).await.context("no echo")??;
        drop(sending.await);
        Ok(())
    }
}

/// Answers until it is aborted.
pub(crate) async fn serve(pool: Pool, keys: Keys) -> Result<()> {
    let mut requests = pool.subscribe(Filter::new().kind(ECHO).pubkey(keys.public_key())).await?;
    while let Some(request) = requests.next().await {
        if tag_value(&request, "p") != Some(&keys.public_key().to_hex()) {
            continue;
        }
        let tags = vec![tag!["p", request.pubkey.to_hex()]];
        let reply = sign(&keys, ECHO, SystemClock.now(), tags, request.content.clone())?;
        let pool = pool.clone();
        tokio::spawn(async move { pool.publish(&reply).await });
    }
    Ok(())
}

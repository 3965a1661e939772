//! A remote signer (NIP-46) over relays. What it returns is believed only as far as it is what was asked
//! for: the very event, signed by the key that it named first.
//!
//! The client of the Nostr library is not used: it connects by itself, past the one pool whose every
//! event was checked by us.

use std::fmt;
use std::time::Duration;

use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::PublicKey;
use nostr::types::Timestamp;
use protocol::event::CheckedEvent;
use protocol::nec::Draft;
use relay::rpc::Envelope;
use relay::{Pool, Subscription};
use zeroize::Zeroizing;

use super::message::{self, Answer, Request};
use super::uri::BunkerUri;
use crate::context::Context;
use crate::error::Failure;
use crate::key;

/// NIP-46.
const REMOTE_SIGNING: Kind = Kind::NostrConnect;
/// As many as no two requests ever draw alike.
const ID_BYTES: usize = 16;
/// Replies are looked for from a little before our clock's now, for signers whose clock is behind.
const CLOCK_SKEW_SECS: u64 = 600;

/// A remote signer that let us in.
pub(crate) struct Bunker {
    envelope: Envelope,
    signer: PublicKey,
    user: PublicKey,
    pool: Pool,
    replies: Subscription,
    wait: Duration,
}

impl Bunker {
    /// Connects to the signer and asks whose signatures it gives.
    ///
    /// # Errors
    /// `relays_unreachable`, `bunker_no_answer`, `bunker_refused` or `bad_reply`.
    pub(super) async fn connect(ctx: &Context, uri: &BunkerUri, kind: Kind) -> Result<Self, Failure> {
        let keys = uri.client_keys()?;
        let pool = ctx.pool_at("bunker", uri.relays()).await?;
        let filter = Filter::new()
            .kind(REMOTE_SIGNING)
            .author(uri.signer())
            .pubkey(keys.public_key())
            .since(Timestamp::from_secs(ctx.now().minus_secs(CLOCK_SKEW_SECS).0));
        let replies = pool.subscribe(filter).await?;
        let envelope = Envelope::new(keys);
        let (signer, wait) = (uri.signer(), ctx.settings.signer_wait());
        // Not known yet; it is asked for below.
        let mut bunker = Self { envelope, signer, user: signer, pool, replies, wait };
        let secret = uri.secret().map(|secret| secret.as_str()).unwrap_or_default();
        let rights = format!("sign_event:{}", kind.as_u16());
        let greeting = bunker.call(ctx, "connect", &[&signer.to_hex(), secret, &rights]).await?;
        if greeting != "ack" && (secret.is_empty() || greeting != secret) {
            return Err(bad_reply("it neither accepts nor refuses the connection"));
        }
        let user = bunker.call(ctx, "get_public_key", &[]).await?;
        let user = PublicKey::from_hex(&user).ok().filter(|key| key.xonly().is_ok());
        bunker.user = user.ok_or_else(|| bad_reply("it does not say whose signatures it gives"))?;
        Ok(bunker)
    }

    /// Whose signatures it gives.
    pub(super) const fn public_key(&self) -> PublicKey {
        self.user
    }

    /// Has an event signed.
    ///
    /// # Errors
    /// As [`Self::connect`]; `bad_reply` if it signed another event, or with another key.
    pub(super) async fn sign(&mut self, ctx: &Context, draft: &Draft) -> Result<CheckedEvent, Failure> {
        let user = self.user;
        let signed = self.call(ctx, "sign_event", &[&draft.unsigned_json(&user)]).await?;
        draft.accept(&user, &signed).map_err(|e| bad_reply(&format!("of the event that it returned: {e}")))
    }

    /// Sends a request once, for its owner may be asked each time, and waits for the reply.
    async fn call(&mut self, ctx: &Context, method: &str, params: &[&str]) -> Result<String, Failure> {
        let _doing = ctx.progress.begin(format!("asking the bunker ({method})"));
        let id = hex::encode(key::random::<ID_BYTES>()?);
        let unsealed = |why: String| Failure::refused("request_unsealed", why);
        // It may hold the secret.
        let text = serde_json::to_string(&Request { id: &id, method, params });
        let text = Zeroizing::new(text.map_err(|e| unsealed(e.to_string()))?);
        let sealed = self.envelope.seal(REMOTE_SIGNING, &self.signer, &text, ctx.now());
        let request = sealed.map_err(|e| unsealed(e.to_string()))?;
        let answered = tokio::time::timeout(self.wait, async {
            let report = self.pool.publish(&request).await;
            if !report.is_published() {
                let whys: Vec<_> = report.refused.iter().map(|(url, why)| format!("{url}: {why}")).collect();
                let message = format!("no relay takes a request to the bunker ({})", whys.join(", "));
                return Err(Failure::no_answer("bunker_no_answer", message));
            }
            self.reply_to(ctx, &id).await
        });
        answered.await.unwrap_or_else(|_elapsed| {
            let secs = self.wait.as_secs();
            let message = format!("the bunker did not answer {method} within {secs} s");
            Err(Failure::no_answer("bunker_no_answer", message)
                .with_hint("see that it runs and uses the relays of its URL, or wait longer with --timeout"))
        })
    }

    async fn reply_to(&mut self, ctx: &Context, id: &str) -> Result<String, Failure> {
        while let Some(event) = self.replies.next().await {
            // What cannot be read is no reply to us: the signer may serve others, and relays lie.
            let Ok(text) = self.envelope.open(&event) else { continue };
            match message::read(&text, id) {
                None => {}
                Some(Answer::Result(result)) => return Ok(result),
                Some(Answer::Refused(why)) => {
                    return Err(Failure::refused("bunker_refused", format!("the bunker refuses: {why}")));
                }
                Some(Answer::Confirm(url)) if url.starts_with("https://") || url.starts_with("http://") => {
                    ctx.progress.note(&format!("the bunker asks you to confirm at {url}"));
                }
                Some(Answer::Confirm(_) | Answer::Nothing) => {
                    return Err(bad_reply("it holds neither a result nor an error"));
                }
            }
        }
        Err(Failure::no_answer("relays_unreachable", "the connection to the bunker's relays ended"))
    }
}

impl fmt::Debug for Bunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bunker").field("user", &self.user).finish_non_exhaustive()
    }
}

fn bad_reply(why: &str) -> Failure {
    Failure::refused("bad_reply", format!("the bunker's answer is not what was asked for: {why}"))
        .with_hint("nothing was signed; use another signer")
}

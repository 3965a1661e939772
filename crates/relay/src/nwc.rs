//! The client's side of NIP-47: calls a wallet with any number of keys over one connection, and hears
//! its notifications.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nostr::event::EventId;
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip44;
use nostr::types::Timestamp;
use protocol::event::{CheckedEvent, SignError, sign, tag_value};
use protocol::kinds::{NWC_NOTIFICATION, NWC_REPLY, NWC_REQUEST};
use protocol::nwc::{Call, CallError, Notification, WalletError};
use protocol::tag;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use units::{Clock, UnixSecs};

use crate::dialer::lock;
use crate::{Pool, PoolError, Subscription};

/// Replies and notifications are looked for from a little before our clock's now.
const CLOCK_SKEW_SECS: u64 = 600;
/// An unanswered request is sent again after this, the same event: the wallet may not have been
/// listening yet. It acts on an event once, however often it comes.
const RESEND_EVERY: Duration = Duration::from_millis(1_000);
/// Notifications that wait for their reader; a reader so far behind asks for balances instead.
const NOTIFICATIONS_MAX: usize = 1_024;

/// Why a wallet gave nothing.
#[derive(Debug, Error)]
pub enum NwcError {
    /// The wallet said no.
    #[error("the wallet refused: {0}")]
    Wallet(WalletError),
    /// Nobody answered in time. A payment may have been made: look it up, or pay the same invoice again.
    #[error("the wallet did not answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// The answer makes no sense.
    #[error("the wallet's answer is not understood")]
    Malformed(#[source] CallError),
    /// The request could not be encrypted.
    #[error("the request to the wallet could not be encrypted: {0}")]
    Encrypt(String),
    /// The request could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// A notification, with the key that it is for.
#[derive(Clone, Debug)]
pub struct WalletNews {
    /// The client's key.
    pub client: PublicKey,
    /// What happened.
    pub notification: Notification,
}

type Waiting = Arc<Mutex<HashMap<EventId, oneshot::Sender<CheckedEvent>>>>;
type Listeners = Arc<Mutex<HashMap<PublicKey, Keys>>>;

/// A connection to one wallet service.
#[derive(Debug)]
pub struct NwcClient {
    wallet: PublicKey,
    pool: Pool,
    clock: Arc<dyn Clock>,
    waiting: Waiting,
    listeners: Listeners,
    reading: tokio::task::JoinHandle<()>,
}

impl Drop for NwcClient {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl NwcClient {
    /// Subscribes to everything that the wallet sends to anybody, and returns the stream of
    /// notifications for the keys that [`Self::listen_for`] was told of. For a relay that only we and
    /// the wallet use.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn for_many(
        pool: Pool,
        wallet: PublicKey,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, mpsc::Receiver<WalletNews>), PoolError> {
        Self::start(pool, wallet, clock, None).await
    }

    /// Subscribes to what the wallet sends to one key.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn for_one(
        pool: Pool,
        wallet: PublicKey,
        keys: &Keys,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, mpsc::Receiver<WalletNews>), PoolError> {
        let (client, news) = Self::start(pool, wallet, clock, Some(keys.public_key())).await?;
        client.listen_for(keys);
        Ok((client, news))
    }

    async fn start(
        pool: Pool,
        wallet: PublicKey,
        clock: Arc<dyn Clock>,
        only: Option<PublicKey>,
    ) -> Result<(Self, mpsc::Receiver<WalletNews>), PoolError> {
        let since = Timestamp::from_secs(clock.now().minus_secs(CLOCK_SKEW_SECS).0);
        let mut filter = Filter::new().kinds([NWC_REPLY, NWC_NOTIFICATION]).author(wallet).since(since);
        if let Some(key) = only {
            filter = filter.pubkey(key);
        }
        let events = pool.subscribe(filter).await?;
        let (waiting, listeners) = (Waiting::default(), Listeners::default());
        let (news, news_rx) = mpsc::channel(NOTIFICATIONS_MAX);
        let reading = tokio::spawn(read(events, Arc::clone(&waiting), Arc::clone(&listeners), news));
        Ok((Self { wallet, pool, clock, waiting, listeners, reading }, news_rx))
    }

    /// The wallet service's key.
    #[must_use]
    pub const fn wallet(&self) -> PublicKey {
        self.wallet
    }

    /// Hears the notifications of this key from now on.
    pub fn listen_for(&self, keys: &Keys) {
        lock(&self.listeners).insert(keys.public_key(), keys.clone());
    }

    /// Hears the notifications of this key no more.
    pub fn forget(&self, key: &PublicKey) {
        lock(&self.listeners).remove(key);
    }

    /// Calls the wallet as `keys` and waits for its answer, at most `wait`.
    ///
    /// The request expires after `wait`: a wallet that comes back later does not act on it.
    ///
    /// # Errors
    /// [`NwcError`].
    pub async fn call<C: Call + Sync>(
        &self,
        keys: &Keys,
        call: &C,
        wait: Duration,
    ) -> Result<C::Reply, NwcError> {
        let now = self.clock.now();
        let request = self.request(keys, &call.request_json(), now, now + wait)?;
        let (answer, answered) = oneshot::channel();
        lock(&self.waiting).insert(request.id, answer);
        let _forget = Forget { waiting: &self.waiting, id: request.id };
        let sending = async {
            loop {
                self.pool.publish(&request).await;
                tokio::time::sleep(RESEND_EVERY).await;
            }
        };
        let reply = tokio::select! {
            reply = answered => reply.map_err(|_| NwcError::NoAnswer(wait))?,
            never = sending => never,
            () = tokio::time::sleep(wait) => return Err(NwcError::NoAnswer(wait)),
        };
        let text = decrypt(keys, &reply).ok_or(NwcError::Malformed(CallError::Ambiguous))?;
        C::parse_reply(&text).map_err(|error| match error {
            CallError::Wallet(refusal) => NwcError::Wallet(refusal),
            other @ (CallError::Json(_)
            | CallError::Result(_)
            | CallError::OtherMethod { .. }
            | CallError::Ambiguous) => NwcError::Malformed(other),
        })
    }

    fn request(
        &self,
        keys: &Keys,
        text: &str,
        now: UnixSecs,
        expires_at: UnixSecs,
    ) -> Result<CheckedEvent, NwcError> {
        let content = nip44::encrypt(keys.secret_key(), &self.wallet, text, nip44::Version::V2)
            .map_err(|e| NwcError::Encrypt(e.to_string()))?;
        let tags = vec![
            tag!["p", self.wallet.to_hex()],
            tag!["encryption", "nip44_v2"],
            tag!["expiration", expires_at.plus_secs(1)],
        ];
        Ok(sign(keys, NWC_REQUEST, now, tags, content)?)
    }
}

/// Removes a call that nobody waits for any more.
struct Forget<'c> {
    waiting: &'c Waiting,
    id: EventId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.waiting).remove(&self.id);
    }
}

async fn read(
    mut events: Subscription,
    waiting: Waiting,
    listeners: Listeners,
    news: mpsc::Sender<WalletNews>,
) {
    while let Some(event) = events.next().await {
        if event.kind == NWC_REPLY {
            let id = tag_value(&event, "e").and_then(|hex| EventId::from_hex(hex).ok());
            if let Some(answer) = id.and_then(|id| lock(&waiting).remove(&id)) {
                drop(answer.send(event));
            }
            continue;
        }
        let client = tag_value(&event, "p").and_then(|hex| PublicKey::from_hex(hex).ok());
        let keys = client.and_then(|client| lock(&listeners).get(&client).cloned());
        let Some(keys) = keys else { continue };
        let Some(text) = decrypt(&keys, &event) else { continue };
        match Notification::from_json(&text) {
            Ok(notification) => {
                let item = WalletNews { client: keys.public_key(), notification };
                if news.try_send(item).is_err() {
                    tracing::warn!("a wallet notification was dropped: nobody reads them fast enough");
                }
            }
            Err(e) => tracing::debug!("a wallet notification is not understood: {e}"),
        }
    }
}

fn decrypt(keys: &Keys, event: &CheckedEvent) -> Option<String> {
    nip44::decrypt(keys.secret_key(), &event.pubkey, &event.content).ok()
}

//! The wallet on relays: reads requests, answers them, sends notifications, announces itself.
//!
//! Inside a server there is the daemon's internal relay besides the public ones. It has connections, queues and
//! places of its own, so that billing hangs neither on the outside nor on what strangers send.

mod cipher;
mod conversations;
mod home;
mod house;
mod info;
mod keyring;
mod news;
mod receipts;
mod requests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use guard::AddressGuard;
use nostr::event::Kind;
use nostr::key::{Keys, PublicKey};
use nostr::types::url::RelayUrl;
use protocol::event::{CheckedEvent, SignError, sign};
use protocol::kinds::NWC_REPLY;
use protocol::tag;
use relay::{Pool, PoolError, PublishReport};
use thiserror::Error;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use transport::GuestClient;
use units::Clock;

use crate::service::{Connection, Door, Notice, RequestEvent, Scheme, Wallet};
use cipher::Cipher;
use house::House;
use keyring::Keyring;
use news::NewsQueue;
use receipts::Record;
use requests::Requests;

/// How long to wait for a relay before the wallet says that it is there; a relay that comes later is
/// used all the same.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Between two looks at changed connections. Whoever makes and revokes them without end makes us ask the relays
/// anew no more often.
const RELOAD_EVERY: Duration = Duration::from_secs(1);

/// Between two rounds of what is done unasked: locked-in money is sent back this soon after its time.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The wallet cannot be on relays.
#[derive(Debug, Error)]
pub enum TransportError {
    /// The relays cannot be used.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// An event could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// The server that runs this wallet as a built-in.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its guest API.
    pub guest: GuestClient,
    /// Its internal relay.
    pub internal_relay: String,
}

/// What the transport is made of.
#[derive(Debug)]
pub struct Parts {
    /// The wallet.
    pub wallet: Arc<Wallet>,
    /// The service key.
    pub keys: Keys,
    /// Public relays.
    pub relays: Vec<RelayUrl>,
    /// The server around us, if there is one.
    pub host: Option<Host>,
    /// Which relays of zap requests may be connected to.
    pub guard: AddressGuard,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The wallet on relays.
#[derive(Debug)]
pub struct Transport {
    wallet: Arc<Wallet>,
    keys: Keys,
    relays: Vec<RelayUrl>,
    host: Option<Host>,
    guard: AddressGuard,
    /// Places for connections to relays that strangers named: to those that answered last time, and to others.
    proven: Semaphore,
    unproven: Semaphore,
    /// Which of them answered.
    record: Mutex<Record>,
    /// Told when a zap is paid.
    zapped: Notify,
    keyring: Keyring,
    cipher: Cipher,
    news: NewsQueue,
    clock: Arc<dyn Clock>,
    /// The public relays.
    pool: Pool,
    /// The server's own, if there is a server around us.
    house: Option<House>,
}

impl Transport {
    /// Starts connecting to the relays.
    ///
    /// # Errors
    /// [`TransportError::Pool`].
    pub async fn new(parts: Parts) -> Result<Arc<Self>, TransportError> {
        let Parts { wallet, keys, relays, host, guard, clock } = parts;
        let builder = Pool::builder().authenticate_as(&keys).relays(relays.iter().map(ToString::to_string));
        let pool = builder.build().await?;
        let house = match &host {
            Some(host) => Some(House::connect(&keys, host, &wallet).await?),
            None => None,
        };
        let zapped = Notify::new();
        let keyring = Keyring::new(keys.clone(), &wallet.connections().borrow());
        let (cipher, news) = (Cipher::default(), NewsQueue::default());
        let (proven, unproven) = (receipts::places(), receipts::places());
        Ok(Arc::new(Self {
            wallet,
            keys,
            relays,
            host,
            guard,
            proven,
            unproven,
            record: Mutex::default(),
            zapped,
            keyring,
            cipher,
            news,
            clock,
            pool,
            house,
        }))
    }

    /// Serves until the relays are gone for good.
    ///
    /// # Errors
    /// [`TransportError`] if it cannot begin.
    pub async fn run(self: Arc<Self>) -> Result<(), TransportError> {
        // They end with this function, and if it is dropped.
        let mut tasks = JoinSet::new();
        tasks.spawn(info::keep_announced(Arc::clone(&self)));
        tasks.spawn(receipts::keep_published(Arc::clone(&self)));
        tasks.spawn(news::keep_sent(Arc::clone(&self), Door::Public));
        if self.house.is_some() {
            tasks.spawn(news::keep_sent(Arc::clone(&self), Door::House));
        }
        tasks.spawn(keep_up(Arc::clone(&self)));
        if let Some(host) = self.host.clone() {
            tasks.spawn(home::keep_told(Arc::clone(&self), host));
        }
        Requests::new(self).run().await
    }

    /// Publishes behind one door, until a relay has taken it: whoever answers has a place that a relay which says
    /// nothing must not keep.
    async fn publish(&self, door: Door, what: &str, event: &CheckedEvent) {
        let report = match (door, &self.house) {
            (Door::House, Some(house)) => house.pool.publish_first(event).await,
            (Door::House | Door::Public | Door::Web, _) => self.pool.publish_first(event).await,
        };
        if !report.is_published() {
            tracing::warn!("no relay took the {what}: {:?}", report.refused);
        }
    }

    /// Publishes everywhere, and says which relays took it.
    async fn announce(&self, event: &CheckedEvent) -> PublishReport {
        let Some(house) = &self.house else { return self.pool.publish(event).await };
        let (mut report, inside) = tokio::join!(self.pool.publish(event), house.pool.publish(event));
        report.accepted.extend(inside.accepted);
        report.refused.extend(inside.refused);
        report
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Whoever panicked left whole entries.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the service keys of these connections for ours, besides the main one.
    fn set_connections(&self, connections: &[Connection]) {
        self.keyring.set(connections);
        self.cipher.keep(|service| self.keyring.get(service).is_some());
    }

    /// Sends late answers, and lets the rest be sent when those who wait for answers have theirs.
    async fn notify_all(&self, notices: Vec<Notice>) {
        futures_util::future::join_all(notices.into_iter().map(|notice| self.notify(notice))).await;
    }

    async fn notify(&self, notice: Notice) {
        match notice {
            Notice::Wallet { to, notification } => {
                if let Some(house) = self.house.as_ref().filter(|house| house.hears(&to)) {
                    house.news.put(to, notification.clone()).await;
                }
                self.news.put(to, notification).await;
            }
            Notice::Late(answer) => {
                let Some(keys) = self.keyring.get(&answer.to.service) else { return };
                // Which door it was asked at is not on record; the server's own does not wait for the other.
                if self.house.as_ref().is_some_and(|house| house.hears(&answer.to.client)) {
                    self.reply(Door::House, &keys, &answer.to, &answer.text).await;
                }
                self.reply(Door::Public, &keys, &answer.to, &answer.text).await;
            }
            Notice::Zap => self.zapped.notify_one(),
        }
    }

    /// Answers a request, behind the door that it came through.
    async fn reply(&self, door: Door, keys: &Keys, request: &RequestEvent, text: &str) {
        let tags = vec![tag!["e", request.event.to_hex()]];
        match self.sealed(request.scheme, keys, NWC_REPLY, &request.client, text, tags) {
            Ok(reply) => self.publish(door, "reply", &reply).await,
            Err(e) => tracing::error!("a reply could not be made: {e}"),
        }
    }

    /// An event for `to`, encrypted and signed.
    fn sealed(
        &self,
        scheme: Scheme,
        keys: &Keys,
        kind: Kind,
        to: &PublicKey,
        text: &str,
        more_tags: Vec<Vec<String>>,
    ) -> Result<CheckedEvent, SealError> {
        let content = self.cipher.encrypt(scheme, keys, to, text).map_err(SealError::Encrypt)?;
        let mut tags = vec![tag!["p", to.to_hex()]];
        tags.extend(more_tags);
        Ok(sign(keys, kind, self.clock.now(), tags, content)?)
    }
}

/// Does the wallet's upkeep until the task is aborted.
async fn keep_up(transport: Arc<Transport>) {
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        let (wallet, now) = (Arc::clone(&transport.wallet), transport.clock.now());
        match tokio::task::spawn_blocking(move || wallet.upkeep(now)).await {
            Ok(Ok(notices)) => transport.notify_all(notices).await,
            Ok(Err(e)) => tracing::error!("the wallet's upkeep failed: {e}"),
            Err(e) => tracing::error!("the wallet's upkeep ended: {e}"),
        }
    }
}

#[derive(Debug, Error)]
enum SealError {
    #[error("encryption: {0}")]
    Encrypt(String),
    #[error(transparent)]
    Sign(#[from] SignError),
}

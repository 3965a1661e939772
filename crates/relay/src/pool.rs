//! Connections to several relays.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use guard::AddressGuard;
use nostr::filter::Filter;
use nostr::key::Keys;
use nostr::message::SubscriptionId;
use nostr::types::{RelayUrl, Url};
use nostr_sdk::authenticator::SignerAuthenticator;
use nostr_sdk::client::Client;
use nostr_sdk::relay::RelayStatus as SdkStatus;
use protocol::event::CheckedEvent;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};

use crate::acks::Acks;
use crate::dialer::{BACKOFF_MAX, Dialer, Headers};
use crate::publish::LATE_MAX;
use crate::queue::{QueueSender, queue};
use crate::reopen;
use crate::rpc::RateLimit;
use crate::subscription::{QUEUE_BYTES_MAX, QUEUE_MAX, Route, Routes, Subscription, dispatch};

/// The dialer waits before an attempt, not the library, which would wait at least a second.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// Covers the longest backoff and a slow handshake.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(BACKOFF_MAX.as_secs() + 15);
/// Notifications of all relays that wait for dispatch.
const NOTIFICATIONS_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");
/// The same of a pool that only publishes: the OKs of a few events.
const NOTIFICATIONS_OF_PUBLISHER_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");
/// Events that one fetch takes, whatever the relays hold.
const FETCH_EVENTS_MAX: usize = 1_000;

/// Why a pool cannot be used so.
#[derive(Debug, Error)]
pub enum PoolError {
    /// Not a relay's address.
    #[error("{url:?} is not a relay's address: it must begin with wss:// or ws://")]
    Url {
        /// What was given.
        url: String,
    },
    /// A header cannot be sent.
    #[error("the header {0} cannot be sent")]
    Header(&'static str),
    /// The pool has no relay.
    #[error("no relay is configured")]
    NoRelay,
    /// The library refused.
    #[error("the relays could not be asked")]
    Library(#[source] nostr_sdk::error::Error),
}

/// How a relay is doing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RelayStatus {
    /// Its address.
    pub url: String,
    /// Whether it is connected now.
    pub connected: bool,
}

/// Sets up a [`Pool`].
#[derive(Debug, Default)]
pub struct PoolBuilder {
    guard: Option<AddressGuard>,
    relays: Vec<(String, Headers)>,
    identity: Option<Keys>,
    publishes_only: bool,
}

impl PoolBuilder {
    /// Proves to relays that ask for it (NIP-42) that we are the holder of `keys`.
    #[must_use]
    pub fn authenticate_as(mut self, keys: &Keys) -> Self {
        self.identity = Some(keys.clone());
        self
    }

    /// Lets every connection pass the address guard. For relays that a stranger named.
    #[must_use]
    pub fn guard(mut self, guard: AddressGuard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// For a pool that publishes a few events and reads nothing, of which there may be many side by side: its
    /// channels are small.
    #[must_use]
    pub const fn publishes_only(mut self) -> Self {
        self.publishes_only = true;
        self
    }

    /// Adds relays.
    #[must_use]
    pub fn relays<S: Into<String>>(mut self, urls: impl IntoIterator<Item = S>) -> Self {
        self.relays.extend(urls.into_iter().map(|url| (url.into(), Vec::new())));
        self
    }

    /// Adds a relay that is told a secret in a header.
    ///
    /// # Errors
    /// [`PoolError::Header`] if `value` cannot be a header's value.
    pub fn relay_with_header(
        mut self,
        url: impl Into<String>,
        name: &'static str,
        value: &str,
    ) -> Result<Self, PoolError> {
        let mut value = HeaderValue::from_str(value).map_err(|_| PoolError::Header(name))?;
        value.set_sensitive(true);
        self.relays.push((url.into(), vec![(HeaderName::from_static(name), value)]));
        Ok(self)
    }

    const fn notifications_max(&self) -> NonZeroUsize {
        if self.publishes_only { NOTIFICATIONS_OF_PUBLISHER_MAX } else { NOTIFICATIONS_MAX }
    }

    /// Starts connecting to every relay, without waiting for any.
    ///
    /// # Errors
    /// [`PoolError`] if an address cannot be read.
    pub async fn build(self) -> Result<Pool, PoolError> {
        let (acks, notifications_max) = (Acks::default(), self.notifications_max());
        let dialer = Arc::new(Dialer::new(self.guard, acks.clone()));
        let mut client = Client::builder()
            .websocket_transport(Arc::clone(&dialer))
            .connect_timeout(CONNECT_WAIT_MAX)
            .notification_channel_size(notifications_max);
        let authenticates = self.identity.is_some();
        if let Some(keys) = self.identity {
            client = client.authenticator(SignerAuthenticator::new(keys));
        }
        let client = client.build();
        let routes: Routes = Arc::new(Mutex::default());
        let dispatching = tokio::spawn(dispatch(client.clone(), Arc::clone(&routes), acks.clone()));
        let late = Arc::new(Semaphore::new(LATE_MAX));
        let connections = Arc::new(Connections { client, routes, acks, authenticates, late, dispatching });
        let pool = Pool { dialer, connections };
        for (url, headers) in self.relays {
            pool.add_with_headers(&url, headers).await?;
        }
        Ok(pool)
    }
}

/// Connections to relays, kept up by reconnecting with backoff. Cheap to clone; the connections end
/// with the last clone and the last subscription.
#[derive(Clone, Debug)]
pub struct Pool {
    dialer: Arc<Dialer>,
    pub(crate) connections: Arc<Connections>,
}

#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) client: Client,
    pub(crate) routes: Routes,
    pub(crate) acks: Acks,
    /// Whether we prove to relays who we are.
    pub(crate) authenticates: bool,
    /// Places of events that one relay took and others still owe an OK for.
    pub(crate) late: Arc<Semaphore>,
    dispatching: tokio::task::JoinHandle<()>,
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.dispatching.abort();
        let client = self.client.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { client.shutdown().await });
        }
    }
}

impl Pool {
    /// Sets up a pool.
    #[must_use]
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }

    /// A pool of these relays.
    ///
    /// # Errors
    /// [`PoolError`] if an address cannot be read.
    pub async fn connect<S: Into<String>>(urls: impl IntoIterator<Item = S>) -> Result<Self, PoolError> {
        Self::builder().relays(urls).build().await
    }

    /// Adds a relay and starts connecting to it. Subscriptions made before do not reach it.
    ///
    /// # Errors
    /// [`PoolError::Url`].
    pub async fn add(&self, url: &str) -> Result<(), PoolError> {
        self.add_with_headers(url, Vec::new()).await
    }

    async fn add_with_headers(&self, url: &str, headers: Headers) -> Result<(), PoolError> {
        let parsed = parse_url(url)?;
        if !headers.is_empty() {
            let url = Url::parse(parsed.as_str()).map_err(|_| PoolError::Url { url: url.to_owned() })?;
            self.dialer.set_headers(url, headers);
        }
        let adding = self
            .connections
            .client
            .add_relay(parsed)
            .retry_interval(RETRY_INTERVAL)
            .adjust_retry_interval(false)
            .connect_timeout(CONNECT_WAIT_MAX)
            .and_connect();
        adding.await.map(drop).map_err(PoolError::Library)
    }

    /// Waits until at least one relay is connected, or `wait` is over; says whether one is.
    pub async fn wait_connected(&self, wait: Duration) -> bool {
        let connected = async {
            while !self.status().await.iter().any(|relay| relay.connected) {
                // The library tells of no such event; this is a matter of milliseconds.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(wait, connected).await.is_ok()
    }

    /// How each relay is doing.
    pub async fn status(&self) -> Vec<RelayStatus> {
        let relays = self.connections.client.relays().await;
        let status = |relay: &nostr_sdk::relay::Relay| RelayStatus {
            url: relay.url().to_string(),
            connected: relay.status() == SdkStatus::Connected,
        };
        relays.values().map(status).collect()
    }

    /// Counts the connections that were made; told with each, so also after every reconnect.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<u64> {
        self.dialer.connected()
    }

    /// Subscribes on every relay of the pool, now and after each reconnect.
    ///
    /// # Errors
    /// [`PoolError`] if the pool has no relay.
    pub async fn subscribe(&self, filter: Filter) -> Result<Subscription, PoolError> {
        self.subscribe_routed(filter.clone(), |events| Route::new(filter, events)).await
    }

    /// The same, with a bound on what each relay may deliver; what is beyond it is dropped unread.
    ///
    /// # Errors
    /// [`PoolError`] if the pool has no relay.
    pub async fn subscribe_limited(
        &self,
        filter: Filter,
        limit: RateLimit,
    ) -> Result<Subscription, PoolError> {
        self.subscribe_routed(filter.clone(), |events| Route::new(filter, events).limited(limit)).await
    }

    async fn subscribe_routed(
        &self,
        filter: Filter,
        route: impl FnOnce(QueueSender<CheckedEvent>) -> Route,
    ) -> Result<Subscription, PoolError> {
        let id = SubscriptionId::generate();
        let (events, receiver) = queue(QUEUE_MAX, QUEUE_BYTES_MAX);
        // The route stands before the first event can come.
        crate::dialer::lock(&self.connections.routes).insert(id.clone(), route(events));
        let subscription =
            Subscription { id: id.clone(), events: receiver, connections: Arc::clone(&self.connections) };
        let Connections { client, routes, .. } = self.connections.as_ref();
        let asked = client.subscribe(filter).with_id(id.clone()).await.map_err(PoolError::Library)?;
        for (relay, why) in &asked.failed {
            reopen::later(client, routes, relay, &id, why);
        }
        Ok(subscription)
    }

    /// Fetches what the relays hold, checked, newest first; gives up on slow relays after `wait`.
    ///
    /// # Errors
    /// [`PoolError`] if the pool has no relay.
    pub async fn fetch(&self, filter: Filter, wait: Duration) -> Result<Vec<CheckedEvent>, PoolError> {
        self.fetch_at_most(filter, wait, FETCH_EVENTS_MAX).await
    }

    /// The same, and takes no more than `events_max` events whatever the relays send: for relays that a
    /// stranger named.
    ///
    /// # Errors
    /// [`PoolError`] if the pool has no relay.
    pub async fn fetch_at_most(
        &self,
        filter: Filter,
        wait: Duration,
        events_max: usize,
    ) -> Result<Vec<CheckedEvent>, PoolError> {
        let fetched = self
            .connections
            .client
            .fetch_events(filter.clone())
            .timeout(wait)
            .max_events(events_max)
            .await
            .map_err(PoolError::Library)?;
        let wanted =
            |event: &CheckedEvent| filter.match_event(event, nostr::filter::MatchEventOptions::default());
        let mut events: Vec<_> =
            fetched.into_iter().filter_map(|event| CheckedEvent::check(event).ok()).filter(wanted).collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.created_at()));
        Ok(events)
    }
}

pub(crate) fn parse_url(url: &str) -> Result<RelayUrl, PoolError> {
    RelayUrl::parse(url).map_err(|_| PoolError::Url { url: url.to_owned() })
}

//! The wallet on relays: reads requests, answers them, sends notifications, announces itself.
//!
//! Public relays and, inside a server, the daemon's internal one are treated alike, so that billing
//! does not hang on the outside.

mod cipher;
mod home;
mod info;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use nostr::event::Kind;
use nostr::key::{Keys, PublicKey};
use nostr::types::url::RelayUrl;
use protocol::event::{CheckedEvent, SignError, sign};
use protocol::guest::TOKEN_HEADER;
use protocol::kinds::{NWC_NOTIFICATION, NWC_NOTIFICATION_NIP04};
use protocol::tag;
use relay::request_log::RequestLog;
use relay::{Pool, PoolError};
use thiserror::Error;
use transport::GuestClient;
use units::Clock;

use crate::service::{Notice, Wallet};
use cipher::Cipher;
use requests::Requests;

/// How long to wait for a relay before the wallet says that it is there; a relay that comes later is
/// used all the same.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

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
    /// What was answered before.
    pub log: RequestLog,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The wallet on relays.
#[derive(Debug)]
pub struct Transport {
    wallet: Arc<Wallet>,
    keys: Keys,
    host: Option<Host>,
    log: RequestLog,
    clock: Arc<dyn Clock>,
    pool: Pool,
}

impl Transport {
    /// Starts connecting to the relays.
    ///
    /// # Errors
    /// [`TransportError::Pool`].
    pub async fn new(parts: Parts) -> Result<Arc<Self>, TransportError> {
        let Parts { wallet, keys, relays, host, log, clock } = parts;
        let mut builder = Pool::builder().relays(relays.iter().map(ToString::to_string));
        if let Some(host) = &host {
            builder = builder.relay_with_header(&host.internal_relay, TOKEN_HEADER, host.guest.token())?;
        }
        let pool = builder.build().await?;
        Ok(Arc::new(Self { wallet, keys, host, log, clock, pool }))
    }

    /// Serves until the relays are gone for good.
    ///
    /// # Errors
    /// [`TransportError`] if it cannot begin.
    pub async fn run(self: Arc<Self>) -> Result<(), TransportError> {
        let subscription = Requests::subscribe(&self).await?;
        if !self.pool.wait_connected(CONNECT_WAIT).await {
            tracing::warn!("no relay answers yet");
        }
        let announcing = tokio::spawn(info::keep_announced(Arc::clone(&self)));
        let telling = self.host.clone().map(|host| tokio::spawn(home::keep_told(Arc::clone(&self), host)));
        Requests::new(Arc::clone(&self)).run(subscription).await;
        announcing.abort();
        if let Some(telling) = telling {
            telling.abort();
        }
        Ok(())
    }

    async fn publish(&self, what: &str, event: &CheckedEvent) {
        let report = self.pool.publish(event).await;
        if !report.is_published() {
            tracing::warn!("no relay took the {what}: {:?}", report.refused);
        }
    }

    /// Sends what somebody is to be told unasked.
    async fn notify(&self, notice: Notice) {
        match notice {
            Notice::Wallet { to, notification } => {
                let text = notification.to_json();
                for (cipher, kind) in
                    [(Cipher::Nip44, NWC_NOTIFICATION), (Cipher::Nip04, NWC_NOTIFICATION_NIP04)]
                {
                    match self.sealed(cipher, kind, &to, &text, Vec::new()) {
                        Ok(event) => self.publish("notification", &event).await,
                        Err(e) => tracing::error!("a notification could not be made: {e}"),
                    }
                }
            }
            Notice::Zap(receipt) => {
                tracing::info!(
                    relays = receipt.relays.len(),
                    "zap receipts are not published by this version"
                );
            }
        }
    }

    /// An event for `to`, encrypted and signed.
    fn sealed(
        &self,
        cipher: Cipher,
        kind: Kind,
        to: &PublicKey,
        text: &str,
        more_tags: Vec<Vec<String>>,
    ) -> Result<CheckedEvent, SealError> {
        let content = cipher.encrypt(&self.keys, to, text).map_err(SealError::Encrypt)?;
        let mut tags = vec![tag!["p", to.to_hex()]];
        tags.extend(more_tags);
        Ok(sign(&self.keys, kind, self.clock.now(), tags, content)?)
    }
}

#[derive(Debug, Error)]
enum SealError {
    #[error("encryption: {0}")]
    Encrypt(String),
    #[error(transparent)]
    Sign(#[from] SignError),
}

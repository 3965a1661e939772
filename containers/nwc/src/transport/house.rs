//! The server's internal relay: a pool of its own, which strangers can neither reach nor fill.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use nostr::key::{Keys, PublicKey};
use protocol::guest::TOKEN_HEADER;
use relay::{Pool, PoolError};

use super::Host;
use super::news::NewsQueue;
use crate::service::Wallet;

/// Keys that are remembered as the server's: more than it ever has containers. If there are more, everything
/// is told behind its door.
const KEYS_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct House {
    pub(super) pool: Pool,
    /// Notifications for its keys.
    pub(super) news: NewsQueue,
    /// The server's key and those of its containers, as far as they were seen.
    keys: Mutex<HashSet<PublicKey>>,
}

impl House {
    /// Starts connecting to the internal relay.
    pub(super) async fn connect(keys: &Keys, host: &Host, wallet: &Wallet) -> Result<Self, PoolError> {
        let builder = Pool::builder().authenticate_as(keys);
        let builder = builder.relay_with_header(&host.internal_relay, TOKEN_HEADER, host.guest.token())?;
        let known = wallet.payees_of_house(KEYS_MAX).unwrap_or_else(|e| {
            tracing::error!("the server's keys could not be read: {e}");
            Vec::new()
        });
        let keys = Mutex::new(known.into_iter().collect());
        Ok(Self { pool: builder.build().await?, news: NewsQueue::default(), keys })
    }

    /// Notes that this key asked through this door.
    pub(super) fn note(&self, key: PublicKey) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < KEYS_MAX {
            keys.insert(key);
        }
    }

    /// Whether what is told to this key is told here.
    pub(super) fn hears(&self, key: &PublicKey) -> bool {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.len() >= KEYS_MAX || keys.contains(key)
    }
}

//! The service keys that requests may be sent to: the main one, and one for each connection.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nostr::key::{Keys, PublicKey, SecretKey};
use protocol::nwc::{Method, Notification};

use crate::service::Connection;

/// What the info event of a service key says.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    pub(super) methods: Vec<Method>,
    /// Types of notifications.
    pub(super) notifications: Vec<String>,
}

/// The keys, and what the info event of each says.
#[derive(Debug)]
pub(super) struct Keyring {
    main: Keys,
    /// Those of the connections.
    others: Mutex<HashMap<PublicKey, (Keys, Announced)>>,
}

impl Keyring {
    pub(super) fn new(main: Keys, connections: &[Connection]) -> Self {
        let ring = Self { main, others: Mutex::default() };
        ring.set(connections);
        ring
    }

    /// Replaces the keys of the connections.
    pub(super) fn set(&self, connections: &[Connection]) {
        let entry = |one: &Connection| {
            let secret = SecretKey::from_slice(one.secret.as_slice()).ok()?;
            let mut methods = one.methods.clone();
            // What tells a client of itself it may always ask.
            for own in [Method::GetInfo, Method::GetBudget] {
                if !methods.contains(&own) {
                    methods.push(own);
                }
            }
            let announced = Announced { methods, notifications: one.notifications.clone() };
            Some((one.service, (Keys::new(secret), announced)))
        };
        *self.others() = connections.iter().filter_map(entry).collect();
    }

    /// The keys of this service key, if it is one of ours.
    pub(super) fn get(&self, service: &PublicKey) -> Option<Keys> {
        if *service == self.main.public_key() {
            return Some(self.main.clone());
        }
        self.others().get(service).map(|(keys, _)| keys.clone())
    }

    /// Every service key.
    pub(super) fn public_keys(&self) -> Vec<PublicKey> {
        let others = self.others();
        std::iter::once(self.main.public_key()).chain(others.keys().copied()).collect()
    }

    /// A service key of ours, with what may be called and heard there.
    pub(super) fn announced(&self, service: &PublicKey) -> Option<(Keys, Announced)> {
        if *service != self.main.public_key() {
            return self.others().get(service).cloned();
        }
        let all = Announced {
            methods: Method::NIP.iter().chain(&Method::EXTENSIONS).cloned().collect(),
            notifications: Notification::TYPES.map(str::to_owned).to_vec(),
        };
        Some((self.main.clone(), all))
    }

    fn others(&self) -> MutexGuard<'_, HashMap<PublicKey, (Keys, Announced)>> {
        // The map is replaced whole; a panic elsewhere leaves it whole.
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! How much one container may ask, whatever it asks by and however often it connects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nostr::key::PublicKey;
use relay::rpc::{RateLimit, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::{Refusal, RefusalCode};
use crate::config::Guest;

/// Connections of one container, on either door: a handful for the app, one for what it keeps open.
pub(super) const CONNECTIONS_PER_CONTAINER: usize = 16;
/// Fetches of all containers at once: each may hold a megabyte.
const FETCHES_AT_ONCE: usize = 32;
/// Fetches of one container at once.
const FETCHES_PER_CONTAINER: usize = 2;
/// Names of one container that are looked up at once. The system goes on with one for as long as its servers are
/// silent, whoever has given up: this bounds what a container keeps busy with such names.
const NAMES_PER_CONTAINER: usize = FETCHES_PER_CONTAINER;
/// Threads that look names up for fetches: as many as there are fetches, so that none waits for another's name.
pub(crate) const NAMES_AT_ONCE: usize = FETCHES_AT_ONCE;

/// Connections that one container may make for each call that it may make. Clients make one for each call: who
/// calls too often is to be told so, and not to be cut off. A connection to the gateway costs a look into the
/// database, one to the socket costs next to nothing.
const ARRIVALS_PER_CALL: u32 = 2;
const OPENED_PER_CALL: u32 = 10;

/// What is counted.
#[derive(Debug)]
pub(super) struct Limits {
    /// By network: who it is would be looked up only for those who may connect.
    arrivals: Mutex<RateLimiter<u16>>,
    doors: Mutex<RateLimiter<PublicKey>>,
    calls: Mutex<RateLimiter<PublicKey>>,
    statements: Mutex<RateLimiter<PublicKey>>,
    fetches: Mutex<RateLimiter<PublicKey>>,
    connections: Places,
    wallets: Places,
    fetching: Places,
    names: Places,
    fetching_in_all: Arc<Semaphore>,
}

fn times(limit: RateLimit, factor: u32) -> RateLimit {
    let RateLimit { per_sec, burst } = limit;
    RateLimit { per_sec: per_sec.saturating_mul(factor), burst: burst.saturating_mul(factor) }
}

/// What a call costs besides being a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cost {
    Call,
    Statement,
    Fetch,
}

/// Room for one fetch, until it is dropped.
#[derive(Debug)]
pub(super) struct FetchPlace {
    _own: Place,
    _shared: OwnedSemaphorePermit,
}

impl Limits {
    pub(super) fn new(config: &Guest) -> Self {
        Self {
            arrivals: Mutex::new(RateLimiter::new(times(config.calls, ARRIVALS_PER_CALL))),
            doors: Mutex::new(RateLimiter::new(times(config.calls, OPENED_PER_CALL))),
            calls: Mutex::new(RateLimiter::new(config.calls)),
            statements: Mutex::new(RateLimiter::new(config.statements)),
            fetches: Mutex::new(RateLimiter::new(config.fetches)),
            connections: Places::new(CONNECTIONS_PER_CONTAINER),
            wallets: Places::new(1),
            fetching: Places::new(FETCHES_PER_CONTAINER),
            names: Places::new(NAMES_PER_CONTAINER),
            fetching_in_all: Arc::new(Semaphore::new(FETCHES_AT_ONCE)),
        }
    }

    /// Counts one call.
    pub(super) fn take(&self, pubkey: &PublicKey, cost: Cost, now_ms: u64) -> Result<(), Refusal> {
        let allow = |limiter: &Mutex<RateLimiter<PublicKey>>| {
            limiter.lock().unwrap_or_else(PoisonError::into_inner).allow(pubkey, now_ms)
        };
        let allowed = match cost {
            Cost::Call => allow(&self.calls),
            Cost::Statement => allow(&self.statements),
            Cost::Fetch => allow(&self.fetches) && allow(&self.statements),
        };
        if allowed {
            return Ok(());
        }
        Err(Refusal::new(RefusalCode::RateLimited, "too many requests; wait a second"))
    }

    /// Counts one connection over the network numbered `slot`, whatever becomes of it.
    pub(super) fn arrives(&self, slot: u16, now_ms: u64) -> bool {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).allow(&slot, now_ms)
    }

    /// Counts one connection to the container's socket, and makes room for it; none if there are too many at
    /// once, or too many in a row.
    pub(super) fn opens(&self, pubkey: PublicKey, now_ms: u64) -> Option<Place> {
        let may = self.doors.lock().unwrap_or_else(PoisonError::into_inner).allow(&pubkey, now_ms);
        may.then(|| self.connection(pubkey)).flatten()
    }

    /// Room for one more connection of this container; none if it has too many.
    pub(super) fn connection(&self, pubkey: PublicKey) -> Option<Place> {
        self.connections.take(pubkey)
    }

    /// This container's turn to ask for its connection to the wallet: one at a time.
    pub(super) fn wallet(&self, pubkey: PublicKey) -> Result<Place, Refusal> {
        self.wallets.take(pubkey).ok_or_else(|| {
            Refusal::new(RefusalCode::RateLimited, "your connection is being looked for; wait a second")
        })
    }

    /// Room for one more name of this container's, for as long as anything works on it.
    pub(super) fn name(&self, pubkey: PublicKey) -> Result<Place, Refusal> {
        self.names.take(pubkey).ok_or_else(|| {
            let why = "names of your earlier fetches are still being looked up, because their servers are \
                       silent; wait half a minute";
            Refusal::new(RefusalCode::RateLimited, why)
        })
    }

    /// Room for one more fetch of this container.
    pub(super) fn fetch(&self, pubkey: PublicKey) -> Result<FetchPlace, Refusal> {
        let own = self.fetching.take(pubkey).ok_or_else(|| {
            let why =
                format!("a container fetches {FETCHES_PER_CONTAINER} things at once; wait for one to end");
            Refusal::new(RefusalCode::RateLimited, why)
        })?;
        let shared = Arc::clone(&self.fetching_in_all).try_acquire_owned().map_err(|_| {
            Refusal::new(
                RefusalCode::ServerBusy,
                "the server fetches too much at once; ask again in a second",
            )
        })?;
        Ok(FetchPlace { _own: own, _shared: shared })
    }
}

/// A number of places for each container. Containers that hold none are not remembered.
#[derive(Clone, Debug)]
struct Places {
    each: usize,
    taken: Arc<Mutex<HashMap<PublicKey, usize>>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pubkey: PublicKey,
    taken: Arc<Mutex<HashMap<PublicKey, usize>>>,
}

impl Places {
    fn new(each: usize) -> Self {
        Self { each, taken: Arc::default() }
    }

    fn take(&self, pubkey: PublicKey) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(pubkey).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place { pubkey, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.pubkey) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.pubkey);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;

    fn keys() -> [PublicKey; 2] {
        [Keys::generate().public_key(), Keys::generate().public_key()]
    }

    #[test]
    fn one_containers_flood_takes_nothing_of_anothers() {
        let limits = Limits::new(&Guest::default());
        let [flooder, neighbour] = keys();
        let passed = (0..1_000).filter(|_| limits.take(&flooder, Cost::Call, 0).is_ok()).count();
        assert_eq!(passed, 50);
        let passed = (0..1_000).filter(|_| limits.take(&flooder, Cost::Fetch, 0).is_ok()).count();
        assert_eq!(passed, 10);
        for cost in [Cost::Call, Cost::Statement, Cost::Fetch] {
            assert!(limits.take(&neighbour, cost, 0).is_ok(), "{cost:?}");
        }
        assert_eq!(limits.take(&flooder, Cost::Call, 0).unwrap_err().code, RefusalCode::RateLimited);
        assert!(limits.take(&flooder, Cost::Call, 1_000).is_ok());
    }

    #[test]
    fn connections_in_a_row_are_counted_whether_or_not_they_last() {
        let limits = Limits::new(&Guest::default());
        let [flooder, neighbour] = keys();
        let opened = (0..1_000).filter(|_| limits.opens(flooder, 0).is_some()).count();
        let arrived = (0..1_000).filter(|_| limits.arrives(7, 0)).count();
        assert_eq!((opened, arrived), (500, 100));
        assert!(limits.opens(neighbour, 0).is_some() && limits.arrives(8, 0));
        assert!(limits.opens(flooder, 1_000).is_some() && limits.arrives(7, 1_000));
        assert!(limits.take(&flooder, Cost::Call, 0).is_ok(), "what is connected goes on");
    }

    #[test]
    fn places_are_each_containers_own_and_come_back() {
        let limits = Limits::new(&Guest::default());
        let [one, other] = keys();
        let held: Vec<_> = (0..CONNECTIONS_PER_CONTAINER).map(|_| limits.connection(one).unwrap()).collect();
        assert!(limits.connection(one).is_none() && limits.connection(other).is_some());
        drop(held);
        assert!(limits.connection(one).is_some());
        assert!(limits.connections.taken.lock().unwrap().is_empty());
        let fetches: Vec<_> = (0..FETCHES_PER_CONTAINER).map(|_| limits.fetch(one).unwrap()).collect();
        assert_eq!(limits.fetch(one).unwrap_err().code, RefusalCode::RateLimited);
        assert!(limits.fetch(other).is_ok());
        drop(fetches);
        assert!(limits.fetch(one).is_ok());
        let names: Vec<_> = (0..NAMES_PER_CONTAINER).map(|_| limits.name(one).unwrap()).collect();
        assert_eq!(limits.name(one).unwrap_err().code, RefusalCode::RateLimited);
        assert!(limits.name(other).is_ok());
        drop(names);
    }

    #[test]
    fn containers_that_take_all_their_connections_take_none_of_the_wallets() {
        let limits = Limits::new(&Guest::default());
        let others: Vec<_> = (0..80).map(|_| Keys::generate().public_key()).collect();
        let taken = others.iter().flat_map(|one| (0..100).map_while(|_| limits.connection(*one)));
        let held: Vec<_> = taken.collect();
        assert_eq!(held.len(), 80 * CONNECTIONS_PER_CONTAINER);
        assert!(limits.connection(Keys::generate().public_key()).is_some());
    }
}

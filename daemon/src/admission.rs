//! Who is let in when many ask: so many commands of one key at once, so many questions to registries, and
//! those of strangers apart from those of customers. One count for all ways in.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nostr::key::PublicKey;
use protocol::rpc::{Code, Failure};
use relay::rpc::Caller;
use tokio::sync::{Semaphore, SemaphorePermit};
use units::UnixSecs;

use crate::config::Messages;
use crate::store::{FreeQuota, Store};

/// Requests of one key that may wait for something at once, over all ways in: more than a program needs,
/// and few enough that one key does not fill a way in, however slow its container is.
const PER_KEY_MAX: usize = 16;
/// Questions to registries at once, by keys that never paid. Anybody can make them, and choose a registry
/// that never answers.
const FREE_MAX: usize = 12;
/// The same by keys that paid. Together they are fewer than what [`crate::image::ImageStore`] does at
/// once, so that nobody waits there for a stranger.
const PAYING_MAX: usize = 16;
/// The same by one key that paid: a registry that never answers holds a place for most of a minute, and one
/// customer must not take all of them.
const PAYING_PER_KEY: usize = 3;

/// Quotes for proof of work within an hour, after which each takes one bit more, which is twice the work. Work
/// is cheap for who has machines: it buys more than nothing, and not everything.
const WORKED_STEP: u32 = 100;
const HOUR_SECS: u64 = 3_600;

/// Lets requests in.
#[derive(Debug)]
pub struct Admission {
    worked: Mutex<Worked>,
    waiting: Mutex<HashMap<PublicKey, usize>>,
    /// Questions to registries under way, by the keys that paid.
    looking: Mutex<HashMap<PublicKey, usize>>,
    free: Semaphore,
    paying: Semaphore,
}

/// Quotes that were given for proof of work.
#[derive(Debug, Default)]
struct Worked {
    hour: u64,
    taken: u32,
}

impl Worked {
    /// What the next one takes, in bits.
    fn wanted(&mut self, rules: &Messages, now: UnixSecs) -> u8 {
        let hour = now.0 / HOUR_SECS;
        if self.hour != hour {
            *self = Self { hour, taken: 0 };
        }
        let more = u8::try_from(self.taken / WORKED_STEP).unwrap_or(u8::MAX);
        rules.work_bits.saturating_add(more)
    }
}

/// A request that may wait for something, until this is dropped.
#[derive(Debug)]
pub struct InFlight<'a> {
    /// Gives the place back.
    _own: Option<Own<'a>>,
}

/// The right to ask a registry, until this is dropped.
#[derive(Debug)]
pub struct Asking<'a> {
    /// Gives the place back.
    _permit: SemaphorePermit<'a>,
    /// And the key's own.
    _own: Option<Own<'a>>,
}

/// One of the places that a key has, until this is dropped.
#[derive(Debug)]
struct Own<'a> {
    taken: &'a Mutex<HashMap<PublicKey, usize>>,
    by: PublicKey,
}

impl<'a> Own<'a> {
    /// Takes one of the `max` places of `by`, if there is one.
    fn take(taken: &'a Mutex<HashMap<PublicKey, usize>>, by: PublicKey, max: usize) -> Option<Self> {
        let mut all = lock(taken);
        let own = all.entry(by).or_default();
        if *own >= max {
            return None;
        }
        *own += 1;
        drop(all);
        Some(Self { taken, by })
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            worked: Mutex::default(),
            waiting: Mutex::default(),
            looking: Mutex::default(),
            free: Semaphore::new(FREE_MAX),
            paying: Semaphore::new(PAYING_MAX),
        }
    }
}

impl Admission {
    /// Takes one of the places of `caller`. What is answered from memory takes none.
    ///
    /// # Errors
    /// [`Code::ServerBusy`] if all of them are taken.
    pub(crate) fn begin(&self, caller: &PublicKey, method: &str) -> Result<InFlight<'_>, Failure> {
        if is_instant(method) {
            return Ok(InFlight { _own: None });
        }
        let own = Own::take(&self.waiting, *caller, PER_KEY_MAX).ok_or_else(|| {
            let message = format!(
                "{PER_KEY_MAX} requests of this key are under way; wait until some are answered, and ask again"
            );
            Failure::new(Code::ServerBusy, message)
        })?;
        Ok(InFlight { _own: Some(own) })
    }

    /// Lets `caller` have a registry asked: who paid before as often as they like, others within what is
    /// free, or with proof of work.
    ///
    /// # Errors
    /// [`Code::QuotaUsed`], [`Code::ServerBusy`].
    pub(crate) fn ask_registry(
        &self,
        store: &Store,
        rules: &Messages,
        caller: &Caller,
        now: UnixSecs,
    ) -> Result<Asking<'_>, Failure> {
        let fault = |e| {
            tracing::error!("what is free cannot be counted: {e}");
            Failure::new(Code::Internal, "a fault of the server; ask again in a minute")
        };
        let busy = |_| {
            Failure::new(Code::ServerBusy, "too many images are being looked up; ask again in a few seconds")
        };
        if store.has_paid(&caller.pubkey).map_err(fault)? {
            let own = Own::take(&self.looking, caller.pubkey, PAYING_PER_KEY).ok_or_else(|| {
                let message = format!(
                    "{PAYING_PER_KEY} images are being looked up for this key; ask again when one has been"
                );
                Failure::new(Code::ServerBusy, message)
            })?;
            return Ok(Asking { _permit: self.paying.try_acquire().map_err(busy)?, _own: Some(own) });
        }
        // Before it is counted: who is sent away for now has had nothing.
        let permit = self.free.try_acquire().map_err(busy)?;
        let free =
            FreeQuota { per_key_and_day: rules.free_quotes_per_key, per_hour: rules.free_quotes_per_hour };
        if self.has_worked(rules, caller, now) || store.take_free(&caller.pubkey, free, now).map_err(fault)? {
            return Ok(Asking { _permit: permit, _own: None });
        }
        let message = format!(
            "the free quotes are used up for now; ask again tomorrow, or with {} bits of proof of work \
             (NIP-13) in the event, or from a key that has paid here before",
            self.work_wanted(rules, now)
        );
        Err(Failure::new(Code::QuotaUsed, message))
    }

    /// The proof of work for which a quote is given now, in bits; 0 if none is.
    pub(crate) fn work_wanted(&self, rules: &Messages, now: UnixSecs) -> u8 {
        if rules.work_bits == 0 {
            return 0;
        }
        lock(&self.worked).wanted(rules, now)
    }

    fn has_worked(&self, rules: &Messages, caller: &Caller, now: UnixSecs) -> bool {
        let mut worked = lock(&self.worked);
        let is_enough = rules.work_bits > 0 && caller.work_bits >= worked.wanted(rules, now);
        worked.taken += u32::from(is_enough);
        is_enough
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Own<'_> {
    fn drop(&mut self) {
        let mut all = lock(self.taken);
        match all.get_mut(&self.by) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(all.remove(&self.by)),
        }
    }
}

/// True for a method that waits for nobody: neither for a container, nor the engine, the wallet, a registry.
fn is_instant(method: &str) -> bool {
    matches!(method, "ping" | "price" | "info" | "status" | "list" | "events" | "upgrades")
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;
    use crate::store::tests::Fixture;

    const NOW: UnixSecs = UnixSecs(1_800_000_000);
    const RULES: Messages =
        Messages { enabled: true, free_quotes_per_key: 2, free_quotes_per_hour: 1_000, work_bits: 12 };

    const NO_FREE: Messages = Messages { free_quotes_per_key: 0, ..RULES };

    fn stranger() -> Caller {
        Caller { pubkey: Keys::generate().public_key(), work_bits: 0 }
    }

    #[track_caller]
    fn code<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> Code {
        outcome.expect_err("let in").code
    }

    #[test]
    fn key_has_so_many_requests_under_way_and_takes_nobody_elses() {
        let (admission, [slow, other]) = (Admission::default(), [stranger(), stranger()]);
        let begin = |caller: &Caller, method| admission.begin(&caller.pubkey, method);
        let mut held: Vec<_> = (0..PER_KEY_MAX).map(|_| begin(&slow, "pause").unwrap()).collect();
        assert_eq!(code(begin(&slow, "logs")), Code::ServerBusy);
        assert!(begin(&slow, "status").is_ok(), "what waits for nothing is answered");
        assert!(begin(&other, "pause").is_ok());
        held.pop();
        assert!(begin(&slow, "logs").is_ok());
        drop(held);
        assert!(lock(&admission.waiting).is_empty());
    }

    #[test]
    fn free_questions_are_counted_for_each_key_and_work_lifts_that() {
        let (admission, fixture, caller) = (Admission::default(), Fixture::new(), stranger());
        let ask = |caller: &Caller| admission.ask_registry(&fixture.store, &RULES, caller, NOW);
        assert!(ask(&caller).is_ok() && ask(&caller).is_ok());
        assert_eq!(code(ask(&caller)), Code::QuotaUsed);
        assert_eq!(code(ask(&Caller { work_bits: 11, ..caller })), Code::QuotaUsed);
        assert!(ask(&Caller { work_bits: 12, ..caller }).is_ok());
        assert!(ask(&stranger()).is_ok());
    }

    #[test]
    fn work_becomes_dearer_the_more_is_done_in_an_hour() {
        let (admission, fixture) = (Admission::default(), Fixture::new());
        let ask = |work_bits, now| {
            let caller = Caller { pubkey: Keys::generate().public_key(), work_bits };
            admission.ask_registry(&fixture.store, &NO_FREE, &caller, now).map(drop)
        };
        for _ in 0..WORKED_STEP {
            ask(12, NOW).unwrap();
        }
        assert_eq!(admission.work_wanted(&NO_FREE, NOW), 13);
        assert_eq!(code(ask(12, NOW)), Code::QuotaUsed);
        assert!(ask(13, NOW).is_ok());
        assert!(ask(12, NOW.plus_secs(HOUR_SECS)).is_ok());
        let none = Messages { work_bits: 0, ..NO_FREE };
        assert_eq!(admission.work_wanted(&none, NOW), 0);
    }

    #[test]
    fn strangers_take_no_place_of_customers() {
        let (admission, fixture) = (Admission::default(), Fixture::new());
        let ask = |caller: &Caller| admission.ask_registry(&fixture.store, &RULES, caller, NOW);
        let customer = Caller { pubkey: fixture.paid(NOW), work_bits: 0 };
        let held: Vec<_> = (0..FREE_MAX).map(|_| ask(&stranger()).unwrap()).collect();
        let late = stranger();
        assert_eq!(code(ask(&late)), Code::ServerBusy);
        for _ in 0..3 {
            assert!(ask(&customer).is_ok(), "a customer waits for strangers");
        }
        drop(held);
        for _ in 0..2 {
            assert!(ask(&late).is_ok(), "who was sent away has had nothing");
        }
        let customers: Vec<_> =
            (0..PAYING_MAX).map(|_| Caller { pubkey: fixture.paid(NOW), work_bits: 0 }).collect();
        let held: Vec<_> = customers.iter().map(|one| ask(one).unwrap()).collect();
        assert_eq!(code(ask(&customer)), Code::ServerBusy);
        assert!(ask(&stranger()).is_ok());
        drop(held);
    }

    #[test]
    fn customer_takes_no_place_of_other_customers() {
        let (admission, fixture) = (Admission::default(), Fixture::new());
        let ask = |caller: &Caller| admission.ask_registry(&fixture.store, &RULES, caller, NOW);
        let [slow, other] = [(); 2].map(|()| Caller { pubkey: fixture.paid(NOW), work_bits: 0 });
        let held: Vec<_> = (0..PAYING_MAX).map_while(|_| ask(&slow).ok()).collect();
        assert_eq!(held.len(), PAYING_PER_KEY);
        assert_eq!(code(ask(&slow)), Code::ServerBusy);
        assert!(ask(&other).is_ok(), "a customer waits for another's registry");
        drop(held);
        assert!(ask(&slow).is_ok() && lock(&admission.looking).is_empty());
    }
}

//! Who may have invoices made for a container's balance, and how many. Anybody may pay for anybody's
//! container, but each invoice is a request to the wallet with the *container's* key: without a bound strangers
//! would use up what the wallet grants that key, and its charges would come too late.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nostr::key::PublicKey;
use protocol::rpc::enclaved::Invoice;
use protocol::rpc::{Code, Failure};
use tokio::sync::{Semaphore, SemaphorePermit};
use units::{Msat, UnixSecs};

use crate::quota::Quota;
use crate::store::{Container, Store, StoreError};

/// Invoices that one key has made in a day for containers that are not its own, and all such keys in an hour.
/// A payer needs one for each payment; keys cost nothing, so that the second number is the one that holds.
const PER_PAYER: u32 = 20;
const PAYERS_PER_HOUR: u32 = 600;
/// Invoices that others have made for one container in a day: far fewer than the wallet keeps open for a key.
const PER_CONTAINER: u32 = 100;
/// Invoices that an owner who has paid before has made in a day for containers of its own, and all such owners in
/// an hour.
const PER_OWNER: u32 = 500;
const OWNERS_PER_HOUR: u32 = 10_000;
/// Requests to the wallet at once, of owners and of others: what is left of the wallet is for charges.
const OWNERS_AT_ONCE: usize = 4;
const OTHERS_AT_ONCE: usize = 2;
/// Open invoices that are remembered, to be given again.
const OPEN_MAX: usize = 4_096;
/// An invoice is given again only while there is time to pay it.
const TIME_TO_PAY_SECS: u64 = 120;

/// What is asked for: two of the same are one invoice.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Wish {
    /// Who asks.
    pub(crate) payer: PublicKey,
    /// Whether the container is the payer's own, and the payer somebody who has paid.
    pub(crate) is_owner: bool,
    /// The container whose balance is to rise.
    pub(crate) container: PublicKey,
    /// By how much.
    pub(crate) amount: Msat,
}

impl Wish {
    /// What `payer` asks for. A launch costs nothing before it is paid: until its key has paid for something, it is
    /// a stranger's like any other, or owners could be as many as strangers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn new(
        store: &Store,
        payer: PublicKey,
        container: &Container,
        amount: Msat,
    ) -> Result<Self, StoreError> {
        let is_owner = container.owner() == Some(&payer) && store.has_paid(&payer)?;
        Ok(Self { payer, is_owner, container: container.pubkey(), amount })
    }
}

/// Permission to ask the wallet, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(#[expect(dead_code, reason = "held")] SemaphorePermit<'a>);

/// What there is for a wish.
#[derive(Debug)]
pub(crate) enum Admission<'a> {
    /// The invoice that was made for the same wish.
    Known(Box<Invoice>),
    /// A new one may be made.
    New(Turn<'a>),
}

/// Counts and remembers. Forgotten with the process.
#[derive(Debug)]
pub struct Topups {
    state: Mutex<State>,
    owners: Semaphore,
    others: Semaphore,
}

#[derive(Debug)]
struct State {
    open: HashMap<Wish, Invoice>,
    owners: Quota,
    payers: Quota,
    containers: Quota,
}

impl Default for Topups {
    fn default() -> Self {
        let state = State {
            open: HashMap::new(),
            owners: Quota::new(PER_OWNER, OWNERS_PER_HOUR),
            payers: Quota::new(PER_PAYER, PAYERS_PER_HOUR),
            containers: Quota::new(PER_CONTAINER, PAYERS_PER_HOUR),
        };
        Self {
            state: Mutex::new(state),
            owners: Semaphore::new(OWNERS_AT_ONCE),
            others: Semaphore::new(OTHERS_AT_ONCE),
        }
    }
}

impl Topups {
    /// Whether the wallet may be asked for this, or need not be.
    ///
    /// # Errors
    /// [`Code::ServerBusy`], [`Code::QuotaUsed`].
    pub(crate) fn admit(&self, wish: &Wish, now: UnixSecs) -> Result<Admission<'_>, Failure> {
        let mut state = self.lock();
        if let Some(invoice) = state.open.get(wish).filter(|invoice| can_be_paid(invoice, now)) {
            return Ok(Admission::Known(Box::new(invoice.clone())));
        }
        let places = if wish.is_owner { &self.owners } else { &self.others };
        let turn = places.try_acquire().map_err(|_| {
            let message = "too many ask for invoices at once; ask again in a second";
            Failure::new(Code::ServerBusy, message)
        })?;
        if state.take(wish, now) {
            return Ok(Admission::New(Turn(turn)));
        }
        let message = "there were too many invoices for this container or of this key; pay one of them, or ask \
                       again in an hour";
        Err(Failure::new(Code::QuotaUsed, message))
    }

    /// Remembers what was made, to give it again.
    pub(crate) fn made(&self, wish: Wish, invoice: Invoice, now: UnixSecs) {
        let mut state = self.lock();
        if state.open.len() >= OPEN_MAX {
            state.open.retain(|_, invoice| can_be_paid(invoice, now));
        }
        if state.open.len() < OPEN_MAX {
            state.open.insert(wish, invoice);
        }
    }

    /// An invoice was paid, and is not given again.
    pub(crate) fn paid(&self, payment_hash: &str) {
        self.lock().open.retain(|_, invoice| invoice.payment_hash != payment_hash);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, wish: &Wish, now: UnixSecs) -> bool {
        if wish.is_owner {
            return self.owners.take(&wish.payer, now);
        }
        // What one of them refuses must not use up the other, which is everybody's.
        let may = self.payers.has_left(&wish.payer, now) && self.containers.has_left(&wish.container, now);
        may && self.payers.take(&wish.payer, now) && self.containers.take(&wish.container, now)
    }
}

fn can_be_paid(invoice: &Invoice, now: UnixSecs) -> bool {
    invoice.expires_at > now.plus_secs(TIME_TO_PAY_SECS)
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;
    use crate::store::Room;
    use crate::store::tests::{Fixture, ROOM, launch};

    const NOW: UnixSecs = UnixSecs(1_800_000_000);

    fn key() -> PublicKey {
        Keys::generate().public_key()
    }

    fn wish(payer: PublicKey, container: PublicKey, msat: i64) -> Wish {
        Wish { payer, is_owner: false, container, amount: Msat::new(msat) }
    }

    fn invoice(hash: &str) -> Invoice {
        Invoice {
            direction: "incoming".into(),
            invoice: format!("lnbc{hash}"),
            description: None,
            payment_hash: hash.into(),
            amount: Msat::new(1_000),
            created_at: NOW,
            expires_at: NOW.plus_secs(600),
        }
    }

    fn is_new(topups: &Topups, wish: &Wish, now: UnixSecs) -> bool {
        matches!(topups.admit(wish, now), Ok(Admission::New(_)))
    }

    fn code(topups: &Topups, wish: &Wish, now: UnixSecs) -> Code {
        topups.admit(wish, now).unwrap_err().code
    }

    #[test]
    fn same_wish_gets_the_same_invoice_until_it_is_paid_or_late() {
        let (topups, asked) = (Topups::default(), wish(key(), key(), 1_000));
        assert!(is_new(&topups, &asked, NOW));
        topups.made(asked, invoice("aa"), NOW);
        for _ in 0..1_000 {
            let Ok(Admission::Known(known)) = topups.admit(&asked, NOW) else { panic!("another invoice") };
            assert_eq!(known.payment_hash, "aa");
        }
        let (other_payer, more) =
            (wish(key(), asked.container, 1_000), wish(asked.payer, asked.container, 2_000));
        assert!(is_new(&topups, &other_payer, NOW), "another's invoice is another's");
        assert!(is_new(&topups, &more, NOW));
        assert!(is_new(&topups, &asked, NOW.plus_secs(500)), "too late to be paid");
        topups.paid("aa");
        assert!(is_new(&topups, &asked, NOW));
    }

    #[test]
    fn flood_of_strangers_ends_and_the_owner_is_served() {
        let (topups, container, owner) = (Topups::default(), key(), key());
        let mut made = 0;
        // Keys cost nothing, and neither do amounts.
        for payer in (0..50).map(|_| key()) {
            made += (1..100).filter(|n| is_new(&topups, &wish(payer, container, n * 1_000), NOW)).count();
        }
        assert_eq!(made, usize::try_from(PER_CONTAINER).unwrap());
        assert_eq!(code(&topups, &wish(key(), container, 1_000), NOW), Code::QuotaUsed);
        let own = Wish { is_owner: true, ..wish(owner, container, 1_000) };
        assert!(is_new(&topups, &own, NOW), "the owner pays for strangers");
        assert!(is_new(&topups, &wish(key(), key(), 1_000), NOW), "and so does a neighbour");
        for other in (0..100).map(|_| key()) {
            made += (1..20).filter(|n| is_new(&topups, &wish(key(), other, n * 1_000), NOW)).count();
        }
        assert!(made <= usize::try_from(PAYERS_PER_HOUR).unwrap(), "{made}");
    }

    #[test]
    fn launches_that_nobody_paid_use_up_nothing_of_owners() {
        let (topups, fixture) = (Topups::default(), Fixture::new());
        let room = Room { units: 1_000, unpaid_max: 100, slots: 1_000, ..ROOM };
        let owner = fixture.paid(NOW);
        let own = fixture.store.owned_by(&owner, None, 1).unwrap().unwrap().remove(0);
        let mut made = 0;
        for payer in (0..21).map(|_| key()) {
            let container = fixture.store.reserve(launch(payer, 1), &room).unwrap();
            for n in 1..=i64::from(PER_OWNER) {
                let wish = Wish::new(&fixture.store, payer, &container, Msat::new(n * 1_000)).unwrap();
                made += u32::from(is_new(&topups, &wish, NOW));
            }
        }
        assert!(made <= PAYERS_PER_HOUR, "{made} invoices for launches that cost nothing");
        let wish = |payer| Wish::new(&fixture.store, payer, &own, Msat::new(1_000)).unwrap();
        assert!(is_new(&topups, &wish(owner), NOW), "the owner is refused for them");
        assert!(!wish(key()).is_owner, "another's container");
    }

    #[test]
    fn wallet_is_asked_for_a_few_at_once() {
        let (topups, container) = (Topups::default(), key());
        let held: Vec<_> =
            (0..OTHERS_AT_ONCE).map(|_| topups.admit(&wish(key(), container, 1_000), NOW).unwrap()).collect();
        assert_eq!(code(&topups, &wish(key(), container, 1_000), NOW), Code::ServerBusy);
        let own = Wish { is_owner: true, ..wish(key(), container, 1_000) };
        assert!(is_new(&topups, &own, NOW), "owners have places of their own");
        drop(held);
        assert!(is_new(&topups, &wish(key(), container, 1_000), NOW));
    }
}

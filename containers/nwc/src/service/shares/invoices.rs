//! Which open invoice gives way.
//!
//! Invoices are in pools, by who asked (the payee, somebody over HTTP, another key) and by whether the payee held money:
//! none takes a place of another pool's. So keys with a satoshi each leave alone who has none, Lightning addresses leave
//! alone what payees ask for themselves, and whatever costs nothing leaves alone what is of those who hold money. Bytes
//! that a pool leaves others may use until it needs them.
//!
//! Within a pool whoever has most for what it holds gives way, its oldest invoice first. **A first invoice also takes
//! the place of an equal's oldest one**, once that had a minute: where all have one, somebody new would otherwise wait
//! until one of them expires; and what was given out stays payable for as long as a payment takes, however many come.

use ledger::{LedgerTx, View};
use units::UnixSecs;

use super::{Load, LookedUp, gave_way, heaviest};
use crate::config::Limits;
use crate::service::refusal::Refusal;
use crate::store::open_invoice::{self, Heap, Measure, Pool};
use crate::store::{AskedBy, NewInvoice, account, invoice};

/// Invoices that give way to one: the longest takes the place of more than a few of the shortest.
const GIVE_WAY_MAX: u32 = 32;
/// How long an invoice is open at least, before a first one of an equal, or another of its own payee's over HTTP, may
/// take its place: people scan it, and payments find their way.
const OPEN_SECS_MIN: u64 = 60;
/// All pools together take one in so many of the file's bytes.
const FILE_PART: u64 = 8;

/// How many invoices there may be in a pool: what payees ask for themselves has as many places as are configured; the two
/// other ways have half as many each.
pub(super) const fn items_max(pool: Pool, limits: &Limits) -> u32 {
    let items = if pool.unfunded { limits.open_unfunded } else { limits.open_total };
    match pool.asked_by {
        AskedBy::Payee | AskedBy::House => items,
        AskedBy::Key | AskedBy::Web => items.div_ceil(2),
    }
}

/// About how many bytes all open invoices may take.
pub(super) fn bytes_max(limits: &Limits) -> u64 {
    u64::from(limits.books_bytes_max) / FILE_PART
}

/// A pool's part of it, which it has whatever the others have: a half is for payees who hold money, a half of each half
/// for what they ask for themselves. What others leave it may have besides.
fn share(pool: Pool, limits: &Limits) -> u64 {
    match pool.asked_by {
        AskedBy::Payee | AskedBy::House => bytes_max(limits) / 4,
        AskedBy::Key | AskedBy::Web => bytes_max(limits) / 8,
    }
}

/// Which pool has too much, and of what, after something came into `own`. None if none has.
fn excess(view: View<'_>, own: Pool, limits: &Limits) -> rusqlite::Result<Option<(Pool, Measure)>> {
    let has = open_invoice::in_pool(view, own)?;
    if has.items > items_max(own, limits) {
        return Ok(Some((own, Measure::Items)));
    }
    if open_invoice::bytes(view)? <= bytes_max(limits) {
        return Ok(None);
    }
    if has.bytes > share(own, limits) {
        return Ok(Some((own, Measure::Bytes)));
    }
    // One of them has, as all shares together are what there may be.
    let mut most = (own, 0);
    for pool in Pool::ALL {
        let beyond = open_invoice::in_pool(view, pool)?.bytes.saturating_sub(share(pool, limits));
        if beyond > most.1 {
            most = (pool, beyond);
        }
    }
    Ok(Some((most.0, Measure::Bytes)))
}

/// After an invoice was inserted: has others expire, until all pools are within their bounds. Refused if whoever would
/// have to give way is this one's payee.
pub(in crate::service) fn make_place_for_invoice(
    tx: &LedgerTx<'_>,
    new: &NewInvoice,
    limits: &Limits,
    now: UnixSecs,
) -> Result<(), Refusal> {
    if new.asked_by == AskedBy::House {
        return Ok(());
    }
    let own_pool = Pool::of(new);
    let look_up = |heap: Heap, measure| {
        let holds = account::holds(tx.view(), &heap.payee)?;
        let load = Load::new(heap.has.by(measure), holds, limits.first_min());
        let was_known = load.weight == heap.weight;
        if !was_known {
            open_invoice::weigh(tx, &heap, load.weight)?;
        }
        Ok::<_, rusqlite::Error>(LookedUp { one: heap, load, was_known })
    };
    let own = || {
        let own = open_invoice::heap(tx.view(), &new.payee, own_pool)?;
        own.ok_or(Refusal::TooManyInvoices)
    };
    if open_invoice::in_pool(tx.view(), own_pool)?.items > items_max(own_pool, limits) / 2 {
        // Noted before it matters, as whoever is refused leaves no note.
        look_up(own()?, Measure::Items)?;
    }
    if excess(tx.view(), own_pool, limits)?.is_some() {
        // The counts may include what is due to be swept.
        invoice::sweep(tx, now, limits.open_total)?;
    }
    for _ in 0..GIVE_WAY_MAX {
        let Some((pool, measure)) = excess(tx.view(), own_pool, limits)? else { return Ok(()) };
        let first = || open_invoice::most(tx.view(), pool, measure);
        let most = heaviest(|| first()?.map(|heap| look_up(heap, measure)).transpose())?;
        let most = most.ok_or(Refusal::TooManyInvoices)?;
        if pool == own_pool {
            let own = look_up(own()?, measure)?;
            let is_first = own.one.has.items == 1
                && !most.load.is_lighter(own.load)
                && open_invoice::oldest_at(tx.view(), &most.one)?.is_some_and(|at| had_time(at, now));
            if most.one.payee == new.payee || !(own.load.is_lighter(most.load) || is_first) {
                return Err(Refusal::TooManyInvoices);
            }
        }
        if !open_invoice::expire_oldest(tx, &most.one)? {
            return Err(Refusal::TooManyInvoices);
        }
        gave_way("invoice");
    }
    // There are still too many, after bounds became lower: fewer with each that comes.
    Ok(())
}

/// At the bound of a payee for what is asked over HTTP: has the oldest of it expire, so that nobody who asks again and
/// again keeps others from paying to an address. False if there is none that had its time.
pub(in crate::service) fn renew_at_address(
    tx: &LedgerTx<'_>,
    new: &NewInvoice,
    now: UnixSecs,
) -> rusqlite::Result<bool> {
    for unfunded in [false, true] {
        let pool = Pool { asked_by: AskedBy::Web, unfunded };
        let Some(heap) = open_invoice::heap(tx.view(), &new.payee, pool)? else { continue };
        if open_invoice::oldest_at(tx.view(), &heap)?.is_some_and(|at| had_time(at, now))
            && open_invoice::expire_oldest(tx, &heap)?
        {
            gave_way("invoice");
            return Ok(true);
        }
    }
    Ok(false)
}

fn had_time(made_at: UnixSecs, now: UnixSecs) -> bool {
    now.secs_since(made_at) >= OPEN_SECS_MIN
}

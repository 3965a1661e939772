//! One rule for everything that all keys share: **whoever has most gives way**.
//!
//! Keys cost nothing and standing costs little, so a bound over all of them is one that a few could use up for the
//! others. Here such a bound refuses nobody who has little. Where it is reached, whoever has most for what it holds
//! gives something up: an unpaid invoice, a connection, the memory of an old answer, a second request that waits. If
//! that is who asks, it is refused. Who holds twice as much money may have one share more: a party with dust in many
//! keys comes behind everybody who uses the wallet, and splitting money gains no more than a share for each part.
//!
//! What was promised cannot be given up: money that is locked in or on its way. There the rule is a price: from the
//! half on, the fuller it is, the more each further one must be worth ([`least_worth`]), so that filling it costs as
//! much as it denies.
//!
//! The house (the server around the wallet, for itself and its containers) is counted apart from all of it.

use ledger::LedgerTx;
use nostr::key::PublicKey;
use units::{Msat, UnixSecs};

use super::refusal::Refusal;
use crate::config::Limits;
use crate::store::{AskedBy, NewInvoice, OpenCounts, connection, invoice, open_invoice};

/// Invoices that give way to one: the longest takes the place of more than a few of the shortest.
const GIVE_WAY_MAX: u32 = 32;
/// Bytes of the file that stand for one that cannot be given up: a name, or an account with dust, with its indexes.
const LASTING_BYTES: u32 = 256;

/// What somebody has of a thing, against what it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    have: u64,
    weight: u64,
}

impl Load {
    /// `have` of whoever holds so much. One share is everybody's, one is for `least`, and one for each doubling.
    pub(super) fn new(have: u64, holds: Msat, least: Msat) -> Self {
        let times = holds.msat().max(0).unsigned_abs() / least.msat().max(1).unsigned_abs();
        Self { have, weight: 1 + u64::from(u64::BITS - times.leading_zeros()) }
    }

    /// Whether this is less than `other` for what each holds. Equals do not give way to each other.
    pub(super) fn is_lighter(self, other: Self) -> bool {
        u128::from(self.have) * u128::from(other.weight) < u128::from(other.have) * u128::from(self.weight)
    }
}

/// What one more must be worth at least where `all` of `total` places are taken and none can be given up. None if there
/// is no place.
pub(super) fn least_worth(all: u32, total: u32, least: Msat) -> Option<Msat> {
    if all >= total {
        return None;
    }
    let (all, total) = (u64::from(all), u64::from(total));
    // Sixteen doublings over the second half: the last place is for 65,536 times the least.
    let doublings = (2 * all).saturating_sub(total) * 16 / total;
    Some(if doublings == 0 {
        Msat::ZERO
    } else {
        Msat::new(least.msat().saturating_mul(1_i64 << doublings.min(16)))
    })
}

/// About how many bytes open invoices may take: an eighth of the file.
fn open_bytes_max(limits: &Limits) -> u64 {
    u64::from(limits.books_bytes_max) / 8
}

/// How many names there may be: they are never given back, so they get a sixteenth of the file at most.
pub(super) fn names_max(limits: &Limits) -> u32 {
    limits.names_total.min(lasting_max(limits))
}

/// How many accounts may hold less than opens a wallet before payments must leave nothing or more than that.
pub(super) const fn dust_max(limits: &Limits) -> u32 {
    lasting_max(limits)
}

const fn lasting_max(limits: &Limits) -> u32 {
    limits.books_bytes_max / 16 / LASTING_BYTES
}

/// After an invoice was inserted: has others expire that belong to whoever has most, until all are within their
/// bounds. Refused if whoever has most is this one's payee.
pub(super) fn make_place_for_invoice(
    tx: &LedgerTx<'_>,
    new: &NewInvoice,
    counts: impl Fn() -> rusqlite::Result<OpenCounts>,
    limits: &Limits,
    now: UnixSecs,
) -> Result<(), Refusal> {
    if new.asked_by == AskedBy::House {
        return Ok(());
    }
    for round in 0..GIVE_WAY_MAX {
        let counts = counts()?;
        let too_many_unfunded = new.unfunded && counts.unfunded > limits.open_unfunded;
        let too_many = counts.total > limits.open_total || counts.bytes > open_bytes_max(limits);
        if !too_many_unfunded && !too_many {
            return Ok(());
        }
        if round == 0 {
            // The counts may include what is due to be swept.
            invoice::sweep(tx, now, limits.open_total)?;
            continue;
        }
        let heaps = open_invoice::heaps(tx.view(), too_many_unfunded)?;
        // Whoever asks for somebody else's invoices stands for nothing that the payee holds.
        let load = |heap: &open_invoice::Heap| {
            let holds = if heap.asked_by == AskedBy::Payee { heap.balance } else { Msat::ZERO };
            Load::new(heap.bytes, holds, limits.first_min())
        };
        let is_own = |heap: &open_invoice::Heap| {
            heap.payee == new.payee && heap.asked_by == new.asked_by && heap.unfunded == new.unfunded
        };
        let own = heaps.iter().find(|heap| is_own(heap)).map(load).ok_or(Refusal::TooManyInvoices)?;
        let most = heaviest(&heaps, load)
            .filter(|most| own.is_lighter(load(most)))
            .ok_or(Refusal::TooManyInvoices)?;
        if !open_invoice::expire_oldest(tx, most)? {
            return Err(Refusal::TooManyInvoices);
        }
        gave_way("invoice");
    }
    Err(Refusal::TooManyInvoices)
}

/// After a connection was inserted: ends the newest of whichever owner has most, if there are too many. Refused if that
/// is this one's owner.
pub(super) fn make_place_for_connection(
    tx: &LedgerTx<'_>,
    owner: &PublicKey,
    by_house: bool,
    limits: &Limits,
) -> Result<(), Refusal> {
    let counts = connection::counts(tx.view(), owner)?;
    if by_house {
        let fits = counts.of_house <= limits.connections_total;
        return if fits { Ok(()) } else { Err(Refusal::TooManyConnections) };
    }
    if counts.of_others <= limits.connections_total {
        return Ok(());
    }
    let owners = connection::owners(tx.view())?;
    let load = |(_, items, holds): &connection::Owner| Load::new(*items, *holds, limits.first_min());
    let own = owners.iter().find(|one| one.0 == *owner).map(load).ok_or(Refusal::TooManyConnections)?;
    let most = heaviest(&owners, load)
        .filter(|most| own.is_lighter(load(most)))
        .ok_or(Refusal::TooManyConnections)?;
    connection::drop_newest(tx, &most.0)?;
    gave_way("connection");
    Ok(())
}

/// Who has most for what it holds.
fn heaviest<T>(all: &[T], load: impl Fn(&T) -> Load) -> Option<&T> {
    all.iter().reduce(|most, one| if load(most).is_lighter(load(one)) { one } else { most })
}

/// Counts what somebody gave up for others.
pub(super) fn gave_way(what: &'static str) {
    metrics::counter!("wallet_gave_way_total", "what" => what).increment(1);
}

#[cfg(test)]
mod tests;

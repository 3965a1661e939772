//! One rule for everything that all keys share: **whoever has most gives way**.
//!
//! Keys cost nothing and standing costs little, so a bound over all of them is one that a few could use up for the
//! others. Here such a bound refuses nobody who has little. Where it is reached, whoever has most for what it holds
//! gives something up: an unpaid invoice, a connection, the memory of an old answer, a second request that waits. If
//! that is who asks, it is refused. A bound on how many there are compares how many one has, a bound on bytes compares
//! bytes. Who holds twice as much money may have one share more: a party with dust in many keys comes behind everybody
//! who uses the wallet, and splitting money gains no more than a share for each part. Open invoices are apart by what
//! they are of, too: see [`invoices`].
//!
//! What was promised cannot be given up: money that is locked in or on its way. There the rule is a price: from the
//! half on, the fuller it is, the more each further one must be worth ([`least_worth`]), so that filling it costs as
//! much as it denies.
//!
//! The house (the server around the wallet, for itself and its containers) is counted apart from all of it.

mod invoices;
mod weights;

use ledger::LedgerTx;
use nostr::key::PublicKey;
use units::Msat;

use super::refusal::Refusal;
use crate::config::Limits;
use crate::store::{account, connection};

pub(super) use invoices::{make_place_for_invoice, renew_at_address};

/// How many are looked up to find out who has most: what is noted is brought up to date every few seconds besides.
const LOOKED_UP_MAX: u32 = 16;
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
    let least = limits.first_min();
    let look_up = |one: connection::Owner| {
        let load = Load::new(one.items, account::holds(tx.view(), &one.pubkey)?, least);
        let was_known = load.weight == one.weight;
        if !was_known {
            connection::weigh(tx, &one.pubkey, load.weight)?;
        }
        Ok::<_, rusqlite::Error>(LookedUp { one, load, was_known })
    };
    let own = connection::owner(tx.view(), owner)?.ok_or(Refusal::TooManyConnections)?;
    let own = look_up(own)?.load;
    let most = heaviest(|| connection::most(tx.view())?.map(look_up).transpose())?;
    let most = most.filter(|most| own.is_lighter(most.load)).ok_or(Refusal::TooManyConnections)?;
    connection::drop_newest(tx, &most.one.pubkey)?;
    gave_way("connection");
    Ok(())
}

/// Somebody who has much, with what that is against what it holds at this moment.
#[derive(Clone, Copy, Debug)]
struct LookedUp<T> {
    one: T,
    load: Load,
    /// Whether that was noted already. If not, it is now.
    was_known: bool,
}

/// Who has most for what it holds. `first` looks up whoever comes first by what is noted, which may be of before: nobody
/// gives way for what it held then.
fn heaviest<T>(
    mut first: impl FnMut() -> rusqlite::Result<Option<LookedUp<T>>>,
) -> rusqlite::Result<Option<LookedUp<T>>> {
    let mut most: Option<LookedUp<T>> = None;
    for _ in 0..LOOKED_UP_MAX {
        let Some(one) = first()? else { break };
        if one.was_known {
            return Ok(Some(one));
        }
        if most.as_ref().is_none_or(|most| most.load.is_lighter(one.load)) {
            most = Some(one);
        }
    }
    Ok(most)
}

/// Counts what somebody gave up for others.
pub(super) fn gave_way(what: &'static str) {
    metrics::counter!("wallet_gave_way_total", "what" => what).increment(1);
}

#[cfg(test)]
mod tests;

//! Who stands aside when a server starts with fewer units than its containers hold: its configuration was
//! changed, or its overcommitment lowered.
//!
//! Whoever has paid furthest ahead stays; of those who paid alike, who came first. Nobody is ended: a
//! container that stands aside is paused, keeps the time that it has paid for, to the second, and its data, and
//! comes back when units are free without paying again; what has no paid time left is kept and comes back like
//! one that cannot pay. Built-ins stay: the server does not run without them. So does a launch that is paid and
//! not started yet: there is no time on record that it could be given later.

use lifecycle::Phase;
use nostr::key::PublicKey;
use units::UnixSecs;

use crate::store::Container;

/// A container that holds units.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Holder {
    pubkey: PublicKey,
    units: u32,
    /// It never stands aside.
    stays: bool,
    /// Up to when it has paid, or can pay from its balance.
    provided_until: u64,
    created_at: UnixSecs,
}

/// The containers that stand aside so that the others fit into `units`.
pub(crate) fn stand_aside(containers: &[Container], units: u32, period_secs: u32) -> Vec<PublicKey> {
    choose(containers.iter().filter_map(|one| holder(one, period_secs)).collect(), units)
}

fn holder(container: &Container, period_secs: u32) -> Option<Holder> {
    // Who waits for payment has paid nothing and holds units for minutes only.
    if !container.state.holds_units() || matches!(container.state.phase, Phase::Waiting { .. }) {
        return None;
    }
    let price = container.spec.price_per_period.msat().max(1);
    let periods = u64::try_from(container.balance.msat().max(0) / price).unwrap_or_default();
    Some(Holder {
        pubkey: container.pubkey(),
        units: container.spec.units.get(),
        stays: container.is_builtin() || container.state.phase == Phase::Launching,
        provided_until: container
            .state
            .paid_until
            .0
            .saturating_add(periods.saturating_mul(u64::from(period_secs))),
        created_at: container.created_at,
    })
}

fn choose(mut holders: Vec<Holder>, units: u32) -> Vec<PublicKey> {
    holders
        .sort_by_key(|one| (!one.stays, std::cmp::Reverse(one.provided_until), one.created_at, one.pubkey));
    let mut left = units;
    let mut aside = Vec::new();
    for one in holders {
        match left.checked_sub(one.units) {
            Some(rest) => left = rest,
            None if one.stays => left = 0,
            None => aside.push(one.pubkey),
        }
    }
    aside
}

#[cfg(test)]
mod tests {
    use lifecycle::State;
    use nostr::key::Keys;
    use proptest::prelude::*;

    use super::*;
    use crate::store::tests::{Fixture, ROOM, key as store_key, launch};

    fn key(seed: u8) -> PublicKey {
        Keys::parse(&format!("{:064x}", u32::from(seed) + 1)).unwrap().public_key()
    }

    fn one(seed: u8, units: u32, provided_until: u64, created_at: u64) -> Holder {
        Holder { pubkey: key(seed), units, stays: false, provided_until, created_at: UnixSecs(created_at) }
    }

    #[test]
    fn whoever_paid_least_ahead_stands_aside_and_then_who_came_last() {
        let all = vec![one(0, 2, 100, 1), one(1, 2, 900, 2), one(2, 2, 500, 9), one(3, 2, 500, 3)];
        assert_eq!(choose(all.clone(), 8), []);
        assert_eq!(choose(all.clone(), 7), [key(0)]);
        assert_eq!(choose(all.clone(), 5), [key(2), key(0)]);
        assert_eq!(choose(all, 0).len(), 4);
    }

    #[test]
    fn small_one_stays_where_a_large_one_does_not_fit() {
        let all = vec![one(0, 5, 900, 1), one(1, 5, 800, 1), one(2, 1, 700, 1)];
        assert_eq!(choose(all, 6), [key(1)]);
    }

    #[test]
    fn builtins_stay_whatever_it_costs() {
        let wallet = Holder { stays: true, ..one(0, 2, 0, 9) };
        assert_eq!(choose(vec![one(1, 1, 900, 1), wallet], 2), [key(1)]);
        assert_eq!(choose(vec![one(1, 1, 900, 1), wallet], 1), [key(1)]);
    }

    #[test]
    fn paid_launch_has_its_units_before_whoever_runs() {
        let fixture = Fixture::new();
        let made = |phase, paid_until| {
            let made = fixture.store.reserve(launch(store_key(), 2), &ROOM).unwrap();
            let state = State { phase, paid_until: UnixSecs(paid_until), ..made.state };
            Container { state, ..made }
        };
        let (runs, launching) = (made(Phase::Deployed, 900), made(Phase::Launching, 0));
        let waits = made(Phase::Waiting { until: UnixSecs(9) }, 0);
        let all = [runs.clone(), launching, waits];
        assert_eq!(stand_aside(&all, 4, 60), []);
        assert_eq!(stand_aside(&all, 3, 60), [runs.pubkey()]);
        assert_eq!(stand_aside(&all, 1, 60), [runs.pubkey()], "a launch is never ended");
    }

    proptest! {
        /// The rest fits, and nobody stands aside for one who paid less unless it does not fit itself.
        #[test]
        fn rest_fits_and_order_is_fair(
            holders in prop::collection::vec((1_u32..10, 0_u64..5, 0_u64..5), 0..12),
            units in 0_u32..40,
        ) {
            let all: Vec<_> = (0_u8..).zip(&holders).map(|(seed, (units, until, at))| one(seed, *units, *until, *at)).collect();
            let aside = choose(all.clone(), units);
            let stays: Vec<_> = all.iter().filter(|one| !aside.contains(&one.pubkey)).collect();
            prop_assert!(stays.iter().map(|one| one.units).sum::<u32>() <= units);
            for gone in all.iter().filter(|one| aside.contains(&one.pubkey)) {
                let before: u32 = stays
                    .iter()
                    .filter(|one| (std::cmp::Reverse(one.provided_until), one.created_at) <= (std::cmp::Reverse(gone.provided_until), gone.created_at))
                    .map(|one| one.units)
                    .sum();
                prop_assert!(before + gone.units > units, "{gone:?} would have fitted in its turn");
            }
        }
    }
}

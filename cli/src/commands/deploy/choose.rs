//! Which server to launch on.

use nostr::key::PublicKey;
use protocol::nec::VerifiedInstance;
use protocol::nec::announcement::{PriceTag, WalletTag};
use units::{ComputeUnits, Msat, Price};

use super::unpinned;
use crate::args::Deploy;
use crate::context::Context;
use crate::error::Failure;
use crate::find;

/// A server that verifies.
#[derive(Debug)]
pub(super) struct Chosen(VerifiedInstance);

/// What a server offers for a launch, in its attested words.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    /// What a unit costs, and for how long it is paid.
    pub(super) price: PriceTag,
    /// Whose invoices to pay.
    pub(super) wallet: Option<WalletTag>,
}

/// What counts when servers are compared.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Merit {
    unit_hour: Msat,
    /// Fewer units taken come first.
    units_taken: std::cmp::Reverse<u32>,
}

impl Chosen {
    /// Its key.
    pub(super) const fn service(&self) -> PublicKey {
        self.0.service()
    }

    /// Where it listens.
    pub(super) fn relays(&self) -> Vec<String> {
        self.0.announced().relays.clone()
    }

    /// True if the policy said which code it must run.
    pub(super) const fn is_pinned(&self) -> bool {
        self.0.is_pinned()
    }

    /// What it offers.
    ///
    /// # Errors
    /// `price_unknown`.
    pub(super) fn offer(&self) -> Result<Offer, Failure> {
        let said = self.0.announced();
        let price = said.price.ok_or_else(|| {
            let message = "the server announces no price, so no invoice of it can be checked; choose another";
            Failure::refused("price_unknown", message)
        })?;
        Ok(Offer { price, wallet: said.wallet.clone() })
    }
}

impl Offer {
    /// What a launch costs for a period.
    ///
    /// # Errors
    /// `price_unknown` if that is more than there can be.
    pub(super) fn per_period(&self, units: ComputeUnits) -> Result<Msat, Failure> {
        let price = Price { unit_hour_msat: self.price.unit_hour_msat, period_secs: self.price.period_secs };
        let absurd =
            |_| Failure::refused("price_unknown", "the server's price is out of range; choose another");
        let amount = price.per_period(units).map_err(absurd)?;
        if amount.is_positive() { Ok(amount) } else { Err(absurd(units::MsatOverflow)) }
    }
}

/// The server that was named, or the cheapest with room.
///
/// # Errors
/// Why the named one does not verify, `unpinned`, or `no_instance`.
pub(super) async fn server(ctx: &Context, args: &Deploy, units: ComputeUnits) -> Result<Chosen, Failure> {
    let consequence = "it would see everything that the container sees";
    if let Some(service) = args.instance {
        let instance = find::verified_instance(ctx, service).await?;
        if !instance.is_pinned() && !args.unpinned {
            return Err(unpinned(consequence));
        }
        let chosen = Chosen(instance);
        chosen.offer()?;
        return Ok(chosen);
    }
    if !ctx.policy()?.pins_code() && !args.unpinned {
        return Err(unpinned(consequence));
    }
    let found = find::instances(ctx, None).await?;
    let (announced, verified): (usize, Vec<_>) =
        (found.len(), found.into_iter().filter_map(|it| it.verdict.ok()).collect());
    let verifying = verified.len();
    let best =
        verified.into_iter().filter_map(|it| Some((merit(&it, units)?, it))).min_by_key(|(merit, _)| *merit);
    best.map(|(_, instance)| Chosen(instance)).ok_or_else(|| {
        let message = format!(
            "of {announced} servers on these relays {verifying} verify, and none of these takes a container of \
             {units} units"
        );
        Failure::refused("no_instance", message).with_hint("`encli instance ls --all` says why")
    })
}

/// How good a server is for so many units; none if it does not take them.
fn merit(instance: &VerifiedInstance, units: ComputeUnits) -> Option<Merit> {
    let said = instance.announced();
    rank(said.open && said.wallet.is_some(), said.price, said.units_free, units)
}

fn rank(
    takes: bool,
    price: Option<PriceTag>,
    units_free: Option<(u32, u32)>,
    units: ComputeUnits,
) -> Option<Merit> {
    let (price, (free, _)) = (price?, units_free?);
    let usable = takes && free >= units.get() && price.unit_hour_msat.is_positive() && price.period_secs > 0;
    usable.then_some(Merit { unit_hour: price.unit_hour_msat, units_taken: std::cmp::Reverse(free) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(msat: i64) -> Option<PriceTag> {
        Some(PriceTag { unit_hour_msat: Msat::new(msat), period_secs: 3_600 })
    }

    fn units(n: u32) -> ComputeUnits {
        ComputeUnits::new(n).unwrap()
    }

    #[test]
    fn cheapest_with_room_is_first() {
        let offers = [(5_000, 100), (4_000, 1), (4_500, 10), (4_500, 90)];
        let best = offers
            .iter()
            .filter_map(|(msat, free)| {
                Some((rank(true, price(*msat), Some((*free, 100)), units(2))?, *msat, *free))
            })
            .min();
        assert_eq!(best.map(|(_, msat, free)| (msat, free)), Some((4_500, 90)));
    }

    #[test]
    fn servers_that_cannot_take_it_do_not_count() {
        let room = Some((10, 100));
        assert!(rank(true, price(1), room, units(10)).is_some());
        for refused in [
            rank(false, price(1), room, units(1)),
            rank(true, None, room, units(1)),
            rank(true, price(0), room, units(1)),
            rank(true, price(-5), room, units(1)),
            rank(true, price(1), None, units(1)),
            rank(true, price(1), room, units(11)),
        ] {
            assert_eq!(refused, None);
        }
    }

    #[test]
    fn absurd_prices_are_no_offer() {
        for msat in [0, -1, i64::MAX] {
            let offer = Offer { price: price(msat).unwrap(), wallet: None };
            assert_eq!(offer.per_period(units(2)).unwrap_err().code(), "price_unknown");
        }
        let offer = Offer { price: price(5_000).unwrap(), wallet: None };
        assert_eq!(offer.per_period(units(3)).unwrap(), Msat::new(15_000));
    }
}

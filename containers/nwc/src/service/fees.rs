//! What payments and holding money cost: a policy, as data.
//!
//! Rounding is always in the house's favour: shares are rounded up to the next millisatoshi, and a begun
//! period counts whole. What is credited is exact.

use units::Msat;

const MILLION: i64 = 1_000_000;

/// The whole policy.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fees {
    /// What is set aside for routing.
    pub reserve: FeeReserve,
    /// What the house takes for a payment.
    pub payment: PaymentFee,
    /// What the house takes for holding money.
    pub holding: Option<HoldingFee>,
}

/// How much to set aside for the routing of a payment; also the most that the node may spend on it. The
/// larger of a share of the amount and a minimum. What is not spent goes back to the payer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FeeReserve {
    /// The share, in millionths of the amount, rounded up: the house never has less than it may spend.
    pub share_ppm: u32,
    /// The minimum.
    pub min: Msat,
}

/// What the house takes for a payment, whoever is paid: a fixed part and a share, rounded up. The payer
/// pays it on top of the amount, and only if the payment arrives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PaymentFee {
    /// The fixed part.
    pub base: Msat,
    /// The share, in millionths of the amount.
    pub share_ppm: u32,
}

/// What the house takes for holding money, once a period from every wallet that has some; a wallet with
/// less gives what it has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HoldingFee {
    /// The fee.
    pub amount: Msat,
    /// The period, counted from 1970. A begun one counts whole.
    pub period_secs: u32,
}

impl Default for FeeReserve {
    /// One hundredth, at least 10 sat: what most wallets use.
    fn default() -> Self {
        Self { share_ppm: 10_000, min: Msat::new(10_000) }
    }
}

impl FeeReserve {
    /// What to set aside for a payment of `amount`.
    #[must_use]
    pub fn of(&self, amount: Msat) -> Msat {
        share(amount, self.share_ppm).max(self.min)
    }
}

impl PaymentFee {
    /// What a payment of `amount` costs.
    #[must_use]
    pub fn of(&self, amount: Msat) -> Msat {
        Msat::new(self.base.msat().saturating_add(share(amount, self.share_ppm).msat()))
    }
}

/// So many millionths of an amount, rounded up; saturates instead of leaving the range.
fn share(amount: Msat, ppm: u32) -> Msat {
    // Split at a million, so that no product leaves the range.
    let share = i64::from(ppm);
    let (whole, rest) = (amount.msat() / MILLION, amount.msat() % MILLION);
    let rest_share = (rest * share + (MILLION - 1)) / MILLION;
    Msat::new(whole.saturating_mul(share).saturating_add(rest_share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserve_is_the_share_rounded_up_or_the_minimum() {
        let reserve = FeeReserve::default();
        for (amount, expected) in [
            (1, 10_000),
            (1_000_000, 10_000),
            (1_000_001, 10_001),
            (1_000_100, 10_001),
            (1_000_101, 10_002),
            (100_000_000, 1_000_000),
            (i64::MAX, 92_233_720_368_547_759),
        ] {
            assert_eq!(reserve.of(Msat::new(amount)), Msat::new(expected), "{amount}");
        }
        let all = FeeReserve { share_ppm: u32::MAX, min: Msat::ZERO };
        assert_eq!(all.of(Msat::new(i64::MAX)), Msat::new(i64::MAX), "saturates instead of wrapping");
    }

    #[test]
    fn payment_fee_is_base_and_share_rounded_up() {
        let fee = PaymentFee { base: Msat::new(1_000), share_ppm: 4_000 };
        for (amount, expected) in [(1, 1_001), (250, 1_001), (251, 1_002), (1_000_000, 5_000)] {
            assert_eq!(fee.of(Msat::new(amount)), Msat::new(expected), "{amount}");
        }
        assert_eq!(PaymentFee::default().of(Msat::new(i64::MAX)), Msat::ZERO);
        let all = PaymentFee { base: Msat::new(1), share_ppm: u32::MAX };
        assert_eq!(all.of(Msat::new(i64::MAX)), Msat::new(i64::MAX));
    }
}

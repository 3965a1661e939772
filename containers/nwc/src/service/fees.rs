//! What is set aside for routing fees.

use units::Msat;

const MILLION: i64 = 1_000_000;

/// How much to set aside for the routing of a payment; also the most that the node may spend on it. The
/// larger of a share of the amount and a minimum. What is not spent goes back to the payer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FeeReserve {
    /// The share, in millionths of the amount, rounded up: the house never has less than it may spend.
    pub share_ppm: u32,
    /// The minimum.
    pub min: Msat,
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
        // Split at a million, so that no product leaves the range.
        let share = i64::from(self.share_ppm);
        let (whole, rest) = (amount.msat() / MILLION, amount.msat() % MILLION);
        let rest_share = (rest * share + (MILLION - 1)) / MILLION;
        let total = whole.saturating_mul(share).saturating_add(rest_share);
        Msat::new(total).max(self.min)
    }
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
}

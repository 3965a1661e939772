//! What a unit costs.

use serde::{Deserialize, Serialize};

use crate::{ComputeUnits, Msat, MsatOverflow};

const SECS_PER_HOUR: i64 = 3_600;

/// The price of compute: so much per unit and hour, prepaid for a period at a time.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Price of one unit for one hour.
    pub unit_hour_msat: Msat,
    /// How long one charge lasts, in seconds.
    pub period_secs: u32,
}

impl Default for Price {
    /// 5 sat per unit and hour, charged hourly.
    fn default() -> Self {
        Self { unit_hour_msat: Msat::new(5_000), period_secs: 3_600 }
    }
}

impl Price {
    /// What one period costs for `units`, rounded up to a whole millisatoshi.
    ///
    /// # Errors
    /// [`MsatOverflow`] if the amount does not fit.
    pub fn per_period(&self, units: ComputeUnits) -> Result<Msat, MsatOverflow> {
        let unit_hours =
            self.per_hour(units)?.msat().checked_mul(i64::from(self.period_secs)).ok_or(MsatOverflow)?;
        // Rounding up is in the house's favour, by less than a millisatoshi a period.
        let up = if unit_hours % SECS_PER_HOUR > 0 { 1 } else { 0 };
        Ok(Msat::new(unit_hours / SECS_PER_HOUR + up))
    }

    /// What one hour costs for `units`.
    ///
    /// # Errors
    /// [`MsatOverflow`] if the amount does not fit.
    pub fn per_hour(&self, units: ComputeUnits) -> Result<Msat, MsatOverflow> {
        self.unit_hour_msat.msat().checked_mul(i64::from(units.get())).map(Msat::new).ok_or(MsatOverflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_rounds_up() {
        let units = ComputeUnits::new(3).unwrap();
        let check = |unit_hour, period_secs, expected| {
            let price = Price { unit_hour_msat: Msat::new(unit_hour), period_secs };
            assert_eq!(price.per_period(units), Ok(Msat::new(expected)));
        };
        check(5_000, 3_600, 15_000);
        check(5_000, 5, 21);
        check(1, 1, 1);
        check(0, 3_600, 0);
    }

    #[test]
    fn an_absurd_price_is_an_error() {
        let price = Price { unit_hour_msat: Msat::new(i64::MAX / 2), period_secs: 3_600 };
        assert_eq!(price.per_period(ComputeUnits::new(1).unwrap()), Err(MsatOverflow));
    }
}

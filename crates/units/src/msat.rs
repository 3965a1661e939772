//! Millisatoshi, the only money type.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Millisatoshi in one satoshi.
const MSAT_PER_SAT: i64 = 1_000;

/// An amount of bitcoin in millisatoshi. Signed, because a ledger posts in both directions; arithmetic
/// is checked, because a wrapped amount is stolen money.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Msat(i64);

/// A sum of money left the range of [`Msat`] (±9.2·10¹⁸ msat, far above all bitcoin).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MsatOverflow;

impl fmt::Display for MsatOverflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the amount is out of range")
    }
}

impl std::error::Error for MsatOverflow {}

impl Msat {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// An amount given in millisatoshi.
    #[must_use]
    pub const fn new(msat: i64) -> Self {
        Self(msat)
    }

    /// An amount given in whole satoshi.
    ///
    /// # Errors
    /// [`MsatOverflow`] if the amount in millisatoshi does not fit.
    pub fn from_sats(sats: i64) -> Result<Self, MsatOverflow> {
        sats.checked_mul(MSAT_PER_SAT).map(Self).ok_or(MsatOverflow)
    }

    /// The amount in millisatoshi.
    #[must_use]
    pub const fn msat(self) -> i64 {
        self.0
    }

    /// The amount in whole satoshi, rounded towards zero: never shows more than there is.
    #[must_use]
    pub const fn whole_sats(self) -> i64 {
        self.0 / MSAT_PER_SAT
    }

    /// Adds.
    ///
    /// # Errors
    /// [`MsatOverflow`] if the sum does not fit.
    pub fn plus(self, other: Self) -> Result<Self, MsatOverflow> {
        self.0.checked_add(other.0).map(Self).ok_or(MsatOverflow)
    }

    /// Subtracts; the result may be negative.
    ///
    /// # Errors
    /// [`MsatOverflow`] if the difference does not fit.
    pub fn minus(self, other: Self) -> Result<Self, MsatOverflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(MsatOverflow)
    }

    /// The same amount with the opposite sign.
    ///
    /// # Errors
    /// [`MsatOverflow`] for the one value without an opposite.
    pub fn negated(self) -> Result<Self, MsatOverflow> {
        self.0.checked_neg().map(Self).ok_or(MsatOverflow)
    }

    /// True above zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// True below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
}

/// Shows satoshi with up to three decimals: `5`, `0.25`, `-1.001`.
impl fmt::Display for Msat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let whole = self.0.unsigned_abs() / MSAT_PER_SAT.unsigned_abs();
        let rest = self.0.unsigned_abs() % MSAT_PER_SAT.unsigned_abs();
        if rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        let decimals = format!("{rest:03}");
        write!(f, "{sign}{whole}.{}", decimals.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_shows_satoshi() {
        for (msat, text) in
            [(0, "0"), (5_000, "5"), (250, "0.25"), (-1_001, "-1.001"), (i64::MIN, "-9223372036854775.808")]
        {
            assert_eq!(Msat::new(msat).to_string(), text);
        }
    }

    #[test]
    fn arithmetic_out_of_range_is_an_error() {
        assert_eq!(Msat::new(i64::MAX).plus(Msat::new(1)), Err(MsatOverflow));
        assert_eq!(Msat::new(i64::MIN).minus(Msat::new(1)), Err(MsatOverflow));
        assert_eq!(Msat::new(i64::MIN).negated(), Err(MsatOverflow));
        assert_eq!(Msat::from_sats(i64::MAX), Err(MsatOverflow));
        assert_eq!(Msat::from_sats(21), Ok(Msat::new(21_000)));
    }

    #[test]
    fn whole_sats_never_rounds_up() {
        assert_eq!(Msat::new(1_999).whole_sats(), 1);
        assert_eq!(Msat::new(-1_999).whole_sats(), -1);
    }
}

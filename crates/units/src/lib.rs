//! Amounts, compute units, prices and time.
//!
//! The bottom layer: no I/O but the clock, no dependency on anything else of ours. Every amount of
//! money is an integer number of millisatoshi ([`Msat`]), every size and duration names its unit.

pub mod calendar;
mod clock;
mod compute;
mod msat;
mod price;

pub use clock::{Clock, ManualClock, Stopwatch, SystemClock, UnixSecs};
pub use compute::{ComputeUnits, Resources, UnitSize, UnitsOutOfRange};
pub use msat::{Msat, MsatOverflow};
pub use price::Price;

//! Compute units: what a container is limited to, and what a server has to give.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A number of compute units, at least one. What one unit is worth is a [`UnitSize`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ComputeUnits(u32);

/// A number of units outside 1 to [`ComputeUnits::MAX`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnitsOutOfRange;

impl fmt::Display for UnitsOutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "units must be a whole number from 1 to {}", ComputeUnits::MAX)
    }
}

impl std::error::Error for UnitsOutOfRange {}

impl ComputeUnits {
    /// The most that one container may have.
    pub const MAX: u32 = 50;

    /// Checks the range.
    ///
    /// # Errors
    /// [`UnitsOutOfRange`] for zero and for more than [`Self::MAX`].
    pub const fn new(units: u32) -> Result<Self, UnitsOutOfRange> {
        if units == 0 || units > Self::MAX { Err(UnitsOutOfRange) } else { Ok(Self(units)) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ComputeUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for ComputeUnits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// What one compute unit is worth. Measured configuration, and part of the announcement.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UnitSize {
    /// Thousandths of a CPU.
    pub cpu_milli: u32,
    /// Memory, with no swap besides.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u32,
    /// Unpacked image size.
    pub image_disk_bytes: u64,
    /// Size of the container's volume.
    pub volume_bytes: u64,
    /// What it sends, and what it receives, in bytes a second.
    #[serde(default = "network_bytes_per_sec")]
    pub network_bytes_per_sec: u64,
}

/// 2 Mbit/s.
const fn network_bytes_per_sec() -> u64 {
    250_000
}

impl Default for UnitSize {
    /// 0.1 CPU, 50 MB of memory, 10 pids, 50 MB of image, 10 MB of volume, 2 Mbit/s each way.
    fn default() -> Self {
        const MEGABYTE: u64 = 1_000_000;
        Self {
            cpu_milli: 100,
            memory_bytes: 50 * MEGABYTE,
            pids: 10,
            image_disk_bytes: 50 * MEGABYTE,
            volume_bytes: 10 * MEGABYTE,
            network_bytes_per_sec: network_bytes_per_sec(),
        }
    }
}

impl UnitSize {
    /// The limits of a container that has `units`.
    #[must_use]
    pub fn times(&self, units: ComputeUnits) -> Resources {
        let n = u64::from(units.get());
        Resources {
            cpu_milli: u64::from(self.cpu_milli).saturating_mul(n),
            memory_bytes: self.memory_bytes.saturating_mul(n),
            pids: u64::from(self.pids).saturating_mul(n),
            image_disk_bytes: self.image_disk_bytes.saturating_mul(n),
            volume_bytes: self.volume_bytes.saturating_mul(n),
            network_bytes_per_sec: self.network_bytes_per_sec.saturating_mul(n),
        }
    }
}

/// The limits of one container.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Resources {
    /// Thousandths of a CPU.
    pub cpu_milli: u64,
    /// Memory, with no swap besides.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Unpacked image size.
    pub image_disk_bytes: u64,
    /// Size of the container's volume.
    pub volume_bytes: u64,
    /// What it sends, and what it receives, in bytes a second.
    pub network_bytes_per_sec: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_outside_the_range_are_refused() {
        for bad in [0, 51, 1_000_000_000] {
            assert_eq!(ComputeUnits::new(bad), Err(UnitsOutOfRange), "{bad}");
        }
        assert_eq!(ComputeUnits::new(50).map(ComputeUnits::get), Ok(50));
    }

    #[test]
    fn limits_scale_with_units() {
        let limits = UnitSize::default().times(ComputeUnits::new(3).unwrap());
        assert_eq!((limits.cpu_milli, limits.memory_bytes, limits.pids), (300, 150_000_000, 30));
    }
}

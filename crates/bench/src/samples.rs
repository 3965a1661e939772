//! Figures of many runs.

use std::time::Duration;

/// Durations of many runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below which this many percent of the runs lie, in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort();
        let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(index).map_or(f64::NAN, |took| took.as_secs_f64() * 1_000.0)
    }

    pub(crate) fn median_ms(&self) -> f64 {
        self.percentile_ms(50)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_runs() {
        let samples = Samples((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!((samples.median_ms(), samples.percentile_ms(99)), (51.0, 100.0));
        assert!(Samples::default().median_ms().is_nan());
    }
}

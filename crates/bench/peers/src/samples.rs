//! What several subjects cost, measured in turn: what slows the machine down for a moment slows all of
//! them. Counted is the thread's time on the processor: on a busy machine, whoever takes longer is also
//! interrupted more often, which says nothing about it.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::errno::Errno;
use nix::time::ClockId;

/// A name, and one verification: true if it accepts.
pub(crate) type Subject<'a> = (&'static str, Box<dyn FnMut() -> bool + 'a>);

/// The median of each subject in microseconds.
pub(crate) fn medians_us(subjects: &mut [Subject<'_>], rounds: usize) -> Result<Vec<(&'static str, f64)>> {
    let mut samples = vec![Vec::with_capacity(rounds); subjects.len()];
    for round in 0..rounds + rounds / 10 {
        for ((name, verify), samples) in subjects.iter_mut().zip(&mut samples) {
            let start = processor_time()?;
            let accepts = verify();
            let took = processor_time()?.saturating_sub(start);
            ensure!(accepts, "{name} refuses the document");
            if round >= rounds / 10 {
                samples.push(took);
            }
        }
    }
    let median_us = |mut samples: Vec<Duration>| {
        samples.sort();
        samples[samples.len() / 2].as_secs_f64() * 1e6
    };
    Ok(subjects.iter().zip(samples).map(|((name, _), samples)| (*name, median_us(samples))).collect())
}

fn processor_time() -> Result<Duration, Errno> {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().map(Duration::from)
}

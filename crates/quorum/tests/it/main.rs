//! The protocol under every schedule that a seed can think of.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise"
)]

mod model;
mod rng;
mod schedules;
mod steps;
mod tenures;

//! Real key stores as processes, with simulated NSMs of one root, a relay, and parents.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod enclave;
mod flood;
mod group;
mod hostile;
mod program;
mod split;
mod world;

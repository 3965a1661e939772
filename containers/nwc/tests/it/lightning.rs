//! Payments over Lightning, with a node that fails in every way that a real one does.

mod incoming;
mod outgoing;
mod recovery;

/// What is paid.
const AMOUNT: i64 = 100_000;

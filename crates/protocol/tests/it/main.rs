//! The verifiers of the NEC conventions against kept events, and the builders against them.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod approval;
mod builders;
mod fixtures;
mod genesis;
mod image_release;
mod release;

//! The relay crate against real relays on loopback, and against relays that lie.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod labels;
mod lies;
mod odd;
mod pool;
mod rpc;
mod world;

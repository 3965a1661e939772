//! The real binaries in a whole world, from a stranger's point of view.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise"
)]

mod bad_input;
mod crash;
mod facts;
mod in_world;
mod life;
mod stranger;
mod wire;

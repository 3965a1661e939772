//! Real boxes, engines and registries. Needs root, and what `scripts/install` installs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail and measure as tests do"
)]

mod boxes;
mod engine;
mod owner;
mod processes;
mod support;

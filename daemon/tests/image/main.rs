//! Images from registries that lie, and from a real one.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "what is expected of helpers is part of the test"
)]

mod bombs;
mod engine;
mod fixture;
mod honest;
mod hostile_fetch;
mod hostile_resolve;
mod real_registry;
mod server;
mod tokens;

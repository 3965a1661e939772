//! The wallet driven through its use cases, without a transport.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod attacks;
mod bugs;
mod concurrency;
mod lightning;
mod model;
mod process;
mod rules;
mod support;

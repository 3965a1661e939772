//! The wallet driven through its use cases, without a transport.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod attacks;
mod bugs;
mod concurrency;
mod connections;
mod crashes;
mod forgotten;
mod history;
mod hold;
mod latency;
mod lightning;
mod limits;
mod model;
mod money;
mod once;
mod process;
mod quotas;
mod relays;
mod rules;
mod shares;
mod support;
mod web;
mod zaps;

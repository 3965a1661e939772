//! Others judge what we make: the reference's validator from npm, and a sceptic with `openssl`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may stop at the first surprise")]

mod agree;
mod by_hand;
mod disagreements;
mod draft;
mod faults;
mod fixtures;
mod foreign_root;
mod npm;
mod recipe;
mod stage;
mod wallet;
mod world;

//! The real binaries in a whole world, from a stranger's point of view.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise"
)]

mod backup;
mod bad_input;
mod crash;
mod doors;
mod draining;
mod facts;
mod fewer_units;
mod guest_api;
mod hostile;
mod in_world;
mod isolation;
mod keys_apart;
mod liar;
mod life;
mod limits;
mod nec;
mod netns;
mod operations;
mod person;
mod reconfigure;
mod restart;
mod rules;
mod secrets_nowhere;
mod stranger;
mod told;
mod tool;
mod topups;
mod upgrade;
mod wallet;
mod wire;

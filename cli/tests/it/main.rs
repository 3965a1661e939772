//! The program as people and scripts run it: its real binary, on evidence that a simulated NSM signed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod attestation;
mod bunker;
mod cli;
mod config;
mod container;
mod image;
mod instance;
mod keycrux;
mod relays;
mod sign;
mod stage;
mod statement;
mod support;
mod vectors;

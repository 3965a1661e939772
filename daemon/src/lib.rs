//! The application server that runs inside the enclave: it takes commands over Nostr, runs users'
//! containers while their balance pays for them, and proves what it runs.

pub mod checkpoint;
pub mod config;
pub mod image;
pub mod store;

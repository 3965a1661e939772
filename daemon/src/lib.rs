//! The application server that runs inside the enclave: it takes commands over Nostr, runs users'
//! containers while their balance pays for them, and proves what it runs.
//!
//! ```text
//! rpc ─► api ─► deploy (one driver per container) ─► lifecycle::step
//!                 │ effects
//!                 ├─► runtime (Docker, networks, volumes, firewall), image
//!                 ├─► billing ─► wallet ─► the built-in nwc, over the internal relay
//!                 └─► announce ─► relays
//! guest: what a container asks        `instance`: what proves us      store: what is remembered
//! ```

pub mod announce;
pub mod api;
pub mod billing;
pub mod builtin;
pub mod checkpoint;
pub mod config;
pub mod context;
pub mod deploy;
pub mod guest;
pub mod heartbeat;
pub mod identity;
pub mod image;
pub mod parent;
pub mod rpc;
pub mod runtime;
pub mod server;
pub mod store;
pub mod wallet;

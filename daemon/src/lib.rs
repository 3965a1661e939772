//! The application server that runs inside the enclave: it takes commands over Nostr, runs users'
//! containers while their balance pays for them, and proves what it runs.
//!
//! ```text
//! rpc, dm, http ─► api ─► deploy (one driver per container) ─► lifecycle::step
//!                 │ effects
//!                 ├─► runtime (Docker, networks, volumes, firewall), image
//!                 ├─► billing ─► wallet ─► the built-in nwc, over the internal relay
//!                 └─► announce ─► relays
//! upgrade: which image takes the place of another, and how
//! guest: what a container asks        `instance`: what proves us      store: what is remembered
//! sealed: whose state it is, and where it comes from      snapshots: how it gets there
//! hold, lapse: whether this server may act now
//! ```

pub mod admission;
pub mod announce;
pub mod api;
pub mod billing;
pub mod builtin;
mod capacity;
pub mod checkpoint;
pub mod config;
pub mod context;
pub mod deploy;
pub mod dm;
mod doors;
pub mod guest;
mod guest_wallets;
pub mod heartbeat;
pub mod hold;
pub mod http;
pub mod identity;
pub mod image;
pub mod lapse;
pub mod notices;
pub mod parent;
mod quota;
pub mod receipts;
pub mod rpc;
pub mod runtime;
pub mod sealed;
pub mod server;
pub mod snapshots;
mod sparing;
mod stalls;
pub mod statements;
pub mod store;
mod strain;
pub mod topups;
mod upgrade;
pub mod upgrades;
pub mod wallet;

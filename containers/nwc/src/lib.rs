//! The built-in wallet service: a custodial Lightning wallet for any Nostr key, over NIP-47.
//!
//! ```text
//!  transport (relays, encryption)
//!        │ caller, Request, now  ▲ Handled
//!        ▼                       │
//!  service   the rules           │
//!        │                       │
//!        ├──► store      ledger + invoices + payments, one SQLite file, one writer
//!        └──► lightning  invoices and payments, behind a trait
//! ```
//!
//! The transport calls the service, never the other way round, so that tests drive the wallet directly.

pub mod app;
pub mod config;
pub mod entropy;
pub mod home;
pub mod keys;
pub mod lightning;
pub mod service;
pub mod site;
pub mod store;
pub mod transport;
pub mod web;

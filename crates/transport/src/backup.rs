//! The backup channel's two ends; see `protocol::parent::backup` for what is said on it.

mod client;
mod connection;
mod raw;
mod server;

use std::time::Duration;

pub use client::BackupClient;
pub use server::{BackupHost, BackupVault, Refusal, serve_backups};

/// How long one request may take, its payload included: 8 MiB at 1.1 Mbit/s. A stream that trickles
/// is as useless as one that stands still.
pub(crate) const EXCHANGE_WAIT: Duration = Duration::from_secs(60);

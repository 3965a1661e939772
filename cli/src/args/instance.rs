//! `encli instance`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nostr::key::PublicKey;

use super::values::{self, Moment};

/// Verbs of `instance`.
#[derive(Debug, Subcommand)]
pub(crate) enum InstanceCommand {
    /// Lists the servers that are announced on the relays and verify.
    #[command(after_help = "Examples:\n  \
        encli instance ls --maintainer npub1… --ref https://example.com/enclaved\n  \
        encli instance ls --all --json")]
    Ls(InstanceLs),
    /// Shows everything about one server.
    #[command(after_help = "Example:\n  encli instance inspect npub1… --maintainer npub1…")]
    Inspect(InstanceInspect),
    /// Verifies an announcement in a file.
    #[command(after_help = "Examples:\n  \
        encli instance verify event.json --ref https://example.com/enclaved --maintainer npub1…\n  \
        encli instance verify event.json --at 1743516970 --json")]
    Verify(InstanceVerify),
}

/// `encli instance ls`.
#[derive(Args, Debug)]
pub(crate) struct InstanceLs {
    /// Also those that do not verify, with the reason.
    #[arg(long)]
    pub(crate) all: bool,
}

/// `encli instance inspect`.
#[derive(Args, Debug)]
pub(crate) struct InstanceInspect {
    /// The server's key, as npub or in hex.
    #[arg(value_name = "NPUB", value_parser = values::public_key)]
    pub(crate) npub: PublicKey,
}

/// `encli instance verify`.
#[derive(Args, Debug)]
pub(crate) struct InstanceVerify {
    /// The announcement, as JSON; `-` for standard input.
    #[arg(value_name = "EVENT.json", value_parser = values::path)]
    pub(crate) file: PathBuf,
    /// The moment at which it must be valid.
    #[arg(long, value_name = "UNIX|now", value_parser = values::moment, default_value = "now")]
    pub(crate) at: Moment,
}

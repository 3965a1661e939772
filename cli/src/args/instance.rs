//! `encli instance`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nostr::key::PublicKey;

use super::sign::Signing;
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
    /// Signs for a machine: the launcher vouches for the parent instance, PCR4 (NEC-04, kind 23795).
    #[command(after_help = "Examples:\n  \
        encli instance sign i-0123456789abcdef0 --env prod --key file:key --out instance.json\n  \
        encli instance sign i-0123456789abcdef0 --key bunker:env:BUNKER --json")]
    Sign(InstanceSign),
}

/// `encli instance sign`.
#[derive(Args, Debug)]
pub(crate) struct InstanceSign {
    /// The EC2 instance's id.
    #[arg(value_name = "INSTANCE_ID", value_parser = values::instance_id)]
    pub(crate) instance_id: String,
    #[command(flatten)]
    pub(crate) signing: Signing,
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

//! `encli instance`.

use std::path::PathBuf;

use attestation::Pcr;
use clap::{Args, Subcommand};
use nostr::key::PublicKey;
use protocol::nec::genesis;

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
    /// Permits a server to begin anew: for one run of it, on one machine (NEC-06, kind 23796).
    ///
    /// Only where there is nothing to lose: whoever begins anew has another key, no containers and no
    /// balances. A server that finds no record says its boot key and its PCR4, in its log and in its
    /// parent's, and waits for this event.
    #[command(after_help = "Examples:\n  \
        encli instance genesis --boot-key 5f3a… --pcr4 e2d1… --env prod --key file:launcher \\\n      \
            --out genesis.json\n  \
        encli instance genesis --boot-key npub1… --pcr4 e2d1… --expires 600 --key bunker:env:BUNKER --json")]
    Genesis(InstanceGenesis),
}

/// `encli instance genesis`.
#[derive(Args, Debug)]
pub(crate) struct InstanceGenesis {
    /// The key of the one run that may begin anew, as the server says it when it asks.
    #[arg(long, value_name = "NPUB", value_parser = values::public_key)]
    pub(crate) boot_key: PublicKey,
    /// The machine's register, as the server says it.
    #[arg(long, value_name = "HEX", value_parser = values::register)]
    pub(crate) pcr4: Pcr,
    /// For how many seconds it may be used.
    #[arg(long, value_name = "SECS", value_parser = values::positive, default_value_t = genesis::LIFE_SECS)]
    pub(crate) expires: u64,
    #[command(flatten)]
    pub(crate) signing: Signing,
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
    /// Also if it does not verify, with the reason; nothing of what it says is shown then.
    #[arg(long)]
    pub(crate) all: bool,
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

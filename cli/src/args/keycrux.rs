//! `encli keycrux`.

use std::path::PathBuf;

use attestation::Pcr;
use clap::{Args, Subcommand};
use nostr::event::EventId;
use nostr::key::PublicKey;

use super::sign::Signing;
use super::values;

/// Verbs of `keycrux`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeycruxCommand {
    /// Lists the key stores that are announced on the relays and verify.
    #[command(after_help = "Examples:\n  \
        encli keycrux ls --ref https://example.com/keycrux --maintainer npub1…\n  \
        encli keycrux ls --all --json")]
    Ls(KeycruxLs),
    /// Asks key stores whether they live.
    #[command(
        after_help = "Example:\n  encli keycrux ping --ref https://example.com/keycrux --maintainer npub1…"
    )]
    Ping(KeycruxAsked),
    /// Asks key stores how they do, and which group they are of.
    #[command(after_help = "Examples:\n  encli keycrux status\n  encli keycrux status npub1… --json")]
    Status(KeycruxAsked),
    /// Asks key stores how many records a machine has.
    #[command(after_help = "Examples:\n  \
        encli keycrux has --machine i-0123456789abcdef0\n  \
        encli keycrux has --machine instance.json --json")]
    Has(KeycruxHas),
    /// Asks, before a server is shut down, whether its next build will get its key.
    ///
    /// Nothing is released and nothing changes, but for one thing: a release that only has to wait is known
    /// to the key stores from now on, so that its delay begins.
    #[command(after_help = "Examples:\n  \
        encli keycrux check --release release/alice.json --release release/bob.json \\\n      \
            --machine instance.json --genesis genesis.json\n  \
        encli keycrux check --release 1.4.0.json --machine i-0123456789abcdef0 --json")]
    Check(KeycruxCheck),
    /// Signs that a server's next configuration may be less strict about its own successors.
    ///
    /// A release alone does not say so. As many maintainers as sign a release of the configuration in force
    /// must approve; the parent shows their events beside the release.
    #[command(after_help = "Example:\n  \
        encli keycrux approve --from enclaved.json --to enclaved.next.json --env prod \\\n      \
            --key bunker:env:BUNKER --out release/approve-alice.json")]
    Approve(KeycruxApprove),
}

/// Which key stores.
#[derive(Args, Clone, Debug)]
pub(crate) struct Launchers {
    /// Whose machines have a vote: the key of a launcher; may be given several times. Not said, everybody's.
    #[arg(long, value_name = "NPUB", value_parser = values::public_key)]
    pub(crate) launcher: Vec<PublicKey>,
}

/// `encli keycrux ls`.
#[derive(Args, Debug)]
pub(crate) struct KeycruxLs {
    /// Also those that do not verify, with the reason.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) of: Launchers,
}

/// `encli keycrux ping` and `status`.
#[derive(Args, Debug)]
pub(crate) struct KeycruxAsked {
    /// The key store's key, as npub or in hex [default: all that verify].
    #[arg(value_name = "NPUB", value_parser = values::public_key)]
    pub(crate) npub: Option<PublicKey>,
    #[command(flatten)]
    pub(crate) of: Launchers,
}

/// `encli keycrux has`.
#[derive(Args, Debug)]
pub(crate) struct KeycruxHas {
    /// The machine: its instance id, its PCR4 in hex, or the file with its launcher's signature.
    #[arg(long, value_name = "WHICH", value_parser = machine)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) of: Launchers,
}

/// `encli keycrux check`.
#[derive(Args, Debug)]
pub(crate) struct KeycruxCheck {
    /// A release signature of the next build, as JSON; one for each maintainer.
    #[arg(long, value_name = "FILE", value_parser = values::path, required = true)]
    pub(crate) release: Vec<PathBuf>,
    /// The server's machine: its instance id, its PCR4 in hex, or the file with its launcher's signature.
    #[arg(long, value_name = "WHICH", value_parser = machine)]
    pub(crate) machine: Machine,
    /// The fresh start that founded the record: the launcher's event, or its id. Needed where the machine had
    /// several.
    #[arg(long, value_name = "WHICH", value_parser = genesis)]
    pub(crate) genesis: Option<Genesis>,
    #[command(flatten)]
    pub(crate) of: Launchers,
}

/// `encli keycrux approve`.
#[derive(Args, Debug)]
pub(crate) struct KeycruxApprove {
    /// The server's configuration in force.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(crate) from: PathBuf,
    /// The configuration of the next build.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) signing: Signing,
}

/// A machine, as it is named on the command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Machine {
    /// By its register.
    Pcr4(Pcr),
    /// By its launcher's signature.
    File(PathBuf),
}

fn machine(value: &str) -> Result<Machine, String> {
    if let Ok(pcr4) = value.parse() {
        return Ok(Machine::Pcr4(pcr4));
    }
    if let Ok(id) = values::instance_id(value) {
        return Ok(Machine::Pcr4(attestation::pcr_digest(id.as_bytes())));
    }
    values::path(value).map(Machine::File)
}

/// A fresh start, as it is named on the command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Genesis {
    /// By the event's id.
    Id(EventId),
    /// By the event.
    File(PathBuf),
}

fn genesis(value: &str) -> Result<Genesis, String> {
    match EventId::from_hex(value) {
        Ok(id) => Ok(Genesis::Id(id)),
        Err(_) => values::path(value).map(Genesis::File),
    }
}

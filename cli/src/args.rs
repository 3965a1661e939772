//! The command line: nouns, verbs, and the options that all of them share.

mod attestation;
mod container;
mod deploy;
mod image;
mod instance;
mod key;
mod keycrux;
mod observe;
mod options;
mod sign;
pub(crate) mod values;
mod wallet;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use attestation::{AttestationCommand, AttestationVerify};
pub(crate) use container::{
    ContainerCommand, ContainerReceipts, ContainerSetEnv, ContainerTopup, ContainerUpgrade, ContainerVerify,
    ContainerVerifyAnswer, ContainerWithdraw, OneContainer, StatementCommand, StatementVerify,
};
pub(crate) use deploy::{Deploy, RegistryAccount};
pub(crate) use image::{ImageCommand, ImagePublishRelease, ImageSignRelease};
pub(crate) use instance::{
    InstanceCommand, InstanceGenesis, InstanceInspect, InstanceLs, InstanceSign, InstanceVerify,
};
pub(crate) use key::{KeyCommand, KeyCreate};
pub(crate) use keycrux::{
    Genesis, KeycruxApprove, KeycruxAsked, KeycruxCheck, KeycruxCommand, KeycruxHas, KeycruxLs, Launchers,
    Machine,
};
pub(crate) use observe::{ContainerEvents, ContainerExec, ContainerLogs, ContainerTransfer};
pub(crate) use options::{Options, Unseen};
pub(crate) use sign::{BuildCommand, BuildSign, ReleaseCommand, ReleaseSign, ReleaseVerify, Signing};
pub(crate) use wallet::{WalletChoice, WalletCommand, WalletCreate, WalletHistory, WalletInvoice, WalletPay};

use crate::error::Failure;
use crate::output::safe;

/// Find enclaves, check them, and run containers in them.
///
/// Everything is checked here, from the root of the attestation (AWS's unless --trust-root names
/// another) down to the digest of an image; relays and servers are believed nothing.
#[derive(Debug, Parser)]
#[command(
    name = "encli",
    version = service::VERSION,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "Examples:\n  \
        encli key create --out ~/.config/encli/key\n  \
        encli --relay wss://relay.example instance ls --maintainer npub1…\n  \
        encli deploy registry.example/app:1 --units 2 --port 8080 --pay file:wallet --wait\n\n\
        Exit codes: 0 done, 1 refused or failed, 64 usage, 69 nobody answered in time."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Attestation documents.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  encli attestation verify document.b64"
    )]
    Attestation(AttestationCommand),
    /// Servers in enclaves.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  encli instance ls --relay wss://relay.example --maintainer npub1…"
    )]
    Instance(InstanceCommand),
    /// Launches a container and shows the invoice that pays for it.
    Deploy(Box<Deploy>),
    /// Containers on such servers.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  encli container status npub1… --key file:key"
    )]
    Container(ContainerCommand),
    /// Key stores: enclaves that keep keys for builds that prove themselves.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  encli keycrux check --release release/alice.json --release release/bob.json \\\n      \
            --machine instance.json --ref https://example.com/keycrux --maintainer npub1…"
    )]
    Keycrux(KeycruxCommand),
    /// Lightning wallets, over Nostr Wallet Connect.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  encli wallet balance --wallet file:wallet"
    )]
    Wallet(WalletCommand),
    /// Keys that command containers.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  encli key create --out key"
    )]
    Key(KeyCommand),
    /// Releases of a server's code, which maintainers sign.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  encli release verify release.json --maintainer npub1…"
    )]
    Release(ReleaseCommand),
    /// Releases of container images, which their signers sign.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  encli image sign-release registry.example/app@sha256:9fc1… \\\n      \
            --ref https://example.com/app --version 1.4.0 --key file:key"
    )]
    Image(ImageCommand),
    /// Builds of a server's image, which builders sign.
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  encli build sign --ref https://example.com/enclaved --version 1.4.0 \\\n      \
            --certificate cert.pem --key file:key"
    )]
    Build(BuildCommand),
}

/// What came of reading the command line.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A command to carry out.
    Run(Box<Cli>, Box<Options>),
    /// Help or version, which was asked for: what it is, and the text.
    Show(&'static str, String),
}

/// The whole command line as clap knows it: every noun and verb takes the shared options.
pub(crate) fn command() -> clap::Command {
    fn with_options(command: clap::Command) -> clap::Command {
        Options::augment_args(command).mut_subcommands(with_options)
    }
    with_options(Cli::command())
}

/// Reads the command line.
///
/// # Errors
/// A [`Failure`] of usage.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Parsed, Failure> {
    let mut matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(e) if e.kind() == ErrorKind::DisplayHelp => return Ok(Parsed::Show("help", e.to_string())),
        Err(e) if e.kind() == ErrorKind::DisplayVersion => return Ok(Parsed::Show("version", e.to_string())),
        Err(e) => return Err(usage(&e)),
    };
    let options = Options::gather(&matches)?;
    let cli = Cli::from_arg_matches_mut(&mut matches).map_err(|e| usage(&e))?;
    Ok(Parsed::Run(Box::new(cli), Box::new(options)))
}

/// True if the arguments ask for JSON, as far as that can be said of arguments that cannot be read.
pub(crate) fn wants_json(arguments: &[OsString]) -> bool {
    arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json")
}

/// A command line that clap refuses, in one sentence.
fn usage(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let failure = Failure::usage("usage", "say what to do; `--help` lists the commands and options");
        return failure.with_help(error.to_string());
    }
    let text = error.to_string();
    let said = text.split("\n\n").filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
    let said = said.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    Failure::usage("usage", format!("{}; `--help` shows how it is used", safe::line(said)))
}

#[cfg(test)]
mod tests;

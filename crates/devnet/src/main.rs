//! `enclaved-devnet`: the program through which a local world starts its parts.

use std::process::ExitCode;

use clap::Parser;
use devnet::demo::DemoArgs;
use devnet::forward::ForwardArgs;
use devnet::helper::Helper;
use devnet::relay_process::RelayArgs;

/// Runs parts of `enclaved` as local processes in an emulated enclave.
#[derive(Debug, Parser)]
#[command(name = "enclaved-devnet", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Helper(Helper),
    /// Plays a stranger's container from being found to being stopped.
    Demo(DemoArgs),
    /// Carries connections from one address to another.
    #[command(hide = true)]
    Forward(ForwardArgs),
    /// Serves a Nostr relay that keeps its events in memory.
    Relay(RelayArgs),
}

// No async runtime here: the helpers enter namespaces, which a process with threads cannot.
fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Helper(helper) => helper.run(),
        Command::Demo(args) => args.run(),
        Command::Forward(args) => args.run(),
        Command::Relay(args) => args.run(),
    }
}

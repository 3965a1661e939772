//! What owners see of a container while it lives, and do in it.

use clap::Args;
use nostr::key::PublicKey;

use super::OneContainer;
use super::values;

/// `encli container logs`.
#[derive(Args, Debug)]
pub(crate) struct ContainerLogs {
    #[command(flatten)]
    pub(crate) container: OneContainer,
    /// How many of the newest lines.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    pub(crate) lines: u32,
    /// Go on until the container is over, or this is interrupted.
    #[arg(long, short)]
    pub(crate) follow: bool,
}

/// `encli container events`.
#[derive(Args, Debug)]
pub(crate) struct ContainerEvents {
    #[command(flatten)]
    pub(crate) container: OneContainer,
    /// How many of the newest.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub(crate) limit: u32,
}

/// `encli container exec`.
#[derive(Args, Debug)]
pub(crate) struct ContainerExec {
    #[command(flatten)]
    pub(crate) container: OneContainer,
    /// How long it may take before it is killed, in seconds.
    #[arg(long, value_name = "SECS", default_value_t = 10)]
    pub(crate) within: u32,
    /// The program and its arguments, after `--`.
    #[arg(last = true, required = true, value_name = "COMMAND", value_parser = values::text)]
    pub(crate) command: Vec<String>,
}

/// `encli container transfer`.
#[derive(Args, Debug)]
pub(crate) struct ContainerTransfer {
    #[command(flatten)]
    pub(crate) container: OneContainer,
    /// The key that is to command it.
    #[arg(long, value_name = "NPUB", value_parser = values::public_key, required_unless_present = "cancel")]
    pub(crate) to: Option<PublicKey>,
    /// Take the offer back.
    #[arg(long, conflicts_with = "to")]
    pub(crate) cancel: bool,
}

//! `encli key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values;

/// Verbs of `key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes a key, writes it to a file for your eyes only (mode 0600), and shows its npub.
    #[command(after_help = "Example:\n  encli key create --out ~/.config/encli/key")]
    Create(KeyCreate),
}

/// `encli key create`.
#[derive(Args, Debug)]
pub(crate) struct KeyCreate {
    /// The file, which must not exist.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(crate) out: PathBuf,
}

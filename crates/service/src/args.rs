//! The command line that all services share.

use std::path::PathBuf;

use clap::Parser;

/// Version and commit, as `--version` shows them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("ENCLAVED_COMMIT"), ")");

/// Options of a service.
#[derive(Clone, Debug, Parser)]
#[command(version = VERSION)]
pub struct Args {
    /// Configuration file, JSON.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Reads and checks the configuration, prints it with secrets masked, and exits.
    #[arg(long)]
    pub check_config: bool,
}

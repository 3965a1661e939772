//! What every service of the house does alike: its command line, its configuration file, its logs, its
//! health and metrics, and how it ends. [`run`] is where to start.

mod args;
mod config;
mod health;
mod limits;
mod logs;
mod program;
mod secret;
mod signals;

use std::process::ExitCode;

pub use args::{Args, VERSION};
pub use config::{ConfigError, read_json};
pub use health::{HealthError, Readiness, serve_health};
pub use logs::init_logs;
pub use program::{Configuration, check_relays, run};
pub use secret::{SecretError, SecretRef, SecretText};
pub use signals::Termination;

/// Exit code for a command line or configuration that cannot be used (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// Installs the process-wide TLS provider. First thing in every `main`: clients made before it panic.
pub fn init_tls() {
    // An error means that one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Reports a fatal error on the log and turns it into an exit code.
#[must_use]
pub fn fail(what: &str, error: &dyn std::error::Error) -> ExitCode {
    let mut causes = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::error!("{what}: {error}{causes}");
    ExitCode::FAILURE
}

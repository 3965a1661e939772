//! The in-enclave server.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::run(enclaved::server::run)
}

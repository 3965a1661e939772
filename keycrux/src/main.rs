//! The key store.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::run(keycrux::server::run)
}

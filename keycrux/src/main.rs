//! The key store.

use std::process::ExitCode;

use clap::Parser;
use keycrux::config::Config;
use service::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    service::init_tls();
    service::init_logs();
    let config = match Config::load(args.config.as_deref()) {
        Ok(config) => config,
        Err(e) => {
            tracing::error!("configuration: {e}");
            return ExitCode::from(service::EXIT_USAGE);
        }
    };
    if args.check_config {
        return print(&config);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return service::fail("the runtime could not start", &e),
    };
    match runtime.block_on(keycrux::server::run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "--check-config prints")]
fn print(config: &Config) -> ExitCode {
    match config.masked() {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(e) => service::fail("the configuration cannot be printed", &e),
    }
}

//! What people type.
//!
//! ```text
//! args ─► settings (+ config) ─► context ─► commands ─► a value ─► output: JSON or text
//!                                             │
//!                             find (relays) · remote (servers) · wallet (NIP-47)
//! ```

mod args;
mod bill;
mod certificate;
mod commands;
mod config;
mod context;
mod error;
mod files;
mod find;
mod image;
mod key;
mod lnurl;
mod output;
mod progress;
mod remote;
mod secrets;
mod settings;
mod signer;
mod wallet;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use units::SystemClock;

use crate::args::{Command, Options, Parsed};
use crate::context::Context;
use crate::error::Failure;
use crate::output::Format;
use crate::settings::Settings;

fn main() -> ExitCode {
    service::init_tls();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut json = args::wants_json(&arguments);
    match run(&arguments, &mut json) {
        Ok(text) => output::succeed(&text),
        Err(failure) => output::fail(&failure, json),
    }
}

/// Carries out the command and returns what to print. `json` is set once it is known how to print.
fn run(arguments: &[OsString], json: &mut bool) -> Result<String, Failure> {
    match args::parse(arguments)? {
        Parsed::Show(what, text) if *json => Ok(output::named(what, &text)),
        Parsed::Show(_, text) => Ok(text),
        Parsed::Run(cli, options) => carry_out(cli.command, *options, json),
    }
}

fn carry_out(command: Command, options: Options, json: &mut bool) -> Result<String, Failure> {
    *json |= options.json;
    let given = options.clone();
    let settings = Settings::load(options)?;
    *json = settings.json;
    let format = Format::detect(settings.json, config::wants_colour());
    let ctx = Context::new(settings, format, Arc::new(SystemClock));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::refused("runtime", format!("cannot start: {e}")))?;
    let ended = runtime.block_on(commands::run(&ctx, command, &given));
    // A name server that does not answer must not hold up the end.
    runtime.shutdown_background();
    ended
}

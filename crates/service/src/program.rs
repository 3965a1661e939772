//! The way of a service from its command line to its end, which all that read a file have in common.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits;
use crate::{Args, ConfigError, EXIT_USAGE, fail, init_logs, init_tls, read_json};

/// What still blocks at the end is a look-up that nothing can interrupt, or a write that nobody was told is
/// done: neither is waited for much longer.
const END_WAIT: Duration = Duration::from_secs(1);

/// The configuration of a service, a JSON file that is read and checked whole before anything is opened.
pub trait Configuration: Clone + DeserializeOwned + Serialize {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`ConfigError`], naming the field.
    fn check(&self) -> Result<(), ConfigError>;

    /// The same with everything masked that may be secret, for people to read.
    #[must_use]
    fn masked(&self) -> Self {
        self.clone()
    }

    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`ConfigError`], naming the field.
    fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let path = path.ok_or_else(|| ConfigError::field("--config", "name the configuration file"))?;
        let config: Self = read_json(path)?;
        config.check()?;
        Ok(config)
    }
}

/// Checks addresses of relays.
///
/// # Errors
/// [`ConfigError`], naming `field`.
pub fn check_relays(field: &'static str, urls: &[String]) -> Result<(), ConfigError> {
    match urls.iter().find(|url| !url.starts_with("wss://") && !url.starts_with("ws://")) {
        Some(url) => {
            let problem = format!("a relay's address begins with wss:// or ws://, and {url} does not");
            Err(ConfigError::field(field, problem))
        }
        None => Ok(()),
    }
}

/// Runs a service: reads the command line and the configuration, and either prints that
/// (`--check-config`) or serves until the end.
pub fn run<C, E, F>(serve: impl FnOnce(C) -> F) -> ExitCode
where
    C: Configuration,
    E: Display,
    F: Future<Output = Result<(), E>>,
{
    let args = Args::parse();
    init_tls();
    init_logs();
    let config = match C::load(args.config.as_deref()) {
        Ok(config) => config,
        Err(e) => {
            tracing::error!("configuration: {e}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if args.check_config {
        return print(&config.masked());
    }
    limits::raise_files();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail("the runtime could not start", &e),
    };
    let ended = runtime.block_on(serve(config));
    runtime.shutdown_timeout(END_WAIT);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // With all causes, if the error has them.
            tracing::error!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "--check-config prints")]
fn print(config: &impl Serialize) -> ExitCode {
    match serde_json::to_string_pretty(config) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(e) => fail("the configuration cannot be printed", &e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relay_that_is_none_is_named_with_its_field() {
        let check = |urls: &[&str]| {
            let urls: Vec<_> = urls.iter().map(|&url| url.to_owned()).collect();
            check_relays("keycrux.relays", &urls).map_err(|e| e.to_string())
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["wss://a.example", "ws://127.0.0.1:7777"]), Ok(()));
        for bad in ["https://a.example", "a.example", ""] {
            let error = check(&["wss://a.example", bad]).unwrap_err();
            assert!(error.starts_with("keycrux.relays: ") && error.contains("wss://"), "{error}");
        }
    }
}

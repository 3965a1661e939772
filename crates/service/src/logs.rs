//! Logs: one line each, on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Ours at info; libraries only when something is wrong. The relay library would log what it receives.
const FILTER_DEFAULT: &str = "info,nostr_sdk=warn,hyper=warn,reqwest=warn,bollard=warn,rustls=warn";

/// Starts logging: `RUST_LOG` filters, `LOG_FORMAT=json` writes JSON.
#[expect(clippy::disallowed_methods, reason = "logs are configured before any configuration is read")]
pub fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT));
    let registry = tracing_subscriber::registry().with(filter);
    let result = if std::env::var("LOG_FORMAT").is_ok_and(|format| format == "json") {
        registry.with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr)).try_init()
    } else {
        let plain = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
        registry.with(plain).try_init()
    };
    // An error means that a test has started logging already.
    drop(result);
}

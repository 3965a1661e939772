//! The host-side service of the enclave: it hands over the events that vouch for the build and the
//! machine, says at which address the host is reached, writes the enclave's log lines, keeps its sealed
//! backups, and announces the shutdown. The enclave believes none of it without checking.

mod backup;
mod config;
mod host;
mod meta;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use protocol::parent::Push;
use service::{Readiness, Termination};
use transport::{Listener, Pusher, serve, serve_backups};
use units::SystemClock;

use crate::backup::Backups;
use crate::config::Config;
use crate::host::Host;

fn main() -> ExitCode {
    service::run(run)
}

async fn run(config: Config) -> anyhow::Result<()> {
    let mut termination = Termination::listen()?;
    let readiness = Readiness::default();
    if let Some(address) = config.metrics {
        service::serve_health(address, readiness.clone()).await?;
    }
    let deadline_secs = config.shutdown_secs;
    let backups = match &config.backup {
        Some(backup) => Some(Arc::new(Backups::open(backup, Arc::new(SystemClock)).await?)),
        None => None,
    };
    let serving_backups = match (&config.backup, &backups) {
        (Some(backup), Some(backups)) => {
            let listener = Listener::bind(&backup.listen).await.context(backup.listen.to_string())?;
            tracing::info!(listen = %backup.listen, "ready for backups");
            Some(tokio::spawn(serve_backups(listener, Arc::clone(backups))))
        }
        (None, _) | (_, None) => {
            tracing::warn!("no backup store is configured: what the enclave holds ends with it");
            None
        }
    };
    let listener = Listener::bind(&config.listen).await.context(config.listen.to_string())?;
    tracing::info!(listen = %config.listen, "ready for the enclave");
    let pusher = Pusher::default();
    let serving = tokio::spawn(serve(listener, Arc::new(Host::new(config, backups)), pusher.clone()));
    readiness.set(true);
    let signal = termination.wait().await;
    readiness.set(false);
    let told = pusher.push(Push::Shutdown { deadline_secs });
    tracing::info!(signal, told, "shutting down");
    host::wait_for_enclaves(told, deadline_secs, &pusher).await;
    serving.abort();
    // What the enclave said last before it ended is stored by now, or was never acknowledged.
    if let Some(serving) = serving_backups {
        serving.abort();
    }
    Ok(())
}

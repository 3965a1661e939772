//! The host-side service of the enclave: it hands over the events that vouch for the build and the
//! machine, says at which address the host is reached, writes the enclave's log lines, keeps its sealed
//! backups, and announces the shutdown. The enclave believes none of it without checking.

mod backup;
mod config;
mod host;
mod log_rate;
mod meta;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use protocol::parent::Push;
use service::{Readiness, Termination};
use tokio::task::{JoinError, JoinSet};
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
    let mut tasks = JoinSet::new();
    match (&config.backup, &backups) {
        (Some(backup), Some(backups)) => {
            let listener = Listener::bind(&backup.listen).await.context(backup.listen.to_string())?;
            tracing::info!(listen = %backup.listen, "ready for backups");
            let (serving, watching) = (Arc::clone(backups), Arc::clone(backups));
            tasks.spawn(async move { serve_backups(listener, serving).await.context("backup.listen") });
            tasks.spawn(async move {
                watching.watch_for_rot().await;
                Ok(())
            });
        }
        (None, _) | (_, None) => {
            tracing::warn!("no backup store is configured: what the enclave holds ends with it");
        }
    }
    let listener = Listener::bind(&config.listen).await.context(config.listen.to_string())?;
    tracing::info!(listen = %config.listen, "ready for the enclave");
    let pusher = Pusher::default();
    let host = Arc::new(Host::new(config, backups, Arc::new(SystemClock)));
    let pushing = pusher.clone();
    tasks.spawn(async move { serve(listener, host, pushing).await.context("listen") });
    readiness.set(true);
    let signal = tokio::select! {
        signal = termination.wait() => signal,
        ended = tasks.join_next() => return Err(early_end(ended)),
    };
    readiness.set(false);
    let told = pusher.push(Push::Shutdown { deadline_secs });
    tracing::info!(signal, told, "shutting down");
    host::wait_for_enclaves(told, deadline_secs, &pusher).await;
    // What the enclave said last before it ended is stored by now, or was never acknowledged.
    tasks.shutdown().await;
    Ok(())
}

/// A parent that does a part of its work looks well and is not: it ends, and whoever started it starts it again.
fn early_end(ended: Option<Result<anyhow::Result<()>, JoinError>>) -> anyhow::Error {
    let why = match ended {
        Some(Ok(Err(e))) => e,
        Some(Err(e)) => anyhow::Error::new(e),
        Some(Ok(Ok(()))) | None => anyhow::anyhow!("it had nothing more to do"),
    };
    why.context("a part of the parent ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn part_that_ends_is_an_error_that_says_why() {
        let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
        tasks.spawn(async { Err(std::io::Error::other("no sockets today")).context("listen") });
        let said = format!("{:#}", early_end(tasks.join_next().await));
        assert_eq!(said, "a part of the parent ended: listen: no sockets today");
        tasks.spawn(async { panic!("oh") });
        assert!(format!("{:#}", early_end(tasks.join_next().await)).contains("panicked"));
        tasks.spawn(async { Ok(()) });
        assert!(format!("{:#}", early_end(tasks.join_next().await)).contains("nothing more to do"));
    }
}

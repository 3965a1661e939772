//! How the server ends.

use std::sync::Arc;
use std::time::Duration;

use keyholder::Loss;
use protocol::parent::Push;
use service::Termination;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::deploy::Fleet;

/// How long the last snapshot may take if nobody says how long there is.
const LAST_SNAPSHOT_WAIT: Duration = Duration::from_secs(60);
/// What stays of the parent's deadline for everything else.
const DEADLINE_SHARE: u64 = 2;

/// Why the server ends.
pub(super) enum End {
    /// It was asked to, or a part of it ended.
    Asked {
        /// By whom, or why.
        reason: String,
        /// In how many seconds it will be killed, if that was said.
        deadline_secs: Option<u64>,
    },
    /// Another has its state.
    Lost(Loss),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asked { reason, .. } => f.write_str(reason),
            Self::Lost(loss) => write!(f, "the record is lost: {loss}"),
        }
    }
}

impl End {
    /// Ends in order, with a last snapshot; or at once and with an error, if another has the state.
    pub(super) async fn carry_out(
        self,
        ctx: &Arc<Context>,
        fleet: &Arc<Fleet>,
        mut tasks: JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Lost(loss) => {
                // First of all: whatever runs, runs with keys that are another's now.
                ctx.runtime.kill_all().await;
                tasks.abort_all();
                ctx.parent_log.line(format!("stopped at once: the record is lost: {loss}"));
                Err(anyhow::Error::new(loss).context("the record is lost, and everything was stopped"))
            }
            Self::Asked { reason, deadline_secs } => {
                tracing::info!("ending: {reason}");
                fleet.shutdown().await;
                last_snapshot(ctx, deadline_secs).await;
                tasks.shutdown().await;
                tracing::info!("ended");
                Ok(())
            }
        }
    }
}

async fn last_snapshot(ctx: &Context, deadline_secs: Option<u64>) {
    let Some(snapshots) = &ctx.snapshots else { return };
    let wait = deadline_secs.map_or(LAST_SNAPSHOT_WAIT, |secs| Duration::from_secs(secs / DEADLINE_SHARE));
    if tokio::time::timeout(wait, snapshots.take_or_say(ctx)).await.is_err() {
        tracing::error!("the last snapshot took longer than {} s and may not count", wait.as_secs());
    }
}

/// Waits until the state can be relied on, or until there is a reason to end.
pub(super) async fn settled(
    ctx: &Context,
    termination: &mut Termination,
    pushes: &mut mpsc::Receiver<Push>,
) -> Option<End> {
    let snapshots = ctx.snapshots.as_ref()?;
    tokio::select! {
        () = snapshots.settle(ctx) => None,
        end = asked_to_end(termination, pushes) => Some(end),
        loss = ctx.hold.lost() => Some(End::Lost(loss)),
    }
}

/// Waits for a signal or for the parent's word.
pub(super) async fn asked_to_end(termination: &mut Termination, pushes: &mut mpsc::Receiver<Push>) -> End {
    tokio::select! {
        signal = termination.wait() => End::Asked { reason: signal.to_owned(), deadline_secs: None },
        end = shutdown_push(pushes) => end,
    }
}

/// Waits for a reason to end.
pub(super) async fn wait_for_end(
    termination: &mut Termination,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    pushes: &mut mpsc::Receiver<Push>,
) -> End {
    tokio::select! {
        end = asked_to_end(termination, pushes) => end,
        ended = tasks.join_next() => {
            let reason = match ended {
                Some(Ok(Err(e))) => format!("{e:#}"),
                Some(Err(e)) => e.to_string(),
                Some(Ok(Ok(()))) | None => "a part of the server ended".to_owned(),
            };
            End::Asked { reason, deadline_secs: None }
        }
    }
}

/// A parent that goes away is no reason to end: it is found again when it is back, and containers go on without it.
async fn shutdown_push(pushes: &mut mpsc::Receiver<Push>) -> End {
    match pushes.recv().await {
        Some(Push::Shutdown { deadline_secs }) => {
            let reason = format!("the parent gives us {deadline_secs} s");
            End::Asked { reason, deadline_secs: Some(deadline_secs) }
        }
        None => std::future::pending().await,
    }
}

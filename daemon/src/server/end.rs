//! How the server ends.

use std::sync::Arc;
use std::time::Duration;

use keyholder::Loss;
use protocol::parent::Push;
use service::Termination;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use units::Stopwatch;

use crate::context::Context;
use crate::deploy::Fleet;

/// How long the end may take if nobody says how long there is.
const END_WAIT: Duration = Duration::from_secs(120);
/// The parts of it in which commands under way are answered, and containers are stopped; the last snapshot
/// has the rest, less a reserve for everything after it.
const DRAIN_SHARE: u32 = 8;
/// See [`DRAIN_SHARE`].
const STOP_SHARE: u32 = 3;
/// See [`DRAIN_SHARE`].
const RESERVE_SHARE: u32 = 8;

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
    /// Ends in order, with a last snapshot; or at once and with an error, if another has the state, or gets
    /// it meanwhile. `drain` answers what is under way.
    pub(super) async fn carry_out(
        self,
        ctx: &Arc<Context>,
        fleet: &Arc<Fleet>,
        drain: impl Future<Output = ()>,
        mut tasks: JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let loss = match self {
            Self::Lost(loss) => loss,
            Self::Asked { reason, deadline_secs } => {
                tracing::info!("ending: {reason}");
                let whole = deadline_secs.map_or(END_WAIT, Duration::from_secs);
                tokio::select! {
                    () = end_in_order(ctx, fleet, drain, whole) => {
                        tasks.shutdown().await;
                        tracing::info!("ended");
                        return Ok(());
                    }
                    loss = ctx.hold.lost() => loss,
                }
            }
        };
        // First of all: whatever runs, runs with keys that are another's now.
        ctx.runtime.kill_all().await;
        tasks.abort_all();
        ctx.parent_log.line(format!("stopped at once: the record is lost: {loss}"));
        Err(anyhow::Error::new(loss).context("the record is lost, and everything was stopped"))
    }
}

/// Each part gets its share of the time at most, so that none of them costs the last snapshot.
async fn end_in_order(ctx: &Context, fleet: &Fleet, drain: impl Future<Output = ()>, whole: Duration) {
    let since = Stopwatch::start();
    bounded("answering what is under way", whole / DRAIN_SHARE, drain).await;
    bounded("stopping containers", whole / STOP_SHARE, fleet.shutdown()).await;
    if let Some(snapshots) = &ctx.snapshots {
        let left = (whole - whole / RESERVE_SHARE).saturating_sub(since.elapsed());
        bounded("the last snapshot", left, async { _ = snapshots.take_or_say(ctx).await }).await;
    }
}

async fn bounded(what: &str, wait: Duration, part: impl Future<Output = ()>) {
    if tokio::time::timeout(wait, part).await.is_err() {
        tracing::error!("{what} took longer than {} ms and was given up", wait.as_millis());
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

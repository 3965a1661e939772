//! Puts one image in the place of another, stage by stage, from wherever the record says that it is.
//!
//! [`lifecycle::upgrade::next`] says what follows; here it is written down, then done.

use std::time::Duration;

use lifecycle::upgrade::{Act, End, Stage, Told, next};
use nostr::key::PublicKey;
use protocol::rpc::enclaved::{StateReason, UpgradeOutcome};
use thiserror::Error;
use units::Stopwatch;

use super::{because, health, images, tell_end};
use crate::checkpoint::Step;
use crate::context::Context;
use crate::deploy::launch::{self, LaunchFailure};
use crate::guest_wallets;
use crate::runtime::RuntimeError;
use crate::store::{Container, OpenUpgrade, Probe, StoreError};

/// How long something is tried that fails for a passing reason, such as an engine that restarts.
const TRY_WAIT: Duration = Duration::from_secs(60);
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// An upgrade could neither be carried on nor undone for now; it is where the record says.
#[derive(Debug, Error)]
pub(crate) enum SwapError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine or the volume failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// An upgrade under way.
struct Swap<'c> {
    ctx: &'c Context,
    /// As it is on record, with the image that is on record.
    container: Container,
    open: OpenUpgrade,
}

/// Enters the stage that follows after what was `told`, on record and nothing more; false if there is no
/// upgrade, or it ended with that.
///
/// # Errors
/// [`SwapError`]; nothing changed then.
pub(crate) async fn enter(ctx: &Context, pubkey: &PublicKey, told: Told) -> Result<bool, SwapError> {
    let Some(mut swap) = Swap::find(ctx, pubkey)? else { return Ok(false) };
    swap.follow(told).await
}

/// Carries an upgrade on until it is over.
///
/// # Errors
/// [`SwapError`] if the store fails; it can be carried on later.
pub(crate) async fn carry_on(ctx: &Context, pubkey: &PublicKey) -> Result<(), SwapError> {
    let Some(mut swap) = Swap::find(ctx, pubkey)? else { return Ok(()) };
    let took = Stopwatch::start();
    loop {
        let told = match swap.open.intent.stage {
            // Whoever calls has entered the stage behind it.
            Stage::Fetching => Told::Done,
            Stage::Stopping => swap.stop_and_save().await,
            Stage::Trying { .. } => swap.run_on_trial().await,
            Stage::RollingBack { .. } => swap.roll_back_insistently().await,
        };
        if !swap.follow(told).await? {
            metrics::histogram!("upgrade_seconds").record(took.elapsed().as_secs_f64());
            images::forget(ctx, [&swap.open.intent.from, &swap.open.intent.to]).await;
            return Ok(());
        }
        if swap.open.intent.stage == (Stage::Trying { tries: 0 }) {
            ctx.checkpoints.reach(Step::UpgradeSwitched, &pubkey.to_hex()).await;
        }
    }
}

/// Gives an upgrade up that has begun to replace the process: afterwards the old image and its data are in
/// place and nothing runs. One that still fetches is left alone.
///
/// # Errors
/// [`SwapError`]; to be tried again before the container is started.
pub(crate) async fn abandon(ctx: &Context, pubkey: &PublicKey) -> Result<(), SwapError> {
    let Some(mut swap) = Swap::find(ctx, pubkey)? else { return Ok(()) };
    if swap.open.intent.stage == Stage::Fetching {
        return Ok(());
    }
    swap.open.intent.why.get_or_insert_with(|| {
        because("cancelled", "the container was stopped while its image was being upgraded")
    });
    let mut told = Told::Cancelled;
    while swap.follow(told).await? {
        swap.roll_back().await?;
        told = Told::Done;
    }
    images::forget(ctx, [&swap.open.intent.from, &swap.open.intent.to]).await;
    Ok(())
}

/// Ends an upgrade on record, for a container whose process it has not touched or whose data is gone.
///
/// # Errors
/// [`SwapError::Store`].
pub(crate) async fn end(
    ctx: &Context,
    pubkey: &PublicKey,
    outcome: UpgradeOutcome,
    why: &StateReason,
) -> Result<(), SwapError> {
    let Some(swap) = Swap::find(ctx, pubkey)? else { return Ok(()) };
    ctx.store.end_upgrade(&swap.open, outcome, Some(why), None, ctx.clock.now())?;
    tell_end(ctx, &swap.container, &swap.open.intent.to.image, outcome, Some(why));
    images::forget(ctx, [&swap.open.intent.from, &swap.open.intent.to]).await;
    Ok(())
}

impl<'c> Swap<'c> {
    fn find(ctx: &'c Context, pubkey: &PublicKey) -> Result<Option<Self>, SwapError> {
        let Some(open) = ctx.store.open_upgrade(pubkey)? else { return Ok(None) };
        let container = ctx.store.container(pubkey)?.ok_or(StoreError::Missing)?;
        Ok(Some(Self { ctx, container, open }))
    }

    fn subject(&self) -> String {
        self.container.pubkey().to_hex()
    }

    /// Puts what follows on record; false if that is the end.
    async fn follow(&mut self, told: Told) -> Result<bool, SwapError> {
        let _not_copied = self.ctx.stages.enter().await;
        match next(self.open.intent.stage, told) {
            Act::Enter(stage) => {
                let switches =
                    self.open.intent.stage == Stage::Stopping && stage == (Stage::Trying { tries: 0 });
                let mut intent = self.open.intent.clone();
                intent.stage = stage;
                if switches {
                    // What is on record from here on is what runs next, and what is certified.
                    self.container.spec = self.ctx.store.switch_image(&self.open, &intent, &intent.to)?;
                } else {
                    self.ctx.store.save_upgrade(self.open.id, &intent)?;
                }
                self.open.intent = intent;
                Ok(true)
            }
            Act::Finish(end) => self.finish(end).map(|()| false),
        }
    }

    fn finish(&mut self, end: End) -> Result<(), SwapError> {
        let intent = &self.open.intent;
        let (outcome, part) = match end {
            End::Done => (UpgradeOutcome::Done, &intent.to),
            End::Refused => (UpgradeOutcome::Refused, &intent.from),
            End::RolledBack => (UpgradeOutcome::RolledBack, &intent.from),
            End::Cancelled => (UpgradeOutcome::Cancelled, &intent.from),
        };
        let why = if end == End::Done { None } else { intent.why.as_ref() };
        self.ctx.store.end_upgrade(&self.open, outcome, why, Some(part), self.ctx.clock.now())?;
        tell_end(self.ctx, &self.container, &intent.to.image, outcome, why);
        // The copies are named by the upgrade: what stays of one can only take room until the next.
        if let Err(e) = self.ctx.runtime.forget_saved_volumes(&self.container) {
            tracing::warn!(container = %self.container.pubkey(), "copy of the volume: {e}");
        }
        Ok(())
    }

    /// The old process ends in order, and the volume is copied as it left it.
    async fn stop_and_save(&mut self) -> Told {
        if self.open.intent.probe.is_none() {
            // While it still runs: on what it accepts, the next image must.
            self.open.intent.probe = Some(Probe::Ports(health::accepting(self.ctx, &self.container).await));
            // A crash behind this would find a process that accepts nothing any more.
            if let Err(e) = self.ctx.store.save_upgrade(self.open.id, &self.open.intent) {
                tracing::error!(container = %self.container.pubkey(), "what it accepts was not saved: {e}");
            }
        }
        let trying = Stopwatch::start();
        loop {
            match self.try_to_stop_and_save().await {
                Ok(had_volume) => {
                    self.open.intent.had_volume = had_volume;
                    self.ctx.checkpoints.reach(Step::UpgradeSaved, &self.subject()).await;
                    return Told::Done;
                }
                // The app is down meanwhile, and a disk that is full stays full for longer than that.
                Err(e) if !e.is_full() && trying.elapsed() < TRY_WAIT => {
                    tracing::warn!(container = %self.container.pubkey(), "stop for an upgrade: {e}; trying again");
                    tokio::time::sleep(TRY_EVERY).await;
                }
                Err(e) => {
                    tracing::error!(container = %self.container.pubkey(), "stop for an upgrade: {e}");
                    let message = "the server could not stop the container or copy its volume";
                    self.open.intent.why = Some(because("internal", message));
                    return Told::Failed;
                }
            }
        }
    }

    async fn try_to_stop_and_save(&self) -> Result<bool, RuntimeError> {
        self.ctx.runtime.check_room_for_copy(&self.container)?;
        self.ctx.runtime.stop(&self.container).await?;
        self.ctx.runtime.save_volume(&self.container, self.open.id).await
    }

    /// The new image runs, on the volume itself, until it is healthy or not.
    async fn run_on_trial(&mut self) -> Told {
        // What the image before was given has ended on record. A wallet that is silent hears of it later.
        if let Err(e) = guest_wallets::end_others(self.ctx, &self.container).await {
            tracing::warn!(container = %self.container.pubkey(), "connections of its app: {e}");
        }
        let trying = Stopwatch::start();
        let failure = loop {
            match self.start_new().await {
                Ok(()) => break None,
                // It waits as long as this server may not act, and that says nothing of the image.
                Err(failure) if failure.code == launch::NOT_HOLDING => self.ctx.hold.held().await,
                Err(failure) if failure.is_passing() && trying.elapsed() < TRY_WAIT => {
                    tracing::warn!(container = %self.container.pubkey(), "trial: {failure}; trying again");
                    tokio::time::sleep(TRY_EVERY).await;
                }
                Err(failure) => break Some(because(failure.code, failure.message)),
            }
        };
        if failure.is_none() {
            self.ctx.checkpoints.reach(Step::UpgradeStarted, &self.subject()).await;
        }
        let probe = self.open.intent.probe.clone().unwrap_or(Probe::Ports(Vec::new()));
        let healthy = match failure {
            Some(why) => Err(why),
            None => health::wait_healthy(self.ctx, &self.container, &probe).await,
        };
        match healthy {
            Ok(()) => {
                self.ctx.checkpoints.reach(Step::UpgradeHealthy, &self.subject()).await;
                Told::Done
            }
            Err(why) => {
                self.open.intent.why = Some(why);
                Told::Failed
            }
        }
    }

    async fn start_new(&self) -> Result<(), LaunchFailure> {
        launch::ensure_image(self.ctx, &self.container).await?;
        self.ctx.runtime.prepare(&self.container).await?;
        // Another may have this server's state, and run it already.
        self.ctx.hold.held().await;
        Ok(self.ctx.runtime.start(&self.container).await?)
    }

    /// There is no way but back.
    async fn roll_back_insistently(&mut self) -> Told {
        while let Err(e) = self.roll_back().await {
            tracing::error!(container = %self.container.pubkey(), "rolling back: {e}; trying again");
            tokio::time::sleep(TRY_EVERY).await;
        }
        Told::Done
    }

    /// The new process is killed and its container removed, so that nothing can start it again; then the
    /// copy takes the place of the volume. May be done twice.
    async fn roll_back(&mut self) -> Result<(), SwapError> {
        // A trial that crashes cut short may have no reason yet.
        self.open.intent.why.get_or_insert_with(|| {
            because("interrupted", "each trial of the new image was cut short by a crash of the server")
        });
        self.ctx.checkpoints.reach(Step::UpgradeFailed, &self.subject()).await;
        let had_volume = self.open.intent.had_volume;
        self.ctx.runtime.restore_volume(&self.container, self.open.id, had_volume).await?;
        self.ctx.checkpoints.reach(Step::UpgradeRestored, &self.subject()).await;
        Ok(())
    }
}

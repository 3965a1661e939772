//! What a driver does about upgrades: takes orders, has the image fetched while the old one runs, and
//! hands its process over to [`swap`] until that is done.

use std::sync::Arc;

use lifecycle::upgrade::{Stage, Told};
use lifecycle::{Effect, Event};
use protocol::manifest::Upgrade;
use protocol::rpc::Code;
use protocol::rpc::enclaved::{StateReason, UpgradeOutcome};

use super::Driver;
use crate::checkpoint::Step;
use crate::deploy::launch::{self, LaunchFailure};
use crate::deploy::{CommandError, Input};
use crate::runtime::Runtime;
use crate::store::{Container, ImagePart, UpgradeIntent};
use crate::upgrade::Order;
use crate::upgrade::swap::{self, SwapError};

impl Driver {
    /// Puts an upgrade on record and begins it, if it may be.
    pub(super) async fn upgrade(&mut self, order: &Order) -> Result<(), CommandError> {
        self.ctx.hold.require().map_err(|failure| not_now(failure.code, &failure.message))?;
        // Looking the image up took as long as its registry liked.
        if let Some(by) = order.by() {
            self.check_owner(by)?;
        }
        let pubkey = self.container.pubkey();
        let is_pinned = self.ctx.store.is_pinned(&pubkey)?;
        let intent = intent(&self.container, is_pinned, order)?;
        let to = intent.to.clone();
        let (release, key, now) = (order.release(), order.request_key(), self.ctx.clock.now());
        if self.ctx.store.begin_upgrade(&pubkey, release, key, &intent, now)?.is_none() {
            return Err(not_now(
                Code::UpgradeOpen,
                "the container is being upgraded already; wait for its end",
            ));
        }
        self.note("upgrade_open", &format!("upgrading to {}", to.image));
        self.ctx.checkpoints.reach(Step::UpgradeIntended, &pubkey.to_hex()).await;
        self.fetch(&to);
        Ok(())
    }

    /// Goes on fetching the image of an upgrade that a crash found there.
    pub(super) fn resume_fetch(&mut self) {
        match self.ctx.store.open_upgrade(&self.container.pubkey()) {
            Ok(Some(open)) if open.intent.stage == Stage::Fetching && !self.container.state.upgrading => {
                self.fetch(&open.intent.to);
            }
            Ok(_) => {}
            Err(e) => tracing::error!(container = %self.container.pubkey(), "upgrade not read: {e}"),
        }
    }

    fn fetch(&mut self, to: &ImagePart) {
        let spec = match self.container.spec.with_image(to) {
            Ok(spec) => spec,
            Err(e) => return tracing::error!(container = %self.container.pubkey(), "upgrade: {e}"),
        };
        let container = Container { spec, ..self.container.clone() };
        let (ctx, inputs) = (Arc::clone(&self.ctx), self.inputs.clone());
        self.upgrading = Some(tokio::spawn(async move {
            let fetched = launch::fetch_image(&ctx, &container).await;
            if fetched.is_ok() {
                ctx.checkpoints.reach(Step::UpgradeFetched, &container.pubkey().to_hex()).await;
                // Until here it can be given up; the process is not touched before this server may start
                // another.
                ctx.hold.held().await;
            }
            drop(inputs.send(Input::ImageFetched(fetched)).await);
        }));
    }

    /// The image is there, and the old process may be stopped for it; or it cannot be had.
    pub(super) async fn image_fetched(&mut self, outcome: Result<(), LaunchFailure>) {
        self.upgrading = None;
        let ended = match outcome {
            // Held while it was fetched: what was said then holds.
            Ok(()) if self.ctx.store.is_pinned(&self.container.pubkey()).unwrap_or(false) => {
                (UpgradeOutcome::Cancelled, "pinned", "you hold the container at its image".to_owned())
            }
            Ok(()) => match self.command(Event::UpgradeReady).await {
                Ok(()) => return,
                Err(e) => (UpgradeOutcome::Cancelled, "state_refused", e.to_string()),
            },
            Err(failure) => (UpgradeOutcome::Refused, failure.code, failure.message),
        };
        let (outcome, code, message) = ended;
        let why = StateReason { code: code.to_owned(), message };
        if let Err(e) = swap::end(&self.ctx, &self.container.pubkey(), outcome, &why).await {
            // It stays on record as being fetched, and is taken up again when the server starts.
            tracing::error!(container = %self.container.pubkey(), "end of an upgrade not saved: {e}");
        }
    }

    /// Hands the process over to the upgrade on record, wherever that is. Without one there is nothing to
    /// hand over for.
    pub(super) async fn swap(&mut self) -> Option<Event> {
        if self.upgrading.as_ref().is_some_and(|task| !task.is_finished()) {
            return None;
        }
        let (ctx, pubkey) = (Arc::clone(&self.ctx), self.container.pubkey());
        let open = match ctx.store.open_upgrade(&pubkey) {
            Ok(open) => open,
            Err(e) => {
                self.try_again(Effect::Upgrade, &e.into());
                return None;
            }
        };
        let Some(open) = open else { return Some(Event::UpgradeEnded) };
        let told = if open.intent.stage == Stage::Fetching { Told::Done } else { Told::Found };
        // On record before anything can ask where it is.
        match swap::enter(&ctx, &pubkey, told).await {
            Ok(true) => {}
            Ok(false) => return Some(Event::UpgradeEnded),
            Err(e) => {
                self.try_again(Effect::Upgrade, &e);
                return None;
            }
        }
        let inputs = self.inputs.clone();
        self.upgrading = Some(tokio::spawn(async move {
            let outcome = swap::carry_on(&ctx, &pubkey).await;
            drop(inputs.send(Input::Swapped(outcome)).await);
        }));
        None
    }

    /// The upgrade gives the process back.
    pub(super) async fn swapped(&mut self, outcome: Result<(), SwapError>) {
        self.upgrading = None;
        self.reread();
        // It may have been given up after it had ended, and before this was heard.
        if !self.container.state.upgrading {
            return;
        }
        match outcome {
            Ok(()) => self.feed(Event::UpgradeEnded).await,
            Err(e) => self.try_again(Effect::Upgrade, &e),
        }
    }

    /// Afterwards the old image and its data are in place and nothing runs, unless that is owed.
    pub(super) async fn abandon_upgrade(&mut self) {
        // One that is still owed is not wanted any more.
        self.owed.forget(Effect::Upgrade);
        let replacing = match self.ctx.store.open_upgrade(&self.container.pubkey()) {
            Ok(open) => open.is_some_and(|open| open.intent.stage != Stage::Fetching),
            Err(e) => return self.try_again(Effect::AbandonUpgrade, &e.into()),
        };
        if !replacing {
            return self.reread();
        }
        self.cancel_upgrade().await;
        match swap::abandon(&self.ctx, &self.container.pubkey()).await {
            Ok(()) => self.reread(),
            Err(e) => self.try_again(Effect::AbandonUpgrade, &e),
        }
    }

    /// Ends the upgrade of a container that is over. Its data, and the copy of it, go with it.
    pub(super) async fn end_upgrade(&mut self) {
        self.cancel_upgrade().await;
        let why = StateReason { code: "terminated".to_owned(), message: "the container is over".to_owned() };
        let pubkey = self.container.pubkey();
        if let Err(e) = swap::end(&self.ctx, &pubkey, UpgradeOutcome::Cancelled, &why).await {
            tracing::error!(container = %self.container.pubkey(), "end of an upgrade not saved: {e}");
        }
    }

    /// Ends what is under way in this process. Gone when this returns; on record it is where it was.
    pub(super) async fn cancel_upgrade(&mut self) {
        if let Some(upgrading) = self.upgrading.take() {
            upgrading.abort();
            drop(upgrading.await);
        }
    }

    fn try_again(&mut self, effect: Effect, error: &SwapError) {
        tracing::error!(container = %self.container.pubkey(), "upgrade: {error}; trying again");
        self.owed.owe(effect);
    }
}

/// Whether the order may be carried out, and how.
fn intent(container: &Container, is_pinned: bool, order: &Order) -> Result<UpgradeIntent, CommandError> {
    let (state, spec) = (&container.state, &container.spec);
    let policy = spec.manifest.as_ref().map(|manifest| manifest.upgrade).unwrap_or_default();
    if policy != order.policy() {
        let message = match policy {
            Upgrade::None => "this container's image never changes: its launch says upgrade none",
            Upgrade::Owner => "this container's image changes when its owner asks for it, and then only",
            Upgrade::Signed => "this container's image changes by releases that all its signers signed",
        };
        return Err(not_now(Code::UpgradeForbidden, message));
    }
    if state.upgrading || !state.should_run() {
        return Err(lifecycle::Refused { state: state.name() }.into());
    }
    if is_pinned {
        return Err(not_now(Code::Pinned, "you hold the container at its image; unpin it first"));
    }
    // What was higher than the image of then may be lower than the one of now, and its signers others.
    if order.is_stale(spec) {
        return Err(not_now(Code::UpgradeOpen, "another image runs since the release was judged"));
    }
    let (from, to) = (spec.image_part(), order.part(spec));
    if from.config_digest == to.config_digest {
        return Err(not_now(Code::StateRefused, "the container runs this very image"));
    }
    let unfit = |code, e: &dyn std::error::Error| not_now(code, &e.to_string());
    let probe = order.probe(spec).map_err(|e| unfit(Code::LabelsInvalid, &e))?;
    let next = spec.with_image(&to).map_err(|e| unfit(Code::Internal, &e))?;
    Runtime::check_volumes(&next).map_err(|e| unfit(Code::ImageUnsupported, &e))?;
    Ok(UpgradeIntent { stage: Stage::Fetching, from, to, probe, had_volume: false, why: None })
}

fn not_now(code: Code, message: &str) -> CommandError {
    CommandError::NotNow { code, message: message.to_owned() }
}

#[cfg(test)]
mod tests;

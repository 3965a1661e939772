//! Changing a container's environment and secrets: the process ends, the change is on record, and the process is
//! made anew from it.

use lifecycle::{Effect, Event};
use protocol::manifest::Upgrade;
use protocol::rpc::{Code, Failure};
use protocol::secrets::RegistryLogin;

use super::Driver;
use crate::api::secrets;
use crate::deploy::CommandError;
use crate::deploy::launch::LaunchFailure;
use crate::store::{EnvPart, Spec};

impl Driver {
    /// Puts another environment on record while no process runs, and has one started with it if it should run.
    pub(super) async fn set_env(&mut self, part: EnvPart) -> Result<(), CommandError> {
        let (pubkey, state) = (self.container.pubkey(), self.container.state);
        let policy =
            self.container.spec.manifest.as_ref().map(|manifest| manifest.upgrade).unwrap_or_default();
        if policy == Upgrade::None {
            let why = "this container's environment never changes: its launch says upgrade none";
            return Err(refused(Code::UpgradeForbidden, why));
        }
        self.check_spec_can_change()?;
        let spec = self.container.spec.with_env(part).map_err(|e| refused(Code::Internal, &e.to_string()))?;
        // Nothing of before may run on and call itself what it is not: what it is asked to prove is answered
        // from what is on record.
        if state.should_run()
            && let Err(e) = self.ctx.runtime.stop(&self.container).await
        {
            tracing::error!(container = %pubkey, "stop: {e}");
            self.carry_out_all(vec![Effect::Start]).await;
            return Err(refused(
                Code::Internal,
                "the process cannot be stopped; nothing was changed; try again",
            ));
        }
        if let Err(e) = self.ctx.store.save_spec(&pubkey, &spec) {
            if state.should_run() {
                self.carry_out_all(vec![Effect::Start]).await;
            }
            return Err(e.into());
        }
        self.container.spec = spec;
        self.note(
            "env_changed",
            "the environment or the secrets were changed; the manifest's hash with them",
        );
        let mut effects = vec![Effect::Announce];
        if state.should_run() {
            // What is started is made from what is on record, whatever crashes in between.
            effects.push(Effect::Start);
        }
        self.not_started = None;
        self.carry_out_all(effects).await;
        let Some(failure) = self.not_started.take() else { return Ok(()) };
        let message = format!(
            "the change is on record, but the process does not start with it for now, and is tried again by itself: \
             {failure}"
        );
        Err(refused(Code::from_text(failure.code).unwrap_or(Code::Internal), &message))
    }

    /// A start came to nothing: its owner finds it in the history, and who asked for it is told.
    pub(super) fn start_failed(&mut self, failure: LaunchFailure) -> Event {
        tracing::warn!(container = %self.container.pubkey(), "start: {failure}");
        self.note("not_started", &failure.to_string());
        self.not_started = Some(failure);
        Event::Exited
    }

    /// Puts another account at the registry on record. The process goes on: it does not see it.
    pub(super) fn set_login(&mut self, login: Option<RegistryLogin>) -> Result<(), CommandError> {
        self.check_spec_can_change()?;
        let told = |failure: Failure| refused(failure.code, &failure.message);
        let mut kept = secrets::kept(&self.ctx, &self.container).map_err(told)?.unwrap_or_default();
        kept.registry = login;
        let sealed = secrets::keep(&self.ctx, &kept).map_err(told)?;
        let spec = Spec { secrets: sealed, ..self.container.spec.clone() };
        self.ctx.store.save_spec(&self.container.pubkey(), &spec)?;
        self.container.spec = spec;
        self.note("login_changed", "the account at the image's registry was changed");
        Ok(())
    }

    /// Refuses while an upgrade, or the end, decides what it takes to run the container.
    fn check_spec_can_change(&self) -> Result<(), CommandError> {
        let (pubkey, state) = (self.container.pubkey(), &self.container.state);
        if state.upgrading || self.upgrading.is_some() || self.ctx.store.open_upgrade(&pubkey)?.is_some() {
            let why = "the container is being upgraded; wait for its end";
            return Err(refused(Code::UpgradeOpen, why));
        }
        if !matches!(state.name(), "deployed" | "paused") {
            return Err(lifecycle::Refused { state: state.name() }.into());
        }
        Ok(())
    }
}

fn refused(code: Code, message: &str) -> CommandError {
    CommandError::NotNow { code, message: message.to_owned() }
}

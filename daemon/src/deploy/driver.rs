//! The driver of one container.

mod aside;
mod env;
mod owed;
pub(super) mod owners;
mod upgrading;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{Effect, Event, Phase, Policy, next_wakeup, step};
use protocol::rpc::enclaved::StateReason;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use self::owed::Owed;
use super::launch::{self, LaunchFailure};
use super::{CommandError, Input};
use crate::billing;
use crate::checkpoint::Step;
use crate::context::Context;
use crate::store::{Container, StoreError};
use crate::upgrade::images;
use crate::wallet::InvoiceState;

/// How long to wait before an effect that failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Longest sleep without looking at the clock: it may have been set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Why a container that paid is paused.
pub(crate) const NO_ROOM: &str = "no_room";

/// Drives one container: takes inputs, steps the state machine, persists, acts.
#[derive(Debug)]
pub(super) struct Driver {
    ctx: Arc<Context>,
    container: Container,
    policy: Policy,
    inputs: mpsc::Sender<Input>,
    /// The launch under way, which an owner's `terminate` cuts short.
    launching: Option<JoinHandle<()>>,
    /// Tells a launch that was prepared ahead that it is paid for.
    paid: Option<oneshot::Sender<()>>,
    /// The upgrade under way: its image is being fetched, or it has the process.
    upgrading: Option<JoinHandle<()>>,
    /// Why the last start came to nothing, for who asked for it.
    not_started: Option<LaunchFailure>,
    owed: Owed,
}

impl Driver {
    pub(super) fn new(ctx: Arc<Context>, container: Container, inputs: mpsc::Sender<Input>) -> Self {
        let policy = ctx.config.policy();
        Self {
            ctx,
            container,
            policy,
            inputs,
            launching: None,
            paid: None,
            upgrading: None,
            not_started: None,
            owed: Owed::default(),
        }
    }

    /// Drives it to its end. `preparing` is dropped once nothing more can be prepared before payment.
    pub(super) async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        first: Vec<Event>,
        preparing: oneshot::Sender<Infallible>,
    ) {
        for event in first {
            self.feed(event).await;
        }
        self.prepare_ahead(preparing);
        self.resume_fetch();
        loop {
            let sleep = self.sleep();
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(Input::Event(event)) => self.feed(event).await,
                    Some(Input::LaunchEnded(outcome)) => self.launch_ended(outcome).await,
                    // Who asked may have stopped waiting.
                    Some(Input::Owner(by, order, answer)) => drop(answer.send(self.obey(&by, order).await)),
                    Some(Input::Upgrade(order, answer)) => drop(answer.send(self.upgrade(&order).await)),
                    Some(Input::ImageFetched(outcome)) => self.image_fetched(outcome).await,
                    Some(Input::Swapped(outcome)) => self.swapped(outcome).await,
                    Some(Input::Look) => self.look().await,
                    Some(Input::Shutdown) | None => return self.shutdown().await,
                },
                () = tokio::time::sleep(sleep) => self.wake().await,
            }
        }
    }

    /// Until the state machine wants its next tick, or something owed is due.
    fn sleep(&self) -> Duration {
        let owed = (!self.owed.is_empty()).then_some(AGAIN_AFTER);
        let tick = next_wakeup(&self.container.state, &self.policy).map(|at| {
            let at_ms = at.0.saturating_mul(1_000);
            Duration::from_millis(at_ms.saturating_sub(self.ctx.clock.now_ms()))
        });
        [owed, tick].into_iter().flatten().fold(SLEEP_MAX, Duration::min)
    }

    async fn wake(&mut self) {
        // What follows from them is fed like anything else.
        let owed = self.owed.take(&self.container.state);
        self.carry_out_all(owed).await;
        let due = next_wakeup(&self.container.state, &self.policy);
        if due.is_some_and(|at| at <= self.ctx.clock.now()) {
            self.feed(Event::Tick).await;
        }
    }

    async fn command(&mut self, event: Event) -> Result<(), CommandError> {
        let (state, effects) = step(&self.container.state, event, self.ctx.clock.now(), &self.policy)?;
        self.persist(state)?;
        self.carry_out_all(effects).await;
        Ok(())
    }

    async fn feed(&mut self, event: Event) {
        let now = self.ctx.clock.now();
        self.explain(event);
        match step(&self.container.state, event, now, &self.policy) {
            Ok((state, effects)) => {
                if let Err(e) = self.persist(state) {
                    // Without a record nothing is done; the machine asks again at its next tick.
                    tracing::error!(container = %self.container.pubkey(), "state not saved: {e}");
                    return;
                }
                self.carry_out_all(effects).await;
            }
            Err(refused) => tracing::debug!(container = %self.container.pubkey(), "{refused}"),
        }
    }

    fn persist(&mut self, state: lifecycle::State) -> Result<(), StoreError> {
        if state == self.container.state {
            return Ok(());
        }
        let (from, to) = (self.container.state.name(), state.name());
        if from != to {
            tracing::info!(container = %self.container.pubkey(), from, to, "state");
            self.note("state", &format!("from {from} to {to}"));
            self.ctx.notices.state(&self.container, from, &state);
            if to == "deployed" {
                self.container.reason = None;
            }
        }
        self.ctx.store.save_state(&self.container.pubkey(), &state, self.container.reason.as_ref())?;
        self.container.state = state;
        self.ctx.changes.stir();
        Ok(())
    }

    /// For the owner's history, which nothing else depends on.
    fn note(&self, code: &str, message: &str) {
        if let Err(e) = self.ctx.store.note(&self.container.pubkey(), self.ctx.clock.now(), code, message) {
            tracing::error!("event not noted: {e}");
        }
    }

    /// The store has what was agreed; the state is this driver's.
    fn reread(&mut self) {
        match self.ctx.store.container(&self.container.pubkey()) {
            Ok(Some(read)) => self.container = Container { state: self.container.state, ..read },
            Ok(None) => {}
            Err(e) => tracing::error!(container = %self.container.pubkey(), "not read again: {e}"),
        }
    }

    async fn carry_out_all(&mut self, effects: Vec<Effect>) {
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            let Some(event) = self.carry_out(effect).await else { continue };
            let now = self.ctx.clock.now();
            self.explain(event);
            let Ok((state, more)) = step(&self.container.state, event, now, &self.policy) else { continue };
            if let Err(e) = self.persist(state) {
                tracing::error!(container = %self.container.pubkey(), "state not saved: {e}");
                return;
            }
            // What follows from an outcome comes before what was to be done later.
            more.into_iter().rev().for_each(|effect| queue.push_front(effect));
        }
    }

    async fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::LookUpInvoice => Some(self.look_up_invoice().await),
            Effect::Launch => {
                self.start_launch();
                None
            }
            Effect::Charge { period } => Some(billing::charge(&self.ctx, &self.container, period).await),
            Effect::Readmit => Some(self.readmit()),
            Effect::Start => self.start().await,
            // Another may have this server's state, and run it already.
            Effect::Upgrade if !self.ctx.hold.may_act() => {
                self.owed.owe(Effect::Upgrade);
                None
            }
            Effect::Upgrade => self.swap().await,
            Effect::AbandonUpgrade => {
                self.abandon_upgrade().await;
                None
            }
            Effect::Stop => {
                self.stop().await;
                None
            }
            Effect::Wipe => {
                self.wipe().await;
                None
            }
            Effect::Announce => {
                self.ctx.changes.container(self.container.pubkey());
                None
            }
        }
    }

    async fn look_up_invoice(&self) -> Event {
        let Some(invoice) = &self.container.invoice else { return Event::InvoiceOpen };
        match self.ctx.wallet.invoice_state(&self.container.keys, &invoice.payment_hash).await {
            Ok(InvoiceState::Paid(settled_at)) => Event::InvoicePaid { settled_at },
            Ok(InvoiceState::Open | InvoiceState::Dead) => Event::InvoiceOpen,
            Err(e) => {
                tracing::warn!(container = %self.container.pubkey(), "launch invoice: {e}");
                Event::InvoiceUnknown
            }
        }
    }

    /// Makes ready, while the invoice is open, what needs nothing from outside.
    fn prepare_ahead(&mut self, preparing: oneshot::Sender<Infallible>) {
        if !matches!(self.container.state.phase, Phase::Waiting { .. }) {
            return;
        }
        let (paid, told) = oneshot::channel();
        let (ctx, container, inputs) = (Arc::clone(&self.ctx), self.container.clone(), self.inputs.clone());
        self.paid = Some(paid);
        self.launching = Some(tokio::spawn(async move {
            let prepared = launch::prepare_ahead(&ctx, &container).await;
            drop(preparing);
            if told.await.is_ok() {
                let outcome = launch::launch(&ctx, &container, prepared).await;
                drop(inputs.send(Input::LaunchEnded(outcome)).await);
            }
        }));
    }

    fn start_launch(&mut self) {
        if self.paid.take().is_some_and(|paid| paid.send(()).is_ok()) {
            return;
        }
        if self.launching.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (ctx, container, inputs) = (Arc::clone(&self.ctx), self.container.clone(), self.inputs.clone());
        self.launching = Some(tokio::spawn(async move {
            let outcome = launch::launch(&ctx, &container, false).await;
            drop(inputs.send(Input::LaunchEnded(outcome)).await);
        }));
    }

    async fn launch_ended(&mut self, outcome: Result<(), LaunchFailure>) {
        self.launching = None;
        match outcome {
            Ok(()) => {
                if let Err(e) = self.ctx.store.save_started(&self.container.pubkey(), self.ctx.clock.now()) {
                    tracing::error!("start not recorded: {e}");
                }
                self.feed(Event::Launched).await;
            }
            Err(failure) => {
                tracing::warn!(container = %self.container.pubkey(), code = failure.code, "launch: {failure}");
                self.container.reason =
                    Some(StateReason { code: failure.code.to_owned(), message: failure.message });
                self.feed(Event::LaunchFailed).await;
            }
        }
    }

    async fn start(&mut self) -> Option<Event> {
        self.owed.forget(Effect::Stop);
        // Never one image on the data of another; and nothing is put back without the lease.
        if self.owed.has(Effect::AbandonUpgrade) {
            if !self.ctx.hold.may_act() {
                self.owed.owe(Effect::Start);
                return None;
            }
            self.owed.clear();
            self.abandon_upgrade().await;
            if !self.owed.is_empty() {
                return Some(Event::Exited);
            }
        }
        match launch::start(&self.ctx, &self.container).await {
            Ok(()) => Some(Event::Started),
            // Another may have this server's state, and run it already.
            Err(failure) if failure.code == launch::NOT_HOLDING => {
                self.owed.owe(Effect::Start);
                None
            }
            Err(failure) => Some(self.start_failed(failure)),
        }
    }

    async fn stop(&mut self) {
        // A start that was still owed is not wanted any more.
        self.owed.forget(Effect::Start);
        let subject = self.container.pubkey().to_hex();
        self.ctx.checkpoints.reach(Step::PauseRecorded, &subject).await;
        if let Err(e) = self.ctx.runtime.stop(&self.container).await {
            tracing::error!(container = subject, "stop: {e}; trying again");
            self.owed.owe(Effect::Stop);
            return;
        }
        self.ctx.checkpoints.reach(Step::PauseStopped, &subject).await;
    }

    /// Ends the launch under way. Gone when this returns: nothing that it started comes later.
    async fn cancel_launch(&mut self) {
        if let Some(launching) = self.launching.take() {
            launching.abort();
            drop(launching.await);
        }
    }

    async fn wipe(&mut self) {
        self.cancel_launch().await;
        self.end_upgrade().await;
        if let Err(e) = self.ctx.store.end_guest_wallet(&self.container.pubkey()) {
            tracing::error!(container = %self.container.pubkey(), "its app's connection has not ended: {e}");
        }
        self.owed.clear();
        if self.container.slot.is_none() {
            return;
        }
        let wiped = self.ctx.runtime.wipe(&self.container).await;
        let pubkey = self.container.pubkey();
        match wiped
            .map_err(|e| e.to_string())
            .and_then(|()| self.ctx.store.release(&pubkey).map_err(|e| e.to_string()))
        {
            Ok(()) => {
                self.container.slot = None;
                // Whoever launches large images and ends them must not fill the disk with them.
                images::forget_unneeded(&self.ctx).await;
            }
            Err(e) => {
                tracing::error!(container = %pubkey, "wipe: {e}; trying again");
                self.owed.owe(Effect::Wipe);
            }
        }
    }

    /// The engine says that the process ended, or that it does not know.
    async fn look(&mut self) {
        let state = &self.container.state;
        if !state.should_run() || state.restart_at.is_some() || state.upgrading {
            return;
        }
        match self.ctx.runtime.is_running(&self.container).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!(container = %self.container.pubkey(), "its process ended");
                metrics::counter!("container_exits_total").increment(1);
                self.note("exited", "its process ended by itself");
                self.feed(Event::Exited).await;
            }
            Err(e) => tracing::warn!(container = %self.container.pubkey(), "look: {e}"),
        }
    }

    async fn shutdown(mut self) {
        self.cancel_launch().await;
        self.cancel_upgrade().await;
        if self.container.slot.is_none() {
            return;
        }
        let stopped = self.ctx.runtime.stop(&self.container).await;
        let detached = self.ctx.runtime.detach(&self.container).await;
        if let Err(e) = stopped.and(detached) {
            tracing::error!(container = %self.container.pubkey(), "not stopped in order: {e}");
        }
    }
}

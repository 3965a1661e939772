//! The driver of one container.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{Effect, Event, Phase, Policy, next_wakeup, step};
use protocol::rpc::enclaved::StateReason;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::launch::{self, LaunchFailure};
use super::{CommandError, Input};
use crate::billing;
use crate::checkpoint::Step;
use crate::context::Context;
use crate::store::{Container, StoreError};
use crate::wallet::InvoiceState;

/// How long to wait before an effect that failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Longest sleep without looking at the clock: it may have been set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);

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
    /// What must happen and did not: the process must not run, or the data must go; or the process must
    /// run, as soon as this server may act again.
    owed: Option<Effect>,
}

impl Driver {
    pub(super) fn new(ctx: Arc<Context>, container: Container, inputs: mpsc::Sender<Input>) -> Self {
        let policy = ctx.config.policy();
        Self { ctx, container, policy, inputs, launching: None, paid: None, owed: None }
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
        loop {
            let sleep = self.sleep();
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(Input::Event(event)) => self.feed(event).await,
                    Some(Input::LaunchEnded(outcome)) => self.launch_ended(outcome).await,
                    Some(Input::Command(event, answer)) => {
                        // Who asked may have stopped waiting.
                        drop(answer.send(self.command(event).await));
                    }
                    Some(Input::Look) => self.look().await,
                    Some(Input::Shutdown) | None => return self.shutdown().await,
                },
                () = tokio::time::sleep(sleep) => self.wake().await,
            }
        }
    }

    /// Until the state machine wants its next tick, or something owed is due.
    fn sleep(&self) -> Duration {
        let owed = self.owed.map(|_| AGAIN_AFTER);
        let tick = next_wakeup(&self.container.state, &self.policy).map(|at| {
            let at_ms = at.0.saturating_mul(1_000);
            Duration::from_millis(at_ms.saturating_sub(self.ctx.clock.now_ms()))
        });
        [owed, tick].into_iter().flatten().fold(SLEEP_MAX, Duration::min)
    }

    async fn wake(&mut self) {
        if let Some(effect) = self.owed.take()
            && let Some(event) = self.carry_out(effect).await
        {
            self.feed(event).await;
        }
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
            if to == "deployed" {
                self.container.reason = None;
            }
        }
        self.ctx.store.save_state(&self.container.pubkey(), &state, self.container.reason.as_ref())?;
        self.container.state = state;
        Ok(())
    }

    async fn carry_out_all(&mut self, effects: Vec<Effect>) {
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            let Some(event) = self.carry_out(effect).await else { continue };
            let now = self.ctx.clock.now();
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
            Effect::Start => self.start().await,
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
        self.owed = None;
        match launch::start(&self.ctx, &self.container).await {
            Ok(()) => Some(Event::Started),
            // Another may have this server's state, and run it already.
            Err(failure) if failure.code == launch::NOT_HOLDING => {
                self.owed = Some(Effect::Start);
                None
            }
            Err(failure) => {
                tracing::warn!(container = %self.container.pubkey(), "start: {failure}");
                Some(Event::Exited)
            }
        }
    }

    async fn stop(&mut self) {
        let subject = self.container.pubkey().to_hex();
        self.ctx.checkpoints.reach(Step::PauseRecorded, &subject).await;
        if let Err(e) = self.ctx.runtime.stop(&self.container).await {
            tracing::error!(container = subject, "stop: {e}; trying again");
            self.owed = Some(Effect::Stop);
            return;
        }
        // A start that was still owed is not wanted any more.
        self.owed = None;
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
        if self.container.slot.is_none() {
            return;
        }
        let wiped = self.ctx.runtime.wipe(&self.container).await;
        let pubkey = self.container.pubkey();
        match wiped
            .map_err(|e| e.to_string())
            .and_then(|()| self.ctx.store.release(&pubkey).map_err(|e| e.to_string()))
        {
            Ok(()) => self.container.slot = None,
            Err(e) => {
                tracing::error!(container = %pubkey, "wipe: {e}; trying again");
                self.owed = Some(Effect::Wipe);
            }
        }
    }

    /// The engine says that the process ended, or that it does not know.
    async fn look(&mut self) {
        if !self.container.state.should_run() || self.container.state.restart_at.is_some() {
            return;
        }
        match self.ctx.runtime.is_running(&self.container).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!(container = %self.container.pubkey(), "its process ended");
                metrics::counter!("container_exits_total").increment(1);
                self.feed(Event::Exited).await;
            }
            Err(e) => tracing::warn!(container = %self.container.pubkey(), "look: {e}"),
        }
    }

    async fn shutdown(mut self) {
        self.cancel_launch().await;
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

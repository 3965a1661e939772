//! The use cases: what may be asked of this server, whoever carries the question.

mod env;
mod launch;
pub mod methods;
mod money;
mod observe;
mod owners;
mod reports;
pub(crate) mod secrets;
mod upgrades;

use std::sync::Arc;

use lifecycle::Event;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::{
    ContainerInfo, ContainerList, ContainerStatus, LaunchParams, LaunchReply, ListParams, Quote, ReceiptPage,
    ReceiptParams, TopupParams, TopupReply, WithdrawParams, Withdrawal,
};
use protocol::rpc::{Code, Failure};
use relay::request_log::RequestKey;
use relay::rpc::Caller;

pub(crate) use launch::room;
pub use reports::endpoints;

use crate::admission::{Asking, InFlight};
use crate::context::Context;
use crate::deploy::{CommandError, Fleet, OwnerOrder};
use crate::store::{Container, StoreError};

/// Rows of one `list`, so that the answer fits into an event.
const LIST_MAX: u32 = 50;

/// The server, as its callers see it.
#[derive(Clone, Debug)]
pub struct Api {
    fleet: Arc<Fleet>,
}

impl Api {
    /// The use cases over this fleet.
    #[must_use]
    pub const fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet }
    }

    /// What every part of the daemon has in common.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        self.ctx()
    }

    fn ctx(&self) -> &Arc<Context> {
        self.fleet.context()
    }

    /// Refuses whatever is more than a question while another may have this server's state.
    ///
    /// # Errors
    /// [`Code::NotHolding`].
    pub fn may_act(&self) -> Result<(), Failure> {
        self.ctx().hold.require()
    }

    /// Says what a launch would cost. Reserves nothing.
    ///
    /// # Errors
    /// [`Failure`] with the code of what is wrong.
    pub async fn quote(&self, caller: &Caller, params: LaunchParams) -> Result<Quote, Failure> {
        launch::quote(self.ctx(), caller, params).await
    }

    /// Reserves units for a launch and returns the invoice that pays for it.
    ///
    /// # Errors
    /// [`Failure`] with the code of what is wrong; nothing is reserved then.
    pub async fn launch(
        &self,
        caller: &Caller,
        key: RequestKey,
        params: LaunchParams,
    ) -> Result<LaunchReply, Failure> {
        launch::launch(&self.fleet, caller, key, params).await
    }

    /// The public facts of a container.
    ///
    /// # Errors
    /// [`Failure`] if there is no such container.
    pub fn info(&self, pubkey: &PublicKey) -> Result<ContainerInfo, Failure> {
        Ok(reports::info(self.ctx(), &self.find(pubkey)?))
    }

    /// Everything about a container of the caller's.
    ///
    /// # Errors
    /// [`Failure`] if there is no such container, or it is another's.
    pub fn status(&self, caller: &PublicKey, pubkey: &PublicKey) -> Result<ContainerStatus, Failure> {
        reports::status(self.ctx(), &self.find_owned(caller, pubkey)?)
    }

    /// True once nothing happens any more to a container of the caller's.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub(crate) fn is_over(&self, caller: &PublicKey, pubkey: &PublicKey) -> Result<bool, Failure> {
        Ok(self.find_owned(caller, pubkey)?.state.is_over())
    }

    /// The caller's containers, newest first, in pages.
    ///
    /// # Errors
    /// [`Failure`] if the page is to begin behind what is no container of the caller's.
    pub fn list(&self, caller: &PublicKey, params: &ListParams) -> Result<ContainerList, Failure> {
        // One more than a page tells whether there is another.
        let found = self.ctx().store.owned_by(caller, params.after.as_ref(), LIST_MAX + 1);
        let mut containers = found.map_err(|e| store_failure(&e))?.ok_or_else(|| {
            Failure::new(Code::ParamsInvalid, "after: you have no such container; begin the list anew")
        })?;
        let page = usize::try_from(LIST_MAX).unwrap_or(usize::MAX);
        let has_more = containers.len() > page;
        containers.truncate(page);
        let next = containers.last().map(Container::pubkey).filter(|_| has_more);
        Ok(reports::list(self.ctx(), &containers, next))
    }

    /// Stops a container's process. It pays for its units all the same.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn pause(&self, caller: &PublicKey, pubkey: &PublicKey) -> Result<ContainerStatus, Failure> {
        self.command(caller, pubkey, Event::PauseAsked).await
    }

    /// Starts a container's process again.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn resume(&self, caller: &PublicKey, pubkey: &PublicKey) -> Result<ContainerStatus, Failure> {
        self.command(caller, pubkey, Event::ResumeAsked).await
    }

    /// Ends a container and wipes its data. Its balance can still be withdrawn.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn terminate(
        &self,
        caller: &PublicKey,
        pubkey: &PublicKey,
    ) -> Result<ContainerStatus, Failure> {
        self.command(caller, pubkey, Event::TerminateAsked).await
    }

    async fn command(
        &self,
        caller: &PublicKey,
        pubkey: &PublicKey,
        event: Event,
    ) -> Result<ContainerStatus, Failure> {
        self.find_owned(caller, pubkey)?;
        let order = OwnerOrder::Event(event);
        self.fleet.order(pubkey, caller, order).await.map_err(|e| command_failure(&e))?;
        self.status(caller, pubkey)
    }

    /// An invoice that pays into a container's balance. Anybody may pay for anybody's container; who asks
    /// for the same again gets the same invoice.
    ///
    /// # Errors
    /// [`Failure`]; [`Code::QuotaUsed`] and [`Code::ServerBusy`] for who asks for too many.
    pub async fn topup(&self, caller: &PublicKey, params: TopupParams) -> Result<TopupReply, Failure> {
        money::topup(self.ctx(), caller, &self.find(&params.pubkey)?, params.amount_msat).await
    }

    /// Pays an invoice from a container's balance.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn withdraw(
        &self,
        caller: &PublicKey,
        key: RequestKey,
        params: WithdrawParams,
    ) -> Result<Withdrawal, Failure> {
        let container = self.find_owned(caller, &params.pubkey)?;
        money::withdraw(self.ctx(), (&container, caller), key, &params.invoice).await
    }

    /// The receipts of a container of the caller's.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn receipts(&self, caller: &PublicKey, params: &ReceiptParams) -> Result<ReceiptPage, Failure> {
        let container = self.find_owned(caller, &params.pubkey)?;
        crate::receipts::page(self.ctx(), &container, params.from).await
    }

    /// Takes one of the places that a key has for requests that may wait for something.
    ///
    /// # Errors
    /// [`Code::ServerBusy`].
    pub(crate) fn begin(&self, caller: &PublicKey, method: &str) -> Result<InFlight<'_>, Failure> {
        self.ctx().admission.begin(caller, method)
    }

    /// True if the caller is a customer, and not a key that somebody made up: a container of this key's was paid for
    /// at least once.
    pub(crate) fn has_paid(&self, caller: &PublicKey) -> bool {
        self.ctx().store.has_paid(caller).unwrap_or_else(|e| {
            tracing::error!("store: {e}");
            false
        })
    }

    /// Lets the caller have a registry asked.
    ///
    /// # Errors
    /// [`Code::QuotaUsed`], [`Code::ServerBusy`].
    pub(crate) fn ask_registry(&self, caller: &Caller) -> Result<Asking<'_>, Failure> {
        ask_registry(self.ctx(), caller)
    }

    fn find(&self, pubkey: &PublicKey) -> Result<Container, Failure> {
        let found = self.ctx().store.container(pubkey).map_err(|e| store_failure(&e))?;
        // Built-ins are part of the server; nobody commands or pays them.
        found.filter(|container| !container.is_builtin()).ok_or_else(|| {
            Failure::new(
                Code::NotFound,
                "there is no such container on this server; check the key and the server",
            )
        })
    }

    fn find_owned(&self, caller: &PublicKey, pubkey: &PublicKey) -> Result<Container, Failure> {
        let container = self.find(pubkey)?;
        if container.owner() == Some(caller) {
            return Ok(container);
        }
        Err(Failure::new(
            Code::NotOwner,
            "the container belongs to another key; use the key that launched it",
        ))
    }
}

fn ask_registry<'c>(ctx: &'c Context, caller: &Caller) -> Result<Asking<'c>, Failure> {
    ctx.admission.ask_registry(&ctx.store, &ctx.config.messages, caller, ctx.clock.now())
}

fn store_failure(error: &StoreError) -> Failure {
    tracing::error!("store: {error}");
    Failure::new(Code::Internal, "a fault of the server; nothing was done; try again")
}

fn command_failure(error: &CommandError) -> Failure {
    match error {
        CommandError::Refused(refused) => Failure::new(Code::StateRefused, refused.to_string()),
        CommandError::NotNow { code, message } => Failure::new(*code, message.clone()),
        CommandError::NotFound => Failure::new(Code::StateRefused, "the container is over"),
        CommandError::Store(e) => store_failure(e),
        CommandError::Busy => Failure::new(
            Code::ServerBusy,
            "the container has too much to do to take another command; nothing was done; ask again in a moment",
        ),
        CommandError::ShuttingDown => {
            Failure::new(Code::Internal, "the server is shutting down; ask again when it is back")
        }
    }
}

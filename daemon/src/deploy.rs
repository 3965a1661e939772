//! One driver per container: it alone changes the container's state and carries out what follows.

mod driver;
mod inbox;
pub(crate) mod launch;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifecycle::Event;
use nostr::key::PublicKey;
use protocol::manifest::Salt;
use protocol::nwc::Notification;
use protocol::rpc::Code;
use protocol::secrets::RegistryLogin;
use relay::nwc::WalletNews;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use units::{Msat, UnixSecs};

use crate::context::Context;
use crate::runtime::Exits;
use crate::store::{Container, EnvPart, StoreError};
use crate::upgrade::swap::SwapError;
use crate::upgrade::{Order, images};
use driver::Driver;
pub(crate) use driver::NO_ROOM;
pub(crate) use driver::owners::check_offered;
use inbox::{INPUTS_MAX, Inbox, News};

/// How long a launch that was never paid is remembered: longer than its invoice can be paid late, and
/// than its owner can be expected to ask what became of it.
const UNPAID_KEPT_SECS: u64 = 30 * 24 * 3_600;
/// How often it is looked for them.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);
/// Of how many the wallet is asked each time: more than an hour can leave behind, as configured by default.
const UNPAID_ASKED_MAX: u32 = 512;
/// A command was not carried out.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It does not fit the container's state.
    #[error(transparent)]
    Refused(#[from] lifecycle::Refused),
    /// There is no such container.
    #[error("there is no such container")]
    NotFound,
    /// It is not the time, or not the caller's to ask.
    #[error("{message}")]
    NotNow {
        /// For programs.
        code: Code,
        /// For people.
        message: String,
    },
    /// The store failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More waits for its driver than it can take.
    #[error("the container has too much to do")]
    Busy,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// What a driver is told.
#[derive(Debug)]
pub(crate) enum Input {
    /// Something happened.
    Event(Event),
    /// The launch came to an end; an error says why it failed.
    LaunchEnded(Result<(), launch::LaunchFailure>),
    /// This key, as the owner, wants something.
    Owner(PublicKey, OwnerOrder, oneshot::Sender<Result<(), CommandError>>),
    /// Look whether the process runs.
    Look,
    /// Another image is to take the place of the one that runs.
    Upgrade(Box<Order>, oneshot::Sender<Result<(), CommandError>>),
    /// The image of an upgrade is fetched, or cannot be.
    ImageFetched(Result<(), launch::LaunchFailure>),
    /// An upgrade is over, or cannot go on for now.
    Swapped(Result<(), SwapError>),
    /// End, and stop the process.
    Shutdown,
}

/// What only the owner may have done, or whom it offers the container to.
#[derive(Debug)]
pub(crate) enum OwnerOrder {
    /// The state is to change.
    Event(Event),
    /// Another environment is to take the place of the one that is.
    SetEnv(Box<EnvPart>),
    /// Another account at the registry is to take the place of the one that is, or none.
    SetLogin(Option<RegistryLogin>),
    /// The container is offered to another key.
    Offer {
        /// Which.
        to: PublicKey,
    },
    /// It is offered no more.
    CancelOffer,
    /// It is to belong to the key that orders this, if it is offered to that.
    Accept {
        /// The salt is the owner's: who was it before must not test guesses of what the next one sets.
        salt: Salt,
    },
}

/// All drivers.
#[derive(Debug)]
pub struct Fleet {
    ctx: Arc<Context>,
    drivers: Mutex<HashMap<PublicKey, Handle>>,
    /// How often the wallet has told its key.
    greetings: AtomicU64,
    /// Releases are to be looked for at once.
    releases_wanted: Notify,
}

#[derive(Debug)]
struct Handle {
    is_builtin: bool,
    inbox: Inbox,
    task: JoinHandle<()>,
}

impl Fleet {
    /// A fleet with no driver.
    #[must_use]
    pub fn new(ctx: Arc<Context>) -> Arc<Self> {
        Arc::new(Self {
            ctx,
            drivers: Mutex::default(),
            greetings: AtomicU64::new(0),
            releases_wanted: Notify::new(),
        })
    }

    /// What all drivers have in common.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.ctx
    }

    /// Starts the driver of a container, which first does what `events` ask for. What is returned ends
    /// once all is prepared that can be before the container is paid for.
    pub fn start(&self, container: Container, events: Vec<Event>) -> oneshot::Receiver<Infallible> {
        let (pubkey, is_builtin) = (container.pubkey(), container.is_builtin());
        self.ctx.wallet.listen_for(&container.keys);
        let (inputs, inputs_rx) = mpsc::channel(INPUTS_MAX);
        let driver = Driver::new(Arc::clone(&self.ctx), container, inputs.clone());
        let (preparing, prepared) = oneshot::channel();
        let task = tokio::spawn(driver.run(inputs_rx, events, preparing));
        self.lock().insert(pubkey, Handle { is_builtin, inbox: Inbox::new(inputs), task });
        prepared
    }

    /// Tells a driver that its container's balance rose. Nobody waits; a container without one is over.
    pub fn balance_rose(&self, pubkey: &PublicKey) {
        self.tell(pubkey, News::BalanceRose);
    }

    fn tell(&self, pubkey: &PublicKey, news: News) {
        if let Some(handle) = self.lock().get(pubkey) {
            handle.inbox.tell(news);
        }
    }

    fn command(&self, pubkey: &PublicKey, input: Input) -> Result<(), CommandError> {
        self.lock().get(pubkey).ok_or(CommandError::NotFound)?.inbox.command(input)
    }

    /// Has another image take the place of the one that runs; it is on record when this returns.
    ///
    /// # Errors
    /// [`CommandError`]; nothing changed then.
    pub(crate) async fn upgrade(&self, pubkey: &PublicKey, order: Order) -> Result<(), CommandError> {
        let (answer, answered) = oneshot::channel();
        self.command(pubkey, Input::Upgrade(Box::new(order), answer))?;
        answered.await.map_err(|_| CommandError::ShuttingDown)?
    }

    /// Has releases looked for now.
    pub(crate) fn look_for_releases(&self) {
        self.releases_wanted.notify_one();
    }

    /// Waits until releases are to be looked for before their time.
    pub(crate) async fn releases_wanted(&self) {
        self.releases_wanted.notified().await;
    }

    /// Carries out the order of a container's owner, and waits until it is done.
    ///
    /// # Errors
    /// [`CommandError`]; nothing changed then.
    pub(crate) async fn order(
        &self,
        pubkey: &PublicKey,
        by: &PublicKey,
        order: OwnerOrder,
    ) -> Result<(), CommandError> {
        let (answer, answered) = oneshot::channel();
        self.command(pubkey, Input::Owner(*by, order, answer))?;
        answered.await.map_err(|_| CommandError::ShuttingDown)?
    }

    /// Forgets launches that were never paid and images that nobody needs, now and every hour, until the future
    /// is dropped.
    pub async fn sweep(&self) {
        loop {
            images::forget_unneeded(&self.ctx).await;
            let created = self.ctx.clock.now().minus_secs(UNPAID_KEPT_SECS);
            if let Err(e) = self.sweep_before(created).await {
                tracing::error!("unpaid launches not forgotten: {e}");
            }
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    }

    /// Forgets those whose accounts are empty by the wallet's own word of now: a payment may have come
    /// while nobody heard it, and a forgotten key can never spend it.
    async fn sweep_before(&self, created: UnixSecs) -> Result<(), StoreError> {
        for container in self.ctx.store.unpaid(created, UNPAID_ASKED_MAX)? {
            let pubkey = container.pubkey();
            match self.ctx.wallet.balance(&container.keys).await {
                Ok(Msat::ZERO) if self.ctx.store.forget_unpaid(&pubkey, created)? => self.forget(&pubkey),
                Ok(balance) => self.ctx.store.save_balance(&pubkey, balance)?,
                Err(e) => {
                    tracing::warn!("unpaid launches are not forgotten while the wallet is silent: {e}");
                    break;
                }
            }
        }
        Ok(())
    }

    /// Ends the driver of a container that is over. It has no process.
    fn forget(&self, pubkey: &PublicKey) {
        self.ctx.wallet.forget(pubkey);
        if let Some(handle) = self.lock().remove(pubkey) {
            handle.task.abort();
        }
    }

    /// Follows the engine's exits until they end.
    pub async fn follow_exits(&self, mut exits: mpsc::Receiver<Exits>) {
        while let Some(exit) = exits.recv().await {
            match exit {
                Exits::One(pubkey) => self.tell(&pubkey, News::Exited),
                Exits::Unknown => {
                    let all: Vec<_> = self.lock().keys().copied().collect();
                    for pubkey in all {
                        self.tell(&pubkey, News::Exited);
                    }
                }
            }
        }
    }

    /// The wallet told its key. It is asked until it answers; then every container's account is heard.
    pub async fn wallet_appeared(&self, service: PublicKey) {
        let greeting = self.greetings.fetch_add(1, Ordering::SeqCst) + 1;
        for wait_secs in [0, 1, 2, 4, 8, 16, 32] {
            tokio::time::sleep(Duration::from_secs(wait_secs)).await;
            // It has told its key again meanwhile; that greeting goes on.
            if self.greetings.load(Ordering::SeqCst) != greeting {
                return;
            }
            match self.ctx.wallet.appeared(service, &self.ctx.keys).await {
                Ok(()) => return self.listen_to_wallet(),
                Err(e) => tracing::warn!("the wallet appeared and does not answer: {e}"),
            }
        }
        tracing::error!("the wallet appeared and never answered");
    }

    fn listen_to_wallet(&self) {
        match self.ctx.store.containers() {
            Ok(containers) => containers.iter().for_each(|one| self.ctx.wallet.listen_for(&one.keys)),
            Err(e) => tracing::error!("containers not read: {e}"),
        }
        tracing::info!("the wallet is there");
        // A new wallet has new keys and books: nothing that it promises may be lost.
        if let Some(snapshots) = &self.ctx.snapshots {
            snapshots.nudge();
        }
        self.ctx.changes.server();
    }

    /// Follows what the wallet tells of containers' accounts until it ends.
    pub async fn follow_wallet(self: Arc<Self>, mut news: mpsc::Receiver<WalletNews>) {
        while let Some(WalletNews { client, notification }) = news.recv().await {
            if let Notification::PaymentReceived(paid) = &notification {
                self.ctx.topups.paid(&paid.payment_hash.to_hex());
                self.balance_rose(&client);
            }
            let fleet = Arc::clone(&self);
            tokio::spawn(async move { fleet.refresh_balance(&client).await });
        }
    }

    async fn refresh_balance(&self, pubkey: &PublicKey) {
        let Ok(Some(container)) = self.ctx.store.container(pubkey) else { return };
        match self.ctx.wallet.balance(&container.keys).await {
            Ok(balance) => {
                if let Err(e) = self.ctx.store.save_balance(pubkey, balance) {
                    tracing::error!("balance not saved: {e}");
                }
                self.ctx.changes.container(*pubkey);
            }
            Err(e) => tracing::warn!(container = %pubkey, "balance: {e}"),
        }
    }

    /// Ends all drivers; each stops its process first. Containers start again with the server.
    ///
    /// Built-ins end last: a charge under way still needs the wallet.
    pub async fn shutdown(&self) {
        let all: Vec<_> = self.lock().drain().map(|(_, handle)| handle).collect();
        let (builtins, launched): (Vec<_>, Vec<_>) = all.into_iter().partition(|handle| handle.is_builtin);
        for handles in [launched, builtins] {
            for handle in &handles {
                // A driver that is gone has nothing to stop.
                handle.inbox.shut().await;
            }
            for handle in handles {
                drop(handle.task.await);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PublicKey, Handle>> {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

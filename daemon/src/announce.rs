//! What this server tells the world: itself, and its containers.

pub(crate) mod containers;
mod instance;
mod lists;
mod outbox;
mod pace;
mod profiles;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::instance::{Evidence, EvidenceError, Vouchers};
use futures_util::StreamExt;
use futures_util::stream;
use nostr::key::PublicKey;
use outbox::Outbox;
use pace::{AGAIN_SECS, Pace, Told};
use protocol::event::CheckedEvent;
use relay::Pool;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use units::UnixSecs;

use crate::context::Context;
use crate::store::{Container, StoreError};

/// Changes that come together are told together.
const GATHER: Duration = Duration::from_secs(1);
/// Longest sleep if nothing is due.
const IDLE_SECS: u64 = 600;

/// Something could not be told.
#[derive(Debug, Error)]
pub enum AnnounceError {
    /// There is no evidence to show.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// An event could not be signed.
    #[error(transparent)]
    Sign(#[from] protocol::event::SignError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Our own announcement does not verify.
    #[error("our own announcement does not verify: {0}")]
    Unverifiable(#[from] protocol::nec::NecError),
    /// Another may have this server's state.
    #[error("this server may not act now")]
    NotHolding,
    /// No relay took it.
    #[error("no relay took the {what}: {refused}")]
    NotTaken {
        /// What.
        what: &'static str,
        /// What the relays said.
        refused: String,
    },
}

/// What is to be told, gathered.
#[derive(Clone, Debug, Default)]
pub struct Changes(Arc<Gathered>);

#[derive(Debug, Default)]
struct Gathered {
    containers: Mutex<BTreeSet<PublicKey>>,
    some: Notify,
    /// Counts what happened, for those who watch a container.
    stirs: watch::Sender<u64>,
}

impl Changes {
    /// A container changed, and with it what the server has left.
    pub fn container(&self, pubkey: PublicKey) {
        self.0.containers.lock().unwrap_or_else(PoisonError::into_inner).insert(pubkey);
        self.0.some.notify_one();
        self.stir();
    }

    /// A container changed in a way that is not announced.
    pub fn stir(&self) {
        self.0.stirs.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears of every change from now on, without saying of what.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.stirs.subscribe()
    }

    /// The server changed: it has a wallet now.
    pub fn server(&self) {
        self.0.some.notify_one();
    }

    fn take(&self) -> BTreeSet<PublicKey> {
        std::mem::take(&mut self.0.containers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells the world.
#[derive(Debug)]
pub struct Announcer {
    ctx: Arc<Context>,
    outbox: Outbox,
    vouchers: Vouchers,
    profiles: profiles::Profiles,
}

impl Announcer {
    /// An announcer on these relays. Vouchers that do not verify with our own evidence are left out,
    /// and said so.
    ///
    /// # Errors
    /// [`AnnounceError`] if not even an announcement without vouchers verifies.
    pub async fn new(ctx: Arc<Context>, pool: Pool, vouchers: Vouchers) -> Result<Self, AnnounceError> {
        let evidence = ctx.attestor.current().await?;
        let vouchers = instance::keep_valid(&ctx, &evidence, vouchers)?;
        // What verifies here was checked; statements show it, too.
        let releases = vouchers.releases.iter().cloned().filter_map(|event| CheckedEvent::check(event).ok());
        ctx.releases.get_or_init(|| releases.collect());
        Ok(Self { ctx, outbox: Outbox::new(pool), vouchers, profiles: profiles::Profiles::default() })
    }

    /// Announces until the future is dropped.
    pub async fn run(self) {
        let changes = self.ctx.changes.clone();
        let (mut instance, mut pace) = (instance::Turn::default(), Pace::default());
        pace.extend(self.living());
        loop {
            self.ctx.hold.held().await;
            let now = self.ctx.clock.now();
            // The server first: a container is checked against it.
            let tells = instance::told(&self.ctx);
            if instance.is_due(&tells, now) {
                match self.announce_instance(&mut instance).await {
                    Ok(next_secs) => instance.told(tells, now.plus_secs(next_secs)),
                    Err(e) => {
                        tracing::warn!("server not announced: {e}");
                        instance.failed(now.plus_secs(AGAIN_SECS));
                    }
                }
            }
            changes.take().into_iter().for_each(|one| pace.want(one, now));
            self.announce_containers(&mut pace, now).await;
            if self.ctx.hold.may_act() {
                self.outbox.repeat(self.ctx.clock.now()).await;
            }
            tokio::time::sleep(GATHER).await;
            let now = self.ctx.clock.now();
            let dues = [self.outbox.repeat_due(), pace.next_due(now), Some(instance.due())];
            let due = dues.into_iter().flatten().min();
            let wait_secs = due.map_or(IDLE_SECS, |due| due.secs_since(now).min(IDLE_SECS));
            // Something that changed while we slept is found without waiting.
            drop(tokio::time::timeout(Duration::from_secs(wait_secs), changes.0.some.notified()).await);
        }
    }

    /// Tells of the containers whose turn it is, several at once: one relay that hangs must not hold up all.
    async fn announce_containers(&self, pace: &mut Pace, now: UnixSecs) {
        let telling = pace.take(now).into_iter().map(|(pubkey, with_list)| async move {
            (pubkey, self.announce_container(&pubkey, with_list).await)
        });
        let told: Vec<_> = stream::iter(telling).buffer_unordered(outbox::AT_ONCE).collect().await;
        for (pubkey, outcome) in told {
            let outcome = outcome.unwrap_or_else(|e| {
                tracing::warn!(container = %pubkey, "container not announced: {e}");
                Told::Failed
            });
            pace.note(pubkey, outcome, now);
        }
    }

    fn living(&self) -> Vec<PublicKey> {
        let containers = self.ctx.store.containers().unwrap_or_else(|e| {
            tracing::error!("containers not read: {e}");
            Vec::new()
        });
        let living = containers.iter().filter(|container| lives(container));
        living.map(Container::pubkey).collect()
    }
}

/// True for one that is told of again and again, without a change.
fn lives(container: &Container) -> bool {
    matches!(container.state.name(), "deployed" | "upgrading" | "paused")
}

/// Refuses to tell anything while another may have this server's state.
fn may_tell(ctx: &Context) -> Result<(), AnnounceError> {
    if ctx.hold.may_act() { Ok(()) } else { Err(AnnounceError::NotHolding) }
}

/// When a certificate made now ends: with the attestation above it.
fn certificate_until(evidence: &Evidence) -> UnixSecs {
    evidence.document.leaf_not_after()
}

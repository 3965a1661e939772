//! What this server tells the world: itself, and its containers.

pub(crate) mod containers;
mod instance;
mod lists;
mod outbox;
mod profiles;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::instance::{Evidence, EvidenceError, Vouchers};
use futures_util::StreamExt;
use futures_util::stream;
use nostr::key::PublicKey;
use outbox::Outbox;
use protocol::event::CheckedEvent;
use relay::Pool;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use units::UnixSecs;

use crate::context::Context;
use crate::store::StoreError;

/// Changes that come together are told together.
const GATHER: Duration = Duration::from_secs(1);
/// Containers are told of so often without a change, so that clients can check them before paying.
const CONTAINER_EVERY_SECS: u64 = 600;
/// An announcement that failed is made again after this.
const AGAIN_SECS: u64 = 30;
/// A container's relay list changes with the configuration only; relays forget.
const LIST_EVERY_SECS: u64 = 3_600;

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
        let mut instance_due = UnixSecs(0);
        let mut containers_due = UnixSecs(0);
        let mut lists_due = BTreeMap::new();
        let mut told = None;
        loop {
            self.ctx.hold.held().await;
            let now = self.ctx.clock.now();
            // The server first: a container is checked against it.
            let tells = instance::told(&self.ctx);
            if now >= instance_due || told.as_ref() != Some(&tells) {
                instance_due = now.plus_secs(match self.announce_instance().await {
                    Ok(next_secs) => {
                        told = Some(tells);
                        next_secs
                    }
                    Err(e) => {
                        tracing::warn!("server not announced: {e}");
                        told = None;
                        AGAIN_SECS
                    }
                });
            }
            let mut changed = changes.take();
            if now >= containers_due {
                changed.extend(self.living());
                containers_due = now.plus_secs(CONTAINER_EVERY_SECS);
            }
            self.announce_containers(changed, &mut lists_due, now).await;
            if self.ctx.hold.may_act() {
                self.outbox.repeat(self.ctx.clock.now()).await;
            }
            tokio::time::sleep(GATHER).await;
            let due = self.outbox.repeat_due().into_iter().chain([instance_due, containers_due]).min();
            let wait_secs = due.unwrap_or(containers_due).secs_since(self.ctx.clock.now());
            // Something that changed while we slept is found without waiting.
            drop(tokio::time::timeout(Duration::from_secs(wait_secs), changes.0.some.notified()).await);
        }
    }

    /// Tells of these containers, several at once: one relay that hangs must not hold up all.
    async fn announce_containers(
        &self,
        changed: BTreeSet<PublicKey>,
        lists_due: &mut BTreeMap<PublicKey, UnixSecs>,
        now: UnixSecs,
    ) {
        lists_due.retain(|_, due| *due > now);
        let listed: BTreeSet<PublicKey> = lists_due.keys().copied().collect();
        let telling = changed.into_iter().map(|pubkey| {
            let with_list = !listed.contains(&pubkey);
            async move { (pubkey, self.announce_container(&pubkey, with_list).await) }
        });
        let told: Vec<_> = stream::iter(telling).buffer_unordered(outbox::AT_ONCE).collect().await;
        for (pubkey, outcome) in told {
            match outcome {
                Ok(true) => drop(lists_due.entry(pubkey).or_insert(now.plus_secs(LIST_EVERY_SECS))),
                Ok(false) => {}
                Err(e) => tracing::warn!(container = %pubkey, "container not announced: {e}"),
            }
        }
    }

    fn living(&self) -> Vec<PublicKey> {
        let containers = self.ctx.store.containers().unwrap_or_else(|e| {
            tracing::error!("containers not read: {e}");
            Vec::new()
        });
        let living =
            containers.iter().filter(|c| matches!(c.state.name(), "deployed" | "upgrading" | "paused"));
        living.map(crate::store::Container::pubkey).collect()
    }
}

/// Refuses to tell anything while another may have this server's state.
fn may_tell(ctx: &Context) -> Result<(), AnnounceError> {
    if ctx.hold.may_act() { Ok(()) } else { Err(AnnounceError::NotHolding) }
}

/// When a certificate made now ends: with the attestation above it.
fn certificate_until(evidence: &Evidence) -> UnixSecs {
    evidence.document.leaf_not_after()
}

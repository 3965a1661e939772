//! What this key store shows the world, and the others of its group.

use std::sync::Arc;
use std::time::Duration;

use instance::{Attestor, Evidence, EvidenceError, Vouchers};
use nostr::key::Keys;
use protocol::event::{CheckedEvent, SignError};
use protocol::nec::announcement::{Announcement, build};
use protocol::nec::{Env, NecError, Policy};
use relay::Pool;
use thiserror::Error;
use units::Clock;

use crate::config::Config;

const DESCRIPTION: &str = "keycrux: keeps keys for enclaves that prove themselves";
/// An announcement that no relay took is made again after this.
const AGAIN: Duration = Duration::from_secs(15);
/// What the others of a group are shown is at most so old.
const PEER_EVIDENCE_SECS_MAX: u64 = 120;

/// Something could not be told.
#[derive(Debug, Error)]
pub enum AnnounceError {
    /// There is no evidence to show.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// An event could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// Our own announcement does not verify.
    #[error("our own announcement does not verify: {0}")]
    Unverifiable(#[from] NecError),
}

/// Announces this key store.
#[derive(Debug)]
pub struct Announcer {
    keys: Keys,
    attestor: Attestor,
    vouchers: Vouchers,
    clock: Arc<dyn Clock>,
    repo: String,
    name: String,
    relays: Vec<String>,
}

impl Announcer {
    /// An announcer. Vouchers that do not verify with our own evidence are left out, and said so.
    ///
    /// # Errors
    /// [`AnnounceError`] if not even an announcement without vouchers verifies.
    pub async fn new(
        config: &Config,
        keys: Keys,
        attestor: Attestor,
        vouchers: Vouchers,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AnnounceError> {
        let (repo, name) = (config.repo.clone(), config.name.clone());
        let relays = config.relays.clone();
        let none = Vouchers::default();
        let mut announcer = Self { keys, attestor, vouchers: none, clock, repo, name, relays };
        let evidence = announcer.attestor.current().await?;
        let root = announcer.attestor.trust_root().clone();
        let policy = Policy { allow_debug: true, ..Policy::new(root, announcer.clock.now()) };
        let announce =
            |vouchers: &Vouchers| announcer.event(&evidence, vouchers).map_err(AnnounceError::from);
        let kept = vouchers.keep_valid(&policy, announce)?;
        announcer.vouchers = kept;
        Ok(announcer)
    }

    fn event(&self, evidence: &Evidence, vouchers: &Vouchers) -> Result<CheckedEvent, SignError> {
        let announcement = Announcement {
            description: DESCRIPTION,
            repo: &self.repo,
            name: &self.name,
            version: env!("CARGO_PKG_VERSION"),
            env: evidence.env,
            relays: &self.relays,
            open: true,
            price: None,
            units_free: None,
            overcommit_percent: None,
            ends_at: None,
            wallet: None,
            limits_not_enforced: &[],
            build: vouchers.build.as_ref(),
            instance: vouchers.instance.as_ref(),
            releases: &vouchers.releases,
            history: None,
        };
        build(&self.keys, &announcement, &evidence.root, &evidence.document, self.clock.now())
    }

    /// What this key store is for.
    ///
    /// # Errors
    /// [`AnnounceError`].
    pub async fn env(&self) -> Result<Env, AnnounceError> {
        Ok(self.attestor.current().await?.env)
    }

    /// An announcement with evidence as fresh as the others of the group ask for.
    ///
    /// # Errors
    /// [`AnnounceError`].
    pub async fn for_peers(&self) -> Result<CheckedEvent, AnnounceError> {
        let evidence = self.attestor.at_most(PEER_EVIDENCE_SECS_MAX).await?;
        Ok(self.event(&evidence, &self.vouchers)?)
    }

    /// Announces until the future is dropped, each time before the evidence of the last time is refused.
    pub async fn run(&self, pool: &Pool) {
        loop {
            let wait = match self.announce(pool).await {
                Ok(wait) => wait,
                Err(e) => {
                    tracing::warn!("not announced: {e}");
                    AGAIN
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn announce(&self, pool: &Pool) -> Result<Duration, AnnounceError> {
        let evidence = self.attestor.current().await?;
        let event = self.event(&evidence, &self.vouchers)?;
        let report = pool.publish(&event).await;
        metrics::counter!("announcements_total", "what" => "announcement").increment(1);
        for (relay, why) in &report.refused {
            tracing::warn!(relay, "announcement not taken: {:?}", why.chars().take(200).collect::<String>());
        }
        if !report.is_published() {
            return Ok(AGAIN);
        }
        Ok(Duration::from_secs(evidence.fresh_until().secs_since(self.clock.now()).max(1)))
    }
}

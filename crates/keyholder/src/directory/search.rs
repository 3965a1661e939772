//! Looking for key stores on relays that hold what anybody wrote.
//!
//! Whoever floods them with announcements that look like those of a key store, with the right repository
//! and the right launcher, must not hide the real ones. So each launcher is looked for by itself and page
//! by page; whoever key stores told of is asked for by its own key, under which nobody else can write; and
//! what is refused is not verified again with each look.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nostr::event::EventId;
use nostr::filter::Filter;
use nostr::key::PublicKey;
use nostr::types::Timestamp;
use protocol::event::{CheckedEvent, tag_value};
use protocol::kinds::{ANNOUNCEMENT, LAUNCHER_SIGNATURE};
use quorum::{MemberId, View};
use relay::{Pool, PoolError};
use tokio::task::JoinSet;
use units::{Clock, UnixSecs};

use super::{Member, Trust};

/// Announcements are made at least hourly; what is older than two hours belongs to somebody who is gone.
const ANNOUNCED_SECS_MAX: u64 = 2 * 3_600;
/// How far a key store's clock may be ahead of ours.
const AHEAD_SECS_MAX: u64 = 600;
/// Instances of one launcher that are asked: the one that runs, and those that ran before it and whose
/// announcements are still about.
const INSTANCES_PER_MEMBER_MAX: usize = 4;
/// How long relays may take to say what they hold.
const FETCH_WAIT: Duration = Duration::from_secs(5);
/// Announcements in one page of one launcher: fewer than a relay is asked for at once anyway.
const PAGE_EVENTS: usize = 250;
/// Pages of one launcher: who fills as many for each of them keeps new instances hidden until some key
/// store tells of them.
const PAGES_MAX: usize = 8;
/// Announcements of one launcher that are verified in one look. The others come with the next ones.
const VERIFIED_MAX: usize = 64;
/// For how long a refused announcement is not verified again. Its reason may have been our clock.
const REFUSED_SECS: u64 = 120;
/// Refused announcements that are remembered.
const REFUSED_MAX: usize = 16_384;
/// Instances of one launcher of which key stores told.
const KNOWN_PER_MEMBER_MAX: usize = 4;
/// Launchers of whose instances key stores told: more than any group has.
const KNOWN_MEMBERS_MAX: usize = 32;

/// Instances of which key stores told, which are each other's witnesses: the newest few of each launcher.
/// By itself no reason to believe them; it is only known under which key to look.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<Mutex<BTreeMap<MemberId, Vec<PublicKey>>>>);

impl Known {
    /// Takes over of whom a key store told.
    pub fn learn(&self, view: &View) {
        for (member, incarnation) in &view.seats {
            // The key of a life is the service key of the instance.
            if let Ok(service) = PublicKey::from_slice(&incarnation.boot.0) {
                self.note(*member, service);
            }
        }
    }

    fn note(&self, member: MemberId, service: PublicKey) {
        let mut known = lock(&self.0);
        if !known.contains_key(&member) && known.len() >= KNOWN_MEMBERS_MAX {
            return;
        }
        let services = known.entry(member).or_default();
        if services.contains(&service) {
            return;
        }
        services.push(service);
        let surplus = services.len().saturating_sub(KNOWN_PER_MEMBER_MAX);
        services.drain(..surplus);
    }

    fn services(&self) -> Vec<PublicKey> {
        lock(&self.0).values().flatten().copied().collect()
    }
}

/// Finds key stores by their announcements.
#[derive(Clone, Debug)]
pub struct Directory {
    pool: Pool,
    trust: Arc<Trust>,
    clock: Arc<dyn Clock>,
    known: Known,
    refused: Arc<Mutex<BTreeMap<EventId, UnixSecs>>>,
}

impl Directory {
    /// Looks on the relays of this pool, on which key stores and their clients meet.
    #[must_use]
    pub fn new(pool: Pool, trust: Arc<Trust>, clock: Arc<dyn Clock>) -> Self {
        Self { pool, trust, clock, known: Known::default(), refused: Arc::default() }
    }

    /// Which ones count.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Those of whom key stores told, to be told of more.
    #[must_use]
    pub const fn known(&self) -> &Known {
        &self.known
    }

    /// Those that are there now, as far as the relays say: of each launcher the newest few.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn find(&self) -> Result<Vec<Member>, PoolError> {
        let mut looks = JoinSet::new();
        for launcher in self.trust.members.iter().copied() {
            let this = self.clone();
            looks.spawn(async move { this.of_launcher(launcher).await });
        }
        let known = self.known.services();
        let mut found = BTreeSet::new();
        if !known.is_empty() {
            let events = self.pool.fetch(self.filter().authors(known), FETCH_WAIT).await?;
            found.extend(events.iter().filter_map(|event| self.verify(event)));
        }
        while let Some(look) = looks.join_next().await {
            // One that was stopped with its runtime has found nothing.
            found.extend(look.unwrap_or(Ok(Vec::new()))?);
        }
        let mut of_launchers: BTreeMap<PublicKey, Vec<Member>> = BTreeMap::new();
        for member in found {
            self.known.note(member.id(), member.service());
            of_launchers.entry(member.launcher()).or_default().push(member);
        }
        for instances in of_launchers.values_mut() {
            instances.sort_by_key(|member| std::cmp::Reverse(member.announced_at));
            instances.truncate(INSTANCES_PER_MEMBER_MAX);
        }
        Ok(of_launchers.into_values().flatten().collect())
    }

    fn filter(&self) -> Filter {
        let now = self.clock.now();
        Filter::new()
            .kind(ANNOUNCEMENT)
            .since(Timestamp::from_secs(now.minus_secs(ANNOUNCED_SECS_MAX).0))
            .until(Timestamp::from_secs(now.plus_secs(AHEAD_SECS_MAX).0))
    }

    /// Those that say that this launcher runs them, and do not lie.
    async fn of_launcher(&self, launcher: PublicKey) -> Result<Vec<Member>, PoolError> {
        let mut filter = self.filter().reference(&self.trust.repo).pubkey(launcher).limit(PAGE_EVENTS);
        let (mut found, mut seen, mut verified) = (Vec::new(), BTreeSet::new(), 0);
        for _ in 0..PAGES_MAX {
            // Newest first.
            let events = self.pool.fetch(filter.clone(), FETCH_WAIT).await?;
            for event in events.iter().filter(|event| seen.insert(event.id)) {
                if verified < VERIFIED_MAX && is_vouched_for(event, &launcher) && !self.was_refused(event) {
                    verified += 1;
                    found.extend(self.verify(event));
                }
            }
            let Some(last) = events.get(PAGE_EVENTS - 1) else { break };
            let before = filter.until.map_or(u64::MAX, |until| until.as_secs());
            let until = last.created_at().0.min(before.saturating_sub(1));
            filter = filter.until(Timestamp::from_secs(until));
        }
        Ok(found)
    }

    fn verify(&self, event: &CheckedEvent) -> Option<Member> {
        let now = self.clock.now();
        match self.trust.verify(event, now, None) {
            Ok(member) => Some(member),
            Err(e) => {
                tracing::debug!(service = %event.pubkey, "an announcement does not count: {e}");
                let mut refused = lock(&self.refused);
                if refused.len() >= REFUSED_MAX {
                    refused.clear();
                }
                refused.insert(event.id, now);
                None
            }
        }
    }

    fn was_refused(&self, event: &CheckedEvent) -> bool {
        let at = lock(&self.refused).get(&event.id).copied();
        at.is_some_and(|at| self.clock.now().secs_since(at) < REFUSED_SECS)
    }
}

/// Whether an announcement shows a signature of the launcher for some machine. That alone says nothing, as
/// it may be copied, but is looked at much faster than an attestation.
fn is_vouched_for(event: &CheckedEvent, launcher: &PublicKey) -> bool {
    let signature = tag_value(event, "instance").and_then(|text| CheckedEvent::parse(text).ok());
    signature.is_some_and(|event| event.kind == LAUNCHER_SIGNATURE && event.pubkey == *launcher)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

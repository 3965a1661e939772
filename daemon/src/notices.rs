//! What owners are told unasked: that a container stopped for want of money, that a launch failed, that
//! a release will follow this build, that the server ends for an upgrade.

mod texts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use lifecycle::{Policy, State};
use nostr::key::PublicKey;
use protocol::nec::announcement::Upgrade;
use tokio::sync::mpsc;
use units::{Clock, UnixSecs};

use crate::deploy::NO_ROOM;
use crate::dm::Speaker;
use crate::hold::Hold;
use crate::quota::Quota;
use crate::store::Container;
use texts::{about_end, about_release, about_state, named};

/// Notices that wait to be sent, more than a server has containers; more are dropped and counted: all of it can
/// be asked for.
const WAITING_MAX: usize = 4_096;
/// Notices about one container in a day: one that flaps is no reason to write for ever. Who has many hears of
/// each.
const PER_CONTAINER: u32 = 8;
/// Notices about containers to one owner in a day, and to all in an hour.
const PER_OWNER: u32 = 200;
const PER_HOUR: u32 = 1_000;
/// Containers of which one message of the end tells.
const CONTAINERS_MAX: usize = 50;
/// Written by [`Notices::ends_at`] where the end is not known.
const NEVER: u64 = 0;

/// One notice.
#[derive(Debug)]
pub struct Notice {
    to: PublicKey,
    /// The container that it is about; of the server there is little to tell, and everybody is told it.
    about: Option<PublicKey>,
    text: String,
    _untold: Untold,
}

/// Counts a notice until it is told.
#[derive(Debug)]
struct Untold(Arc<AtomicUsize>);

impl Untold {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Takes notices, without waiting.
#[derive(Clone, Debug)]
pub struct Notices {
    queue: mpsc::Sender<Notice>,
    policy: Policy,
    ends_at: Arc<AtomicU64>,
    untold: Arc<AtomicUsize>,
}

impl Notices {
    /// Where notices go in, and where they come out.
    #[must_use]
    pub fn new(policy: Policy) -> (Self, mpsc::Receiver<Notice>) {
        let (queue, receiver) = mpsc::channel(WAITING_MAX);
        (Self { queue, policy, ends_at: Arc::new(AtomicU64::new(NEVER)), untold: Arc::default() }, receiver)
    }

    /// A container's state changed.
    pub(crate) fn state(&self, container: &Container, from: &str, state: &State) {
        if let Some(owner) = container.owner()
            && let Some(text) =
                about_state(&named(container), lacks_room(container), from, state, &self.policy)
        {
            let _queued = self.tell(*owner, Some(container.pubkey()), text);
        }
    }

    /// The server ends at `at` and comes back as another version: nothing is launched from now on.
    pub(crate) fn set_end(&self, at: UnixSecs) {
        self.ends_at.store(at.0.max(1), Ordering::SeqCst);
    }

    /// Tells everybody who has something here of the end, of all of it together.
    pub(crate) fn ends(&self, at: UnixSecs, containers: &[Container]) {
        let mut by_owner: BTreeMap<PublicKey, Vec<String>> = BTreeMap::new();
        for container in containers {
            if let Some(owner) = container.owner()
                && let Some(text) = about_end(&named(container), &container.state)
            {
                by_owner.entry(*owner).or_default().push(text);
            }
        }
        for (owner, texts) in by_owner {
            for texts in texts.chunks(CONTAINERS_MAX) {
                let _queued = self.tell(owner, None, texts::end(at, texts));
            }
        }
    }

    /// A release will follow this build. False if there is no room for the notice now.
    pub(crate) fn release(&self, owner: PublicKey, release: &Upgrade) -> bool {
        self.tell(owner, None, about_release(release))
    }

    /// When the server ends, once that is known.
    #[must_use]
    pub fn ends_at(&self) -> Option<UnixSecs> {
        Some(self.ends_at.load(Ordering::SeqCst)).filter(|at| *at != NEVER).map(UnixSecs)
    }

    fn tell(&self, to: PublicKey, about: Option<PublicKey>, text: String) -> bool {
        let notice = Notice { to, about, text, _untold: Untold::new(&self.untold) };
        let is_queued = self.queue.try_send(notice).is_ok();
        if !is_queued {
            metrics::counter!("notices_dropped_total").increment(1);
        }
        is_queued
    }

    /// True once every notice was handed on by who sends them.
    pub(crate) fn are_told(&self) -> bool {
        self.untold.load(Ordering::SeqCst) == 0
    }
}

/// How much is told.
#[derive(Debug)]
struct Pace {
    containers: Quota,
    owners: Quota,
}

impl Pace {
    fn new() -> Self {
        Self { containers: Quota::new(PER_CONTAINER, PER_HOUR), owners: Quota::new(PER_OWNER, PER_HOUR) }
    }

    fn takes(&mut self, notice: &Notice, now: UnixSecs) -> bool {
        let Some(container) = &notice.about else { return true };
        self.owners.has_left(&notice.to, now)
            && self.containers.take(container, now)
            && self.owners.take(&notice.to, now)
    }
}

/// Sends what was not taken before the server was last started, then notices until the queue ends or the future is
/// dropped.
pub(crate) async fn send(
    mut queue: mpsc::Receiver<Notice>,
    speaker: Arc<Speaker>,
    clock: Arc<dyn Clock>,
    hold: Hold,
) {
    let mut pace = Pace::new();
    hold.held().await;
    speaker.resume();
    while let Some(notice) = queue.recv().await {
        // Another may have this server's state, and speak for it.
        hold.held().await;
        if pace.takes(&notice, clock.now()) {
            metrics::counter!("notices_total").increment(1);
            speaker.tell(notice.to, &notice.text);
        }
    }
}

/// It was paused although it had paid.
fn lacks_room(container: &Container) -> bool {
    container.reason.as_ref().is_some_and(|reason| reason.code == NO_ROOM)
}

#[cfg(test)]
mod tests;

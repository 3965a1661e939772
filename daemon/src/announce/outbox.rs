//! Where the server's events go: the write relays of its own list (NIP-65). Relays refuse, forget, hang
//! and go away; each one's answer is logged, and who did not take an event for a reason that may pass is
//! offered it again, without troubling the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream;
use nostr::event::Kind;
use nostr::key::PublicKey;
use protocol::event::{CheckedEvent, expiration};
use relay::{Pool, PublishReport};
use units::UnixSecs;

use super::AnnounceError;

/// First wait before a relay is offered an event again; doubled each time.
const REPEAT_FIRST_SECS: u64 = 15;
/// Longest wait: by then the event itself is made anew.
const REPEAT_SECS_MAX: u64 = 600;
/// Events that wait to be offered again: every container's and the server's own, with room to spare.
const LATE_MAX: usize = 1_024;
/// Events that are offered at once: a relay that hangs holds each for ten seconds.
pub(super) const AT_ONCE: usize = 8;
/// Characters of a relay's answer that are logged: strangers write it.
const ANSWER_CHARS_MAX: usize = 200;
/// Answers that will be the same in a minute (NIP-01, NIP-42). All others may pass: `rate-limited`,
/// `error`, no answer, no connection.
const FINAL: [&str; 7] = ["auth-required", "blocked", "duplicate", "invalid", "mute", "pow", "restricted"];

/// The relays on which this server publishes, and what they still lack.
#[derive(Debug)]
pub(crate) struct Outbox {
    pool: Pool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Why each relay refused last; none if it took what it was offered.
    answers: BTreeMap<String, Option<String>>,
    /// By author and kind: the newest event takes the place of those before it.
    late: BTreeMap<(PublicKey, Kind), Late>,
}

/// An event that some relays did not take.
#[derive(Clone, Debug)]
struct Late {
    what: &'static str,
    event: CheckedEvent,
    relays: BTreeSet<String>,
    wait_secs: u64,
    due: UnixSecs,
}

impl Outbox {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, state: Mutex::default() }
    }

    /// The relays.
    pub(crate) async fn relays(&self) -> Vec<String> {
        self.pool.status().await.into_iter().map(|relay| relay.url).collect()
    }

    /// Offers an event to every relay. Those that did not take it are offered it again by
    /// [`Self::repeat`].
    ///
    /// # Errors
    /// [`AnnounceError::NotTaken`] if no relay took it.
    pub(crate) async fn publish(
        &self,
        what: &'static str,
        event: &CheckedEvent,
        now: UnixSecs,
    ) -> Result<(), AnnounceError> {
        let report = self.pool.publish(event).await;
        let relays = self.note(what, &report);
        let wait_secs = REPEAT_FIRST_SECS;
        let late = Late { what, event: event.clone(), relays, wait_secs, due: now.plus_secs(wait_secs) };
        self.state().keep(late);
        metrics::counter!("announcements_total", "what" => what).increment(1);
        if report.is_published() {
            return Ok(());
        }
        let refused = report.refused.iter().map(|(relay, why)| format!("{relay}: {}", shown(why)));
        Err(AnnounceError::NotTaken { what, refused: refused.collect::<Vec<_>>().join("; ") })
    }

    /// When something is to be offered again.
    pub(crate) fn repeat_due(&self) -> Option<UnixSecs> {
        self.state().late.values().map(|late| late.due).min()
    }

    /// Offers again what is due, to those that lack it.
    pub(crate) async fn repeat(&self, now: UnixSecs) {
        let due: Vec<Late> = self.state().late.values().filter(|late| late.due <= now).cloned().collect();
        let offers = due.into_iter().map(|late| async move {
            let ended = expiration(&late.event).ok().flatten().is_some_and(|until| until <= now);
            let relays = if ended { BTreeSet::new() } else { self.offer(&late).await };
            let wait_secs = (late.wait_secs * 2).min(REPEAT_SECS_MAX);
            self.state().keep(Late { relays, wait_secs, due: now.plus_secs(wait_secs), ..late });
        });
        stream::iter(offers).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Offers it to those that lack it, and says who lacks it still.
    async fn offer(&self, late: &Late) -> BTreeSet<String> {
        let urls: Vec<String> = late.relays.iter().cloned().collect();
        let report = self.pool.publish_to(&urls, &late.event).await;
        self.note(late.what, &report)
    }

    /// Logs each relay's answer, aloud where it changed, and returns the relays to ask again.
    fn note(&self, what: &'static str, report: &PublishReport) -> BTreeSet<String> {
        let mut state = self.state();
        for relay in &report.accepted {
            metrics::counter!("announcements_answered_total", "answer" => "taken").increment(1);
            if state.answers.insert(relay.clone(), None).flatten().is_some() {
                tracing::info!(relay, what, "the relay takes our events again");
            } else {
                tracing::debug!(relay, what, "taken");
            }
        }
        let mut again = BTreeSet::new();
        for (relay, why) in &report.refused {
            metrics::counter!("announcements_answered_total", "answer" => "refused").increment(1);
            let why = shown(why);
            if !is_final(&why) {
                again.insert(relay.clone());
            }
            if state.answers.insert(relay.clone(), Some(why.clone())).flatten().as_ref() == Some(&why) {
                tracing::debug!(relay, what, "not taken: {why}");
            } else {
                tracing::warn!(relay, what, "not taken: {why}");
            }
        }
        again
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps what an event still lacks, unless a newer one has taken its place.
    fn keep(&mut self, late: Late) {
        let key = (late.event.pubkey, late.event.kind);
        let newer = |kept: &Late| kept.event.created_at() > late.event.created_at();
        if self.late.get(&key).is_some_and(newer) {
            return;
        }
        if late.relays.is_empty() {
            self.late.remove(&key);
        } else if self.late.len() < LATE_MAX || self.late.contains_key(&key) {
            self.late.insert(key, late);
        }
    }
}

fn is_final(why: &str) -> bool {
    // The library may put words of its own before the relay's.
    FINAL.iter().any(|prefix| why.split(' ').any(|word| word.strip_suffix(':') == Some(prefix)))
}

/// A stranger's words, on one line and not many.
fn shown(why: &str) -> String {
    why.chars().take(ANSWER_CHARS_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;

//! What owners are told unasked: that a container stopped for want of money, that a launch failed, that
//! the server ends for an upgrade.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lifecycle::{Phase, Policy, State};
use nostr::key::PublicKey;
use nostr::nips::nip19::ToBech32;
use tokio::sync::mpsc;
use units::{Clock, UnixSecs, calendar};

use crate::deploy::NO_ROOM;
use crate::dm::{Speaker, Weight};
use crate::hold::Hold;
use crate::quota::Quota;
use crate::store::Container;

/// Notices that wait to be sent, more than a server has containers; more are dropped and counted: all of it can
/// be asked for.
const WAITING_MAX: usize = 4_096;
/// Notices to one owner in a day, and to all in an hour: a container that flaps is no reason to write
/// for ever.
const PER_OWNER: u32 = 20;
const PER_HOUR: u32 = 1_000;
/// Written by [`Notices::ends_at`] where the end is not known.
const NEVER: u64 = 0;

/// One notice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    to: PublicKey,
    text: String,
}

/// Takes notices, without waiting.
#[derive(Clone, Debug)]
pub struct Notices {
    queue: mpsc::Sender<Notice>,
    policy: Policy,
    ends_at: Arc<AtomicU64>,
}

impl Notices {
    /// Where notices go in, and where they come out.
    #[must_use]
    pub fn new(policy: Policy) -> (Self, mpsc::Receiver<Notice>) {
        let (queue, receiver) = mpsc::channel(WAITING_MAX);
        (Self { queue, policy, ends_at: Arc::new(AtomicU64::new(NEVER)) }, receiver)
    }

    /// A container's state changed.
    pub(crate) fn state(&self, container: &Container, from: &str, state: &State) {
        if let Some(owner) = container.owner()
            && let Some(text) =
                about_state(&named(container), lacks_room(container), from, state, &self.policy)
        {
            self.tell(*owner, text);
        }
    }

    /// The server ends at `at` and comes back as another version.
    pub(crate) fn ends(&self, at: UnixSecs, containers: &[Container]) {
        self.ends_at.store(at.0.max(1), Ordering::SeqCst);
        for container in containers {
            if let Some(owner) = container.owner()
                && let Some(text) = about_end(&named(container), &container.state, at)
            {
                self.tell(*owner, text);
            }
        }
    }

    /// When the server ends, once that is known.
    #[must_use]
    pub fn ends_at(&self) -> Option<UnixSecs> {
        Some(self.ends_at.load(Ordering::SeqCst)).filter(|at| *at != NEVER).map(UnixSecs)
    }

    fn tell(&self, to: PublicKey, text: String) {
        if self.queue.try_send(Notice { to, text }).is_err() {
            metrics::counter!("notices_dropped_total").increment(1);
        }
    }

    /// True once every notice was taken out by who sends them.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.capacity() == self.queue.max_capacity()
    }
}

/// Sends notices until the queue ends or the future is dropped.
pub(crate) async fn send(
    mut queue: mpsc::Receiver<Notice>,
    speaker: Arc<Speaker>,
    clock: Arc<dyn Clock>,
    hold: Hold,
) {
    let quota = Mutex::new(Quota::new(PER_OWNER, PER_HOUR));
    while let Some(Notice { to, text }) = queue.recv().await {
        // Another may have this server's state, and speak for it.
        hold.held().await;
        if quota.lock().unwrap_or_else(PoisonError::into_inner).take(&to, clock.now()) {
            metrics::counter!("notices_total").increment(1);
            speaker.tell(&to, &text, Weight::Kept).await;
        }
    }
}

/// It was paused although it had paid.
fn lacks_room(container: &Container) -> bool {
    container.reason.as_ref().is_some_and(|reason| reason.code == NO_ROOM)
}

fn named(container: &Container) -> String {
    let pubkey = container.pubkey();
    let npub = pubkey.to_bech32().unwrap_or_else(|_| pubkey.to_hex());
    match &container.spec.name {
        Some(name) => format!("{name} ({npub})"),
        None => npub,
    }
}

/// What an owner is told of a new state. What the owner did is no news.
fn about_state(name: &str, lacks_room: bool, from: &str, state: &State, policy: &Policy) -> Option<String> {
    match state.phase {
        Phase::Paused { .. } if from != "paused" && lacks_room => {
            let until = state.data_kept_until(policy).map(calendar::date).unwrap_or_default();
            Some(format!(
                "{name} was stopped although it had paid: the server has fewer units than before, and others \
                 paid further ahead. It comes back when units are free, with what it has paid; its data is \
                 kept until {until}."
            ))
        }
        Phase::Paused { .. } if from != "paused" => {
            let until = state.data_kept_until(policy).map(calendar::date).unwrap_or_default();
            Some(format!(
                "{name} was stopped: its balance does not pay for the next period. Its data is kept until \
                 {until}. Write topup 100 to go on."
            ))
        }
        Phase::Failed => Some(format!(
            "{name} could not be started; write status to see why. What was paid is its balance and can be \
             withdrawn."
        )),
        Phase::Terminated if from == "paused" && !state.owner_paused => {
            Some(format!("{name} is over: it was unpaid for longer than data is kept. Its data is gone."))
        }
        Phase::Paused { .. }
        | Phase::Waiting { .. }
        | Phase::Expired
        | Phase::Launching
        | Phase::Deployed
        | Phase::Terminated => None,
    }
}

/// What an owner is told of the end. Who has nothing here any more is told nothing.
fn about_end(name: &str, state: &State, at: UnixSecs) -> Option<String> {
    let becomes = match state.phase {
        Phase::Deployed | Phase::Launching if state.should_run() => {
            "is stopped then and comes back with its data; the time that it is away is given back"
        }
        Phase::Deployed | Phase::Launching | Phase::Paused { .. } => {
            "stays paused, and its data is kept; it cannot be commanded or paid for until the server is back"
        }
        Phase::Waiting { .. } => "is not paid for yet: pay before the end, or when the server is back",
        Phase::Expired | Phase::Failed | Phase::Terminated => return None,
    };
    let at = calendar::date(at);
    Some(format!("This server ends at {at} to be replaced by another version. {name} {becomes}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(phase: Phase) -> State {
        State { phase, ..State::waiting(UnixSecs(5)) }
    }

    fn said(from: &str, state: &State) -> Option<String> {
        about_state("blog", false, from, state, &Policy::default())
    }

    #[test]
    fn owner_is_told_what_it_does_not_know() {
        let paused = state(Phase::Paused { since: UnixSecs(1_800_000_000) });
        let text = said("deployed", &paused).unwrap();
        assert!(text.contains("kept until 2027-01-22 08:00:00 UTC") && text.contains("topup"), "{text}");
        let text = about_state("blog", true, "deployed", &paused, &Policy::default()).unwrap();
        assert!(text.contains("although it had paid"), "{text}");
        assert!(said("launching", &state(Phase::Failed)).unwrap().contains("withdrawn"));
        assert!(said("paused", &state(Phase::Terminated)).unwrap().contains("data is gone"));
    }

    #[test]
    fn owner_is_not_told_what_it_did() {
        let asked = State { owner_paused: true, ..state(Phase::Deployed) };
        for (from, state) in [
            ("deployed", asked),
            ("deployed", state(Phase::Terminated)),
            ("launching", state(Phase::Deployed)),
            ("waiting", state(Phase::Launching)),
            ("waiting", state(Phase::Expired)),
            ("paused", state(Phase::Deployed)),
        ] {
            assert_eq!(said(from, &state), None, "{from} {state:?}");
        }
    }

    #[test]
    fn end_is_known_once_it_is_said() {
        let (notices, mut queue) = Notices::new(Policy::default());
        assert_eq!(notices.ends_at(), None);
        notices.ends(UnixSecs(7), &[]);
        assert_eq!((notices.ends_at(), notices.is_empty()), (Some(UnixSecs(7)), true));
        assert!(queue.try_recv().is_err());
    }

    #[test]
    fn end_is_told_to_everybody_who_has_something_here() {
        let at = UnixSecs(1_800_000_000);
        let told = |state: &State| about_end("blog", state, at);
        let paused = State { owner_paused: true, ..state(Phase::Deployed) };
        for (state, part) in [
            (state(Phase::Deployed), "comes back with its data"),
            (paused, "stays paused, and its data is kept"),
            (state(Phase::Paused { since: UnixSecs(5) }), "stays paused, and its data is kept"),
            (State::waiting(UnixSecs(5)), "is not paid for yet"),
        ] {
            let text = told(&state).unwrap();
            assert!(text.contains("ends at 2027-01-15 08:00:00 UTC") && text.contains(part), "{text}");
        }
        for phase in [Phase::Expired, Phase::Failed, Phase::Terminated] {
            assert_eq!(told(&state(phase)), None, "{phase:?}");
        }
    }
}

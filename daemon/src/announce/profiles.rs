//! A container's profile (kind 0), so that people see its state and what it has left, and a note when it
//! stops for want of money.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lifecycle::Phase;
use nostr::event::Kind;
use nostr::key::PublicKey;
use nostr::nips::nip19::ToBech32;
use protocol::event::{CheckedEvent, SignError, sign};
use protocol::tag;
use units::{UnixSecs, calendar};

use super::Announcer;
use crate::deploy::NO_ROOM;
use crate::store::Container;

/// A pause is worth a note for so long: after a restart nobody is told of old ones again.
const NOTE_SECS: u64 = 300;
/// Containers whose last profile is remembered; more are told again.
const TOLD_MAX: usize = 4_096;

/// What was told last, by container.
#[derive(Debug, Default)]
pub(super) struct Profiles(Mutex<BTreeMap<PublicKey, Told>>);

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Told {
    content: String,
    noted: Option<UnixSecs>,
}

impl Announcer {
    /// Publishes a container's profile if it reads otherwise than the last one, and a note if it has just
    /// stopped for want of money. Nothing depends on either.
    pub(super) async fn introduce(&self, container: &Container, now: UnixSecs) {
        if container.is_builtin() {
            return;
        }
        let pubkey = container.pubkey();
        let told = self.profiles.of(&pubkey);
        let content = profile(container);
        let pause = fresh_pause(container, now).filter(|since| told.noted != Some(*since));
        if content != told.content {
            self.say("container's profile", signed(container, Kind::Metadata, content.clone(), now), now)
                .await;
        }
        if pause.is_some() {
            let until = container.state.data_kept_until(&self.ctx.config.policy());
            let text = note(container, until);
            self.say("container's note", signed(container, Kind::TextNote, text, now), now).await;
        }
        self.profiles.remember(pubkey, Told { content, noted: pause.or(told.noted) });
    }

    async fn say(&self, what: &'static str, event: Result<CheckedEvent, SignError>, now: UnixSecs) {
        let outcome = match event {
            Ok(event) => self.outbox.publish(what, &event, now).await.map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        if let Err(e) = outcome {
            tracing::warn!("{e}");
        }
    }
}

impl Profiles {
    fn of(&self, pubkey: &PublicKey) -> Told {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(pubkey).cloned().unwrap_or_default()
    }

    fn remember(&self, pubkey: PublicKey, told: Told) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= TOLD_MAX {
            all.clear();
        }
        all.insert(pubkey, told);
    }
}

fn signed(
    container: &Container,
    kind: Kind,
    content: String,
    now: UnixSecs,
) -> Result<CheckedEvent, SignError> {
    sign(&container.keys, kind, now, vec![tag!["t", "enclaved"]], content)
}

/// Since when it has been unpaid, if that is news. Who has paid and stands aside needs no money.
fn fresh_pause(container: &Container, now: UnixSecs) -> Option<UnixSecs> {
    if container.reason.as_ref().is_some_and(|reason| reason.code == NO_ROOM) {
        return None;
    }
    match container.state.phase {
        Phase::Paused { since } => Some(since).filter(|since| now.secs_since(*since) <= NOTE_SECS),
        Phase::Waiting { .. }
        | Phase::Expired
        | Phase::Launching
        | Phase::Failed
        | Phase::Deployed
        | Phase::Terminated => None,
    }
}

fn shown_name(container: &Container) -> String {
    container.spec.name.clone().unwrap_or_else(|| format!("container {}", &container.pubkey().to_hex()[..8]))
}

fn profile(container: &Container) -> String {
    let about = format!(
        "A container in an enclave. State: {}. Balance: {} sat. Image: {}. Check it before you trust it: \
         encli container verify {}",
        container.state.name(),
        container.balance.whole_sats(),
        container.spec.image,
        container.pubkey().to_bech32().unwrap_or_default(),
    );
    serde_json::json!({"name": shown_name(container), "about": about, "bot": true}).to_string()
}

fn note(container: &Container, data_kept_until: Option<UnixSecs>) -> String {
    let until = data_kept_until.map(calendar::date).unwrap_or_default();
    format!(
        "{} stopped: its balance does not pay for the next period. Its data is kept until {until}. Anybody can \
         top it up: encli container topup 100 {}",
        shown_name(container),
        container.pubkey().to_bech32().unwrap_or_default(),
    )
}

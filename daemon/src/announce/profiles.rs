//! A container's profile (kind 0), so that people see its state, what it has left, and the Lightning address
//! that pays for its next periods; and a note when it stops for want of money.
//!
//! It is one event, with whatever is known of the container from whoever knows it: written here and nowhere
//! else, since the last one that is published is all that anybody sees.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lifecycle::Phase;
use nostr::event::Kind;
use nostr::key::PublicKey;
use nostr::nips::nip19::ToBech32;
use protocol::event::{CheckedEvent, SignError, sign};
use protocol::tag;
use serde_json::Value;
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
    /// When that was signed.
    at: UnixSecs,
    noted: Option<UnixSecs>,
    /// What the wallet said of its address, if it was heard.
    address: Option<Option<String>>,
}

impl Announcer {
    /// Publishes a container's profile if it reads otherwise than the last one, or `again` because relays
    /// forget; and a note if it has just stopped for want of money. Nothing depends on either.
    pub(super) async fn introduce(&self, container: &Container, again: bool, now: UnixSecs) {
        if container.is_builtin() {
            return;
        }
        let pubkey = container.pubkey();
        let told = self.profiles.of(&pubkey);
        let address = match &told.address {
            Some(known) if !again => Some(known.clone()),
            known => self.address(container).await.or_else(|| known.clone()),
        };
        let content = profile(container, address.as_ref().and_then(Option::as_deref));
        let pause = fresh_pause(container, now).filter(|since| told.noted != Some(*since));
        let mut at = told.at;
        if again || content != told.content {
            // Of two of one second, relays keep either.
            at = now.max(told.at.plus_secs(1));
            self.say("container's profile", signed(container, Kind::Metadata, content.clone(), at), now)
                .await;
        }
        if pause.is_some() {
            let until = container.state.data_kept_until(&self.ctx.config.policy());
            let text = note(container, until);
            self.say("container's note", signed(container, Kind::TextNote, text, now), now).await;
        }
        self.profiles.remember(pubkey, Told { content, at, noted: pause.or(told.noted), address });
    }

    /// What the wallet says of the container's Lightning address: none where it serves none; and none at all if
    /// it is silent.
    async fn address(&self, container: &Container) -> Option<Option<String>> {
        match self.ctx.wallet.lightning_address(&container.keys).await {
            Ok(address) => Some(address),
            Err(e) => {
                tracing::debug!(container = %container.pubkey(), "Lightning address: {e}");
                None
            }
        }
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

/// The same for the same facts: keys are in order, and what is not known is left out.
fn profile(container: &Container, address: Option<&str>) -> String {
    let about = format!(
        "A container in an enclave. State: {}. Balance: {} sat. Image: {}. Check it before you trust it: \
         encli container verify {}",
        container.state.name(),
        container.balance.whole_sats(),
        container.spec.image,
        container.pubkey().to_bech32().unwrap_or_default(),
    );
    let mut fields = BTreeMap::from([
        ("about", Value::from(about)),
        ("bot", Value::from(true)),
        ("name", Value::from(shown_name(container))),
    ]);
    fields.extend(address.map(|address| ("lud16", Value::from(address))));
    fields.extend(container.app.map(|app| ("app_pubkey", Value::from(app.to_hex()))));
    serde_json::json!(fields).to_string()
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

#[cfg(test)]
mod tests {
    use nostr::key::Keys;
    use units::{ComputeUnits, Msat};

    use super::*;
    use crate::store::{Origin, Spec, Token};

    fn container() -> Container {
        let keys = Keys::parse(&"11".repeat(32)).unwrap();
        Container {
            token: Token::new("token".into()),
            slot: Some(1),
            origin: Origin::Launched { owner: keys.public_key(), request_key: "key".into() },
            spec: Spec {
                name: Some("shop".into()),
                image: "r.example/shop@sha256:ab".into(),
                config_digest: "sha256:cd".into(),
                args: None,
                env: BTreeMap::new(),
                secrets: None,
                units: ComputeUnits::new(1).unwrap(),
                ports: Vec::new(),
                volumes: Vec::new(),
                image_volumes: Vec::new(),
                volume_bytes: None,
                egress: protocol::manifest::Egress::None,
                price_per_period: Msat::new(5_000),
                manifest: None,
                manifest_sha256: None,
                salt: None,
            },
            state: lifecycle::State { phase: Phase::Deployed, ..lifecycle::State::waiting(UnixSecs(1)) },
            invoice: None,
            balance: Msat::new(7_500),
            app: None,
            reason: None,
            created_at: UnixSecs(1),
            started_at: None,
            keys,
        }
    }

    #[test]
    fn one_profile_holds_what_each_of_them_knows() {
        let (mut one, app) = (container(), Keys::parse(&"22".repeat(32)).unwrap().public_key());
        let read = |text: &str| serde_json::from_str::<BTreeMap<String, Value>>(text).unwrap();
        let bare = read(&profile(&one, None));
        assert_eq!(bare.keys().collect::<Vec<_>>(), ["about", "bot", "name"]);
        one.app = Some(app);
        let text = profile(&one, Some("shop@pay.example"));
        let whole = read(&text);
        assert_eq!(whole.keys().collect::<Vec<_>>(), ["about", "app_pubkey", "bot", "lud16", "name"]);
        assert_eq!(
            (&whole["lud16"], &whole["name"]),
            (&Value::from("shop@pay.example"), &Value::from("shop"))
        );
        assert_eq!(whole["app_pubkey"], Value::from(app.to_hex()));
        let about = whole["about"].as_str().unwrap();
        assert!(
            about.contains("State: deployed. Balance: 7 sat.") && about.contains(&one.spec.image),
            "{about}"
        );
        assert_eq!(text, profile(&one, Some("shop@pay.example")), "the same facts read the same");
        assert!(!text.contains("token"));
    }
}

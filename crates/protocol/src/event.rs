//! Nostr events that were checked by us.
//!
//! Whatever a library did, an event counts only after its id and its signature were computed here:
//! a relay can serve a known id with other content.

use std::borrow::Cow;

use nostr::event::{Event, EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::key::Keys;
use nostr::types::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use units::UnixSecs;

/// Longest event that is parsed, in bytes: an announcement with its embedded events is about 12 KiB, and
/// relays commonly stop at 64 KiB to 128 KiB.
pub const EVENT_BYTES_MAX: usize = 128 * 1024;

/// Why an event is not believed.
#[derive(Debug, Error)]
pub enum EventError {
    /// Not a Nostr event.
    #[error("not a Nostr event: {0}")]
    Malformed(String),
    /// Longer than [`EVENT_BYTES_MAX`].
    #[error("the event has {0} bytes, more than {EVENT_BYTES_MAX}")]
    TooLarge(usize),
    /// The id is not the hash of the event.
    #[error("the event's id is not the hash of its content")]
    Id,
    /// The signature is not the author's.
    #[error("the event's signature is not by its author")]
    Signature,
}

/// An event whose id and signature were checked. Says nothing about its age or meaning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CheckedEvent(Event);

impl CheckedEvent {
    /// Checks an event that a library parsed.
    ///
    /// # Errors
    /// [`EventError::Id`] or [`EventError::Signature`].
    pub fn check(event: Event) -> Result<Self, EventError> {
        if !event.verify_id() {
            return Err(EventError::Id);
        }
        if !event.verify_signature() {
            return Err(EventError::Signature);
        }
        Ok(Self(event))
    }

    /// Parses and checks the JSON text of an event.
    ///
    /// # Errors
    /// Any [`EventError`].
    pub fn parse(json: &str) -> Result<Self, EventError> {
        if json.len() > EVENT_BYTES_MAX {
            return Err(EventError::TooLarge(json.len()));
        }
        let event = Event::from_json(json).map_err(|e| EventError::Malformed(e.to_string()))?;
        Written::read(json)?.check(&event)?;
        Self::check(event)
    }

    /// The event.
    #[must_use]
    pub const fn event(&self) -> &Event {
        &self.0
    }

    /// The event, owned.
    #[must_use]
    pub fn into_event(self) -> Event {
        self.0
    }

    /// The time that its author wrote.
    #[must_use]
    pub fn created_at(&self) -> UnixSecs {
        UnixSecs(self.0.created_at.as_secs())
    }
}

/// As the event itself.
impl Serialize for CheckedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Checks it: what is read from a file is checked like what comes from a relay.
impl<'de> Deserialize<'de> for CheckedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Self::parse(&value.to_string()).map_err(serde::de::Error::custom)
    }
}

impl std::ops::Deref for CheckedEvent {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.0
    }
}

/// The parts of an event that have one spelling (NIP-01: small hex digits). The library takes others,
/// and another reader of the same text might not.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    pubkey: Cow<'a, str>,
    #[serde(borrow)]
    sig: Cow<'a, str>,
}

impl<'a> Written<'a> {
    fn read(json: &'a str) -> Result<Self, EventError> {
        serde_json::from_str(json).map_err(|e| EventError::Malformed(e.to_string()))
    }

    fn check(&self, event: &Event) -> Result<(), EventError> {
        let fields = [
            ("id", &self.id, event.id.to_hex()),
            ("pubkey", &self.pubkey, event.pubkey.to_hex()),
            ("sig", &self.sig, event.sig.to_string()),
        ];
        match fields.into_iter().find(|(_, written, value)| *written != value) {
            Some((name, ..)) => Err(EventError::Malformed(format!("`{name}` must be in small hex digits"))),
            None => Ok(()),
        }
    }
}

/// Why an event could not be signed.
#[derive(Debug, Error)]
#[error("the event could not be signed: {0}")]
pub struct SignError(String);

impl SignError {
    /// What is to be signed cannot be written.
    pub(crate) fn new(why: &dyn std::error::Error) -> Self {
        Self(why.to_string())
    }
}

/// Signs an event at `now`. Tags are plain lists of strings, `[name, value, …]`.
///
/// # Errors
/// [`SignError`] for an empty tag, or if the key cannot sign.
pub fn sign(
    keys: &Keys,
    kind: Kind,
    now: UnixSecs,
    tags: Vec<Vec<String>>,
    content: String,
) -> Result<CheckedEvent, SignError> {
    let tags = tags.into_iter().map(Tag::parse).collect::<Result<Vec<_>, _>>();
    let tags = tags.map_err(|e| SignError(e.to_string()))?;
    EventBuilder::new(kind, content)
        .tags(tags)
        .custom_created_at(Timestamp::from_secs(now.0))
        .finalize(keys)
        .map(CheckedEvent)
        .map_err(|e| SignError(e.to_string()))
}

/// Makes a tag.
#[macro_export]
macro_rules! tag {
    ($($part:expr),+ $(,)?) => { vec![$($part.to_string()),+] };
}

/// The value of the first tag named `name`.
#[must_use]
pub fn tag_value<'e>(event: &'e Event, name: &str) -> Option<&'e str> {
    tags_named(event, name).find_map(|tag| tag.get(1).map(String::as_str))
}

/// The tags named `name`, whole.
pub fn tags_named<'e>(event: &'e Event, name: &str) -> impl Iterator<Item = &'e [String]> {
    event.tags.iter().map(Tag::as_slice).filter(move |tag| tag.first().is_some_and(|first| first == name))
}

/// The value of the first tag `[name, value, marker]`.
#[must_use]
pub fn marked_value<'e>(event: &'e Event, name: &str, marker: &str) -> Option<&'e str> {
    tags_named(event, name)
        .find(|tag| tag.get(2).is_some_and(|third| third == marker))
        .and_then(|tag| tag.get(1).map(String::as_str))
}

/// The NIP-40 expiration, if there is one; `Err` if there is one that is not a number.
///
/// # Errors
/// The text that is not a number.
pub fn expiration(event: &Event) -> Result<Option<UnixSecs>, String> {
    tag_value(event, "expiration")
        .map(|text| text.parse().map(UnixSecs).map_err(|_| text.to_owned()))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> (Keys, CheckedEvent) {
        let keys = Keys::generate();
        let tags = vec![tag!["x", "aa", "PCR0"], tag!["x", "bb", "PCR1"], tag!["expiration", 77]];
        let event = sign(&keys, Kind::TextNote, UnixSecs(5), tags, "hello".into()).unwrap();
        (keys, event)
    }

    #[test]
    fn signed_event_parses_back() {
        let (_, event) = signed();
        assert_eq!(CheckedEvent::parse(&event.as_json()).unwrap(), event);
        assert_eq!(event.created_at(), UnixSecs(5));
        assert_eq!(tag_value(&event, "x"), Some("aa"));
        assert_eq!(marked_value(&event, "x", "PCR1"), Some("bb"));
        assert_eq!(expiration(&event), Ok(Some(UnixSecs(77))));
    }

    #[test]
    fn changed_content_under_a_known_id_is_refused() {
        let (_, event) = signed();
        let mut forged = event.clone().into_event();
        forged.content = "pay me".into();
        assert!(matches!(CheckedEvent::check(forged), Err(EventError::Id)));
    }

    #[test]
    fn signature_of_another_key_is_refused() {
        let (_, event) = signed();
        let (_, other) = signed();
        let mut forged = event.into_event();
        forged.sig = other.sig;
        assert!(matches!(CheckedEvent::check(forged), Err(EventError::Signature)));
    }

    #[test]
    fn capitals_in_id_key_or_signature_are_refused() {
        let (_, event) = signed();
        for part in [event.id.to_hex(), event.pubkey.to_hex(), event.sig.to_string()] {
            let text = event.as_json().replace(&part, &part.to_uppercase());
            assert!(matches!(CheckedEvent::parse(&text), Err(EventError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn oversize_and_malformed_text_is_refused() {
        assert!(matches!(CheckedEvent::parse("{}"), Err(EventError::Malformed(_))));
        let long = " ".repeat(EVENT_BYTES_MAX + 1);
        assert!(matches!(CheckedEvent::parse(&long), Err(EventError::TooLarge(_))));
    }
}

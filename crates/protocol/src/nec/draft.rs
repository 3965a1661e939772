//! Events that lack nothing but their signature, for a key in hand or for a signer elsewhere.

use nostr::event::{Kind, Tag};
use nostr::key::{Keys, PublicKey};
use serde_json::json;
use thiserror::Error;
use units::UnixSecs;

use crate::event::{CheckedEvent, EventError, SignError, sign};

/// An event that lacks nothing but its author and its signature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draft {
    kind: Kind,
    created_at: UnixSecs,
    tags: Vec<Vec<String>>,
    content: String,
}

/// Why what a signer returned is not the draft, signed.
#[derive(Debug, Error)]
pub enum DraftError {
    /// No event, or one that nobody signed.
    #[error(transparent)]
    Event(#[from] EventError),
    /// Signed by another key.
    #[error("it is signed by {found}, not by {wanted}")]
    Author {
        /// Whose signature was asked for.
        wanted: PublicKey,
        /// Whose it is.
        found: PublicKey,
    },
    /// Something else was signed.
    #[error("its {0} is not what was to be signed")]
    Altered(&'static str),
}

impl Draft {
    pub(super) const fn new(kind: Kind, tags: Vec<Vec<String>>, now: UnixSecs) -> Self {
        Self { kind, created_at: now, tags, content: String::new() }
    }

    /// What kind of event it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Signs it.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(self, keys: &Keys) -> Result<CheckedEvent, SignError> {
        sign(keys, self.kind, self.created_at, self.tags, self.content)
    }

    /// The event as a remote signer takes it (NIP-46, `sign_event`).
    #[must_use]
    pub fn unsigned_json(&self, author: &PublicKey) -> String {
        json!({
            "pubkey": author.to_hex(),
            "created_at": self.created_at.0,
            "kind": self.kind.as_u16(),
            "tags": self.tags,
            "content": self.content,
        })
        .to_string()
    }

    /// Takes a signer's answer if it is this event, signed by `author`, and nothing else.
    ///
    /// # Errors
    /// [`DraftError`].
    pub fn accept(&self, author: &PublicKey, answer: &str) -> Result<CheckedEvent, DraftError> {
        let event = CheckedEvent::parse(answer)?;
        if event.pubkey != *author {
            return Err(DraftError::Author { wanted: *author, found: event.pubkey });
        }
        for (what, same) in [
            ("kind", event.kind == self.kind),
            ("time", event.created_at() == self.created_at),
            ("list of tags", event.tags.iter().map(Tag::as_slice).eq(self.tags.iter().map(Vec::as_slice))),
            ("content", event.content == self.content),
        ] {
            if !same {
                return Err(DraftError::Altered(what));
            }
        }
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag;

    fn draft() -> Draft {
        Draft::new(Kind::Custom(63_794), vec![tag!["-"], tag!["r", "repo"], tag!["t", "dev"]], UnixSecs(7))
    }

    #[track_caller]
    fn refused(alter: impl FnOnce(&mut Draft), expected: &str) {
        let (keys, mut altered) = (Keys::generate(), draft());
        alter(&mut altered);
        let answer = altered.sign(&keys).unwrap().as_json();
        assert_eq!(draft().accept(&keys.public_key(), &answer).unwrap_err().to_string(), expected);
    }

    #[test]
    fn signed_draft_is_taken() {
        let keys = Keys::generate();
        let event = draft().sign(&keys).unwrap();
        assert_eq!(draft().accept(&keys.public_key(), &event.as_json()).unwrap(), event);
    }

    #[test]
    fn draft_is_written_as_signers_read_it() {
        let keys = Keys::generate();
        let json: serde_json::Value =
            serde_json::from_str(&draft().unsigned_json(&keys.public_key())).unwrap();
        let expected = json!({
            "pubkey": keys.public_key().to_hex(), "created_at": 7, "kind": 63_794,
            "tags": [["-"], ["r", "repo"], ["t", "dev"]], "content": "",
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn something_else_that_was_signed_is_refused() {
        refused(|it| it.kind = Kind::TextNote, "its kind is not what was to be signed");
        refused(|it| it.created_at = UnixSecs(8), "its time is not what was to be signed");
        refused(|it| it.content.push('x'), "its content is not what was to be signed");
        let tags = "its list of tags is not what was to be signed";
        refused(|it| it.tags[1][1].push('x'), tags);
        refused(|it| it.tags.push(tag!["x", "y"]), tags);
        refused(|it| it.tags.truncate(2), tags);
        refused(|it| it.tags.swap(1, 2), tags);
    }

    #[test]
    fn signature_of_another_or_of_nobody_is_refused() {
        let (keys, other) = (Keys::generate(), Keys::generate());
        let by_other = draft().sign(&other).unwrap().as_json();
        assert!(matches!(draft().accept(&keys.public_key(), &by_other), Err(DraftError::Author { .. })));
        let forged = by_other.replace(&other.public_key().to_hex(), &keys.public_key().to_hex());
        assert!(matches!(draft().accept(&keys.public_key(), &forged), Err(DraftError::Event(_))));
        assert!(matches!(draft().accept(&keys.public_key(), "{}"), Err(DraftError::Event(_))));
    }
}

//! Events as inputs have them: unsigned, so that a change of one byte does not end at the signature.

use nostr::event::{EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::types::Timestamp;
use protocol::event::CheckedEvent;
use serde::{Deserialize, Serialize};

use crate::{NOW, keys};

/// How deep drafts may stand in the tags of drafts. Real ones stand one deep.
const DEPTH_MAX: u8 = 3;

/// An event to be signed by one of the known keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Draft {
    /// Whose: see [`keys`].
    #[serde(default)]
    pub by: u8,
    /// The event's kind.
    pub kind: u16,
    /// Its tags. A part may be a draft itself, which is then signed and embedded.
    #[serde(default)]
    pub tags: Vec<Vec<Part>>,
    /// Its content.
    #[serde(default)]
    pub content: String,
}

/// A part of a tag.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// An event, embedded as JSON.
    Draft(Box<Draft>),
}

impl Draft {
    /// Signs it, and what is in it, at [`NOW`]. None if it is nested too deep or has an empty tag.
    pub fn signed(&self) -> Option<CheckedEvent> {
        self.signed_within(DEPTH_MAX)
    }

    fn signed_within(&self, depth_left: u8) -> Option<CheckedEvent> {
        let depth_left = depth_left.checked_sub(1)?;
        let tags = self.tags.iter().map(|tag| {
            let parts = tag.iter().map(|part| match part {
                Part::Text(text) => Some(text.clone()),
                Part::Draft(draft) => Some(draft.signed_within(depth_left)?.as_json()),
            });
            Tag::parse(parts.collect::<Option<Vec<_>>>()?).ok()
        });
        let event = EventBuilder::new(Kind::Custom(self.kind), self.content.clone())
            .tags(tags.collect::<Option<Vec<_>>>()?)
            .custom_created_at(Timestamp::from_secs(NOW.0))
            .finalize(&keys(self.by))
            .ok()?;
        Some(CheckedEvent::check(event).expect("what was signed here is signed"))
    }
}

//! NIP-44 for everybody, NIP-04 for old clients.

use nostr::event::Event;
use nostr::key::{Keys, PublicKey};
use nostr::nips::{nip04, nip44};
use protocol::event::tag_value;

use crate::service::Scheme;

/// What the info event says of it.
pub(super) const ENCRYPTION: &str = "nip44_v2 nip04";

impl Scheme {
    /// How an event says that it is encrypted: by its `encryption` tag; without one it is NIP-04, as
    /// NIP-47 has it. `None` for what we do not read. The content is never guessed at.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        match tag_value(event, "encryption") {
            Some("nip44_v2") => Some(Self::Nip44),
            Some("nip04") | None => Some(Self::Nip04),
            Some(_) => None,
        }
    }

    pub(crate) fn decrypt(self, keys: &Keys, event: &Event) -> Result<String, String> {
        match self {
            Self::Nip44 => {
                nip44::decrypt(keys.secret_key(), &event.pubkey, &event.content).map_err(|e| e.to_string())
            }
            Self::Nip04 => {
                nip04::decrypt(keys.secret_key(), &event.pubkey, &event.content).map_err(|e| e.to_string())
            }
        }
    }

    pub(crate) fn encrypt(self, keys: &Keys, to: &PublicKey, text: &str) -> Result<String, String> {
        match self {
            Self::Nip44 => {
                nip44::encrypt(keys.secret_key(), to, text, nip44::Version::V2).map_err(|e| e.to_string())
            }
            Self::Nip04 => nip04::encrypt(keys.secret_key(), to, text).map_err(|e| e.to_string()),
        }
    }
}

//! NIP-44 for everybody, NIP-04 for old clients.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::event::Event;
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip04;
use nostr::nips::nip44::v2;
use protocol::event::tag_value;

use super::conversations::Conversations;
use crate::service::Scheme;

/// What the info event says of it.
pub(super) const ENCRYPTION: &str = "nip44_v2 nip04";
/// The first byte of a payload.
const NIP44_V2: u8 = 2;

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
}

/// Seals and opens what goes between our service keys and their clients.
#[derive(Debug, Default)]
pub(super) struct Cipher {
    conversations: Conversations,
}

impl Cipher {
    /// The text of an event that was sent to `ours`.
    pub(super) fn decrypt(&self, scheme: Scheme, ours: &Keys, event: &Event) -> Result<String, String> {
        let text = match scheme {
            Scheme::Nip44 => {
                let payload = STANDARD.decode(&event.content).map_err(|e| e.to_string())?;
                if payload.first() != Some(&NIP44_V2) {
                    return Err("not version 2 of NIP-44".to_owned());
                }
                let key = self.conversations.key(ours, &event.pubkey)?;
                v2::decrypt_to_bytes(&key, &payload).map_err(|e| e.to_string())?
            }
            Scheme::Nip04 => nip04::decrypt_to_bytes(ours.secret_key(), &event.pubkey, &event.content)
                .map_err(|e| e.to_string())?,
        };
        String::from_utf8(text).map_err(|e| e.to_string())
    }

    /// A text for `to`, from `ours`.
    pub(super) fn encrypt(
        &self,
        scheme: Scheme,
        ours: &Keys,
        to: &PublicKey,
        text: &str,
    ) -> Result<String, String> {
        match scheme {
            Scheme::Nip44 => {
                let mut nonce = [0; 32];
                getrandom::fill(&mut nonce).map_err(|e| e.to_string())?;
                let key = self.conversations.key(ours, to)?;
                let payload = v2::encrypt_to_bytes_with_nonce(&key, text.as_bytes(), nonce);
                Ok(STANDARD.encode(payload.map_err(|e| e.to_string())?))
            }
            Scheme::Nip04 => nip04::encrypt(ours.secret_key(), to, text).map_err(|e| e.to_string()),
        }
    }

    /// Forgets what belongs to service keys that are no longer ours.
    pub(super) fn keep(&self, is_ours: impl Fn(&PublicKey) -> bool) {
        self.conversations.keep(is_ours);
    }
}

#[cfg(test)]
mod tests {
    use nostr::nips::nip44;
    use protocol::event::sign;
    use protocol::kinds::NWC_REQUEST;
    use units::UnixSecs;

    use super::*;

    /// The library is the other side; it derives its keys anew each time.
    #[test]
    fn texts_go_both_ways_between_us_and_the_library() {
        let (cipher, ours, theirs) = (Cipher::default(), Keys::generate(), Keys::generate());
        let (us, them) = (ours.public_key(), theirs.public_key());
        for text in ["{}", "an answer of some length, with \u{fc}", &"x".repeat(40_000)] {
            for _again in 0..2 {
                let sealed = cipher.encrypt(Scheme::Nip44, &ours, &them, text).unwrap();
                assert_eq!(nip44::decrypt(theirs.secret_key(), &us, &sealed).unwrap(), text);
                let sealed = cipher.encrypt(Scheme::Nip04, &ours, &them, text).unwrap();
                assert_eq!(nip04::decrypt(theirs.secret_key(), &us, &sealed).unwrap(), text);
                let content = nip44::encrypt(theirs.secret_key(), &us, text, nip44::Version::V2).unwrap();
                let event = sign(&theirs, NWC_REQUEST, UnixSecs(1), Vec::new(), content).unwrap();
                assert_eq!(cipher.decrypt(Scheme::Nip44, &ours, &event).unwrap(), text);
            }
        }
    }

    #[test]
    fn what_is_sealed_twice_differs() {
        let (cipher, ours, to) = (Cipher::default(), Keys::generate(), Keys::generate().public_key());
        let sealed = || cipher.encrypt(Scheme::Nip44, &ours, &to, "same").unwrap();
        assert_ne!(sealed(), sealed());
    }

    #[test]
    fn content_that_is_not_what_it_says_is_not_opened() {
        let (cipher, ours, theirs) = (Cipher::default(), Keys::generate(), Keys::generate());
        let good = nip44::encrypt(theirs.secret_key(), &ours.public_key(), "{}", nip44::Version::V2).unwrap();
        let mut other_version = STANDARD.decode(&good).unwrap();
        other_version[0] = 3;
        let mut flipped = STANDARD.decode(&good).unwrap();
        flipped[40] ^= 1;
        let short = STANDARD.encode([2; 40]);
        for content in
            ["", "#", "not base64", &short, &STANDARD.encode(other_version), &STANDARD.encode(flipped)]
        {
            let event = sign(&theirs, NWC_REQUEST, UnixSecs(1), Vec::new(), content.to_owned()).unwrap();
            assert!(cipher.decrypt(Scheme::Nip44, &ours, &event).is_err(), "{content}");
        }
        let event = sign(&theirs, NWC_REQUEST, UnixSecs(1), Vec::new(), good).unwrap();
        assert_eq!(cipher.decrypt(Scheme::Nip44, &ours, &event).unwrap(), "{}");
        assert!(cipher.decrypt(Scheme::Nip44, &Keys::generate(), &event).is_err(), "another's key");
    }
}

//! Sealing and opening the content of RPC events.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::event::Kind;
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip44::v2::{ConversationKey, decrypt_to_bytes, encrypt_to_bytes_with_nonce};
use protocol::event::{CheckedEvent, SignError, sign, tags_named};
use protocol::tag;
use thiserror::Error;
use units::UnixSecs;

use crate::dialer::lock;
use crate::work::{self, Draft};

/// Conversation keys that are remembered. Deriving one costs as much as checking a signature; a service
/// with more callers derives some again.
const CONVERSATIONS_MAX: usize = 4_096;
/// Longest content that is decrypted, in base64: the longest message, padded, and room.
const CONTENT_BYTES_MAX: usize = 128 * 1024;

/// Why an event carries no message for us.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It does not name us, and us alone, in its `p` tag.
    #[error("the event is not addressed to this key alone")]
    NotForUs,
    /// Its content is not NIP-44 from its author to us.
    #[error("the content cannot be decrypted: {0}")]
    Decrypt(String),
}

/// Why a message cannot be sealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// Encryption failed.
    #[error("the content cannot be encrypted: {0}")]
    Encrypt(String),
    /// Signing failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The proof of work could not be done.
    #[error("the proof of work could not be done: {0}")]
    Work(String),
}

/// Seals messages of one key to others, and opens those of others to it (NIP-44 version 2).
pub struct Envelope {
    keys: Keys,
    conversations: Mutex<HashMap<PublicKey, ConversationKey>>,
}

/// Shows neither the key nor who it talks to.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").finish_non_exhaustive()
    }
}

impl Envelope {
    /// An envelope of this key.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self { keys, conversations: Mutex::default() }
    }

    /// The key.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    fn conversation(&self, with: &PublicKey) -> Result<ConversationKey, String> {
        if let Some(known) = lock(&self.conversations).get(with) {
            return Ok(*known);
        }
        let key = ConversationKey::derive(self.keys.secret_key(), with).map_err(|e| e.to_string())?;
        let mut conversations = lock(&self.conversations);
        if conversations.len() >= CONVERSATIONS_MAX {
            conversations.clear();
        }
        conversations.insert(*with, key);
        Ok(key)
    }

    /// Encrypts `text` to `to` and signs the event that carries it.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(
        &self,
        kind: Kind,
        to: &PublicKey,
        text: &str,
        now: UnixSecs,
    ) -> Result<CheckedEvent, SealError> {
        let content = self.encrypt(to, text)?;
        Ok(sign(&self.keys, kind, now, vec![tag!["p", to.to_hex()]], content)?)
    }

    /// As [`Self::seal`], with so many bits of proof of work (NIP-13). Takes some 2^`bits` hashes, so it is
    /// not for a thread that others wait for.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal_with_work(
        &self,
        kind: Kind,
        to: &PublicKey,
        text: &str,
        now: UnixSecs,
        bits: u8,
    ) -> Result<CheckedEvent, SealError> {
        let (content, author) = (self.encrypt(to, text)?, self.keys.public_key());
        let mut tags = vec![tag!["p", to.to_hex()]];
        let draft = Draft { author: &author, kind, at: now, tags: &tags, content: &content };
        let nonce = work::found(draft, bits).map_err(|e| SealError::Work(e.to_string()))?;
        tags.push(nonce);
        Ok(sign(&self.keys, kind, now, tags, content)?)
    }

    /// Decrypts the message of an event that is addressed to this key and to nobody else.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, event: &CheckedEvent) -> Result<String, OpenError> {
        let us = self.keys.public_key().to_hex();
        let mut addressed = tags_named(event, "p").map(|tag| tag.get(1).map(String::as_str));
        if addressed.next() != Some(Some(us.as_str())) || addressed.next().is_some() {
            return Err(OpenError::NotForUs);
        }
        self.decrypt(&event.pubkey, &event.content)
    }

    /// Decrypts text from `from` (NIP-44 version 2).
    ///
    /// # Errors
    /// [`OpenError::Decrypt`].
    pub fn decrypt(&self, from: &PublicKey, content: &str) -> Result<String, OpenError> {
        let conversation = self.conversation(from).map_err(OpenError::Decrypt)?;
        decrypt_with(&conversation, content)
    }

    /// Encrypts text to `to` (NIP-44 version 2).
    ///
    /// # Errors
    /// [`SealError::Encrypt`].
    pub fn encrypt(&self, to: &PublicKey, text: &str) -> Result<String, SealError> {
        let conversation = self.conversation(to).map_err(SealError::Encrypt)?;
        encrypt_with(&conversation, text)
    }
}

pub(crate) fn encrypt_with(conversation: &ConversationKey, text: &str) -> Result<String, SealError> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|e| SealError::Encrypt(e.to_string()))?;
    let content = encrypt_to_bytes_with_nonce(conversation, text.as_bytes(), nonce)
        .map_err(|e| SealError::Encrypt(e.to_string()))?;
    Ok(STANDARD.encode(content))
}

pub(crate) fn decrypt_with(conversation: &ConversationKey, content: &str) -> Result<String, OpenError> {
    if content.len() > CONTENT_BYTES_MAX {
        return Err(OpenError::Decrypt(format!("it is longer than {CONTENT_BYTES_MAX} bytes")));
    }
    let payload = STANDARD.decode(content).map_err(|e| OpenError::Decrypt(e.to_string()))?;
    let text = decrypt_to_bytes(conversation, &payload).map_err(|e| OpenError::Decrypt(e.to_string()))?;
    String::from_utf8(text).map_err(|_| OpenError::Decrypt("it is not text".into()))
}

#[cfg(test)]
mod tests {
    use nostr::nips::nip44;
    use protocol::kinds::ENCLAVED_RPC;

    use super::*;

    fn seal(from: &Envelope, to: &Envelope) -> CheckedEvent {
        from.seal(ENCLAVED_RPC, &to.keys().public_key(), "hello", UnixSecs(1)).unwrap()
    }

    #[test]
    fn others_read_what_is_sealed_and_are_read() {
        // `nostr`'s own functions, which derive the conversation key each time.
        let (ours, theirs) = (Envelope::new(Keys::generate()), Keys::generate());
        for _ in 0..2 {
            let event = ours.seal(ENCLAVED_RPC, &theirs.public_key(), "hello", UnixSecs(1)).unwrap();
            assert_eq!(nip44::decrypt(theirs.secret_key(), &event.pubkey, &event.content).unwrap(), "hello");
            let us = ours.keys().public_key();
            let content = nip44::encrypt(theirs.secret_key(), &us, "back", nip44::Version::V2).unwrap();
            let tags = vec![tag!["p", us.to_hex()]];
            let event = sign(&theirs, ENCLAVED_RPC, UnixSecs(1), tags, content).unwrap();
            assert_eq!(ours.open(&event).unwrap(), "back");
        }
    }

    #[test]
    fn sealed_message_opens_for_its_receiver_only() {
        let [alice, bob, eve] = [(); 3].map(|()| Envelope::new(Keys::generate()));
        let event = seal(&alice, &bob);
        assert_eq!(bob.open(&event).unwrap(), "hello");
        assert!(matches!(eve.open(&event), Err(OpenError::NotForUs)));
    }

    #[test]
    fn copied_content_under_another_author_does_not_open() {
        let [alice, bob, eve] = [(); 3].map(|()| Envelope::new(Keys::generate()));
        let event = seal(&alice, &bob);
        let tags = vec![tag!["p", bob.keys().public_key().to_hex()]];
        let copy = sign(eve.keys(), ENCLAVED_RPC, UnixSecs(1), tags, event.content.clone()).unwrap();
        assert!(matches!(bob.open(&copy), Err(OpenError::Decrypt(_))));
    }

    #[test]
    fn event_for_several_receivers_is_not_ours() {
        let [alice, bob] = [(); 2].map(|()| Envelope::new(Keys::generate()));
        let event = seal(&alice, &bob);
        let us = bob.keys().public_key().to_hex();
        let tags = vec![tag!["p", us], tag!["p", us]];
        let twice = sign(alice.keys(), ENCLAVED_RPC, UnixSecs(1), tags, event.content.clone()).unwrap();
        assert!(matches!(bob.open(&twice), Err(OpenError::NotForUs)));
    }
}

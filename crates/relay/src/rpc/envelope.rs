//! Sealing and opening the content of RPC events.

use nostr::event::Kind;
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip44;
use protocol::event::{CheckedEvent, SignError, sign, tags_named};
use protocol::tag;
use thiserror::Error;
use units::UnixSecs;

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
}

/// Encrypts `text` to `to` and signs the event that carries it.
///
/// # Errors
/// [`SealError`].
pub fn seal(
    keys: &Keys,
    kind: Kind,
    to: &PublicKey,
    text: &str,
    now: UnixSecs,
) -> Result<CheckedEvent, SealError> {
    let content = nip44::encrypt(keys.secret_key(), to, text, nip44::Version::V2)
        .map_err(|e| SealError::Encrypt(e.to_string()))?;
    Ok(sign(keys, kind, now, vec![tag!["p", to.to_hex()]], content)?)
}

/// Decrypts the message of an event that is addressed to `keys` and to nobody else.
///
/// # Errors
/// [`OpenError`].
pub fn open(keys: &Keys, event: &CheckedEvent) -> Result<String, OpenError> {
    let us = keys.public_key().to_hex();
    let mut addressed = tags_named(event, "p").map(|tag| tag.get(1).map(String::as_str));
    if addressed.next() != Some(Some(us.as_str())) || addressed.next().is_some() {
        return Err(OpenError::NotForUs);
    }
    nip44::decrypt(keys.secret_key(), &event.pubkey, &event.content)
        .map_err(|e| OpenError::Decrypt(e.to_string()))
}

#[cfg(test)]
mod tests {
    use protocol::kinds::ENCLAVED_RPC;

    use super::*;

    #[test]
    fn sealed_message_opens_for_its_receiver_only() {
        let (alice, bob, eve) = (Keys::generate(), Keys::generate(), Keys::generate());
        let event = seal(&alice, ENCLAVED_RPC, &bob.public_key(), "hello", UnixSecs(1)).unwrap();
        assert_eq!(open(&bob, &event).unwrap(), "hello");
        assert!(matches!(open(&eve, &event), Err(OpenError::NotForUs)));
    }

    #[test]
    fn copied_content_under_another_author_does_not_open() {
        let (alice, bob, eve) = (Keys::generate(), Keys::generate(), Keys::generate());
        let event = seal(&alice, ENCLAVED_RPC, &bob.public_key(), "hello", UnixSecs(1)).unwrap();
        let tags = vec![tag!["p", bob.public_key().to_hex()]];
        let copy = sign(&eve, ENCLAVED_RPC, UnixSecs(1), tags, event.content.clone()).unwrap();
        assert!(matches!(open(&bob, &copy), Err(OpenError::Decrypt(_))));
    }

    #[test]
    fn event_for_several_receivers_is_not_ours() {
        let (alice, bob) = (Keys::generate(), Keys::generate());
        let event = seal(&alice, ENCLAVED_RPC, &bob.public_key(), "hello", UnixSecs(1)).unwrap();
        let us = bob.public_key().to_hex();
        let tags = vec![tag!["p", us], tag!["p", us]];
        let twice = sign(&alice, ENCLAVED_RPC, UnixSecs(1), tags, event.content.clone()).unwrap();
        assert!(matches!(open(&bob, &twice), Err(OpenError::NotForUs)));
    }
}

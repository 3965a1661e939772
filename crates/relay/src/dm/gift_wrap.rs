//! Gift wraps (NIP-59): a message, sealed by its writer, wrapped by a key that nobody knows.

use nostr::event::{Event, EventId, Kind, Tag, UnsignedEvent};
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip44::v2::ConversationKey;
use nostr::types::Timestamp;
use protocol::event::{CheckedEvent, sign};
use protocol::kinds::EPHEMERAL_GIFT_WRAP;
use protocol::tag;
use units::UnixSecs;

use super::{Channel, Letter, LetterError, WRAP_AGE_SECS_MAX, addressed_to};
use crate::rpc::envelope::{decrypt_with, encrypt_with};
use crate::rpc::{Envelope, OpenError, SealError};
use crate::work;

/// Longest plain text whose length NIP-44 writes in two bytes, as all clients read it.
const SEAL_BYTES_MAX: usize = 65_535;

/// Opens a wrap.
pub(super) fn open(envelope: &Envelope, wrap: &CheckedEvent) -> Result<Letter, LetterError> {
    addressed_to(wrap, &envelope.keys().public_key())?;
    // The wrapping key is used once: its conversation key is not worth remembering.
    let conversation = ConversationKey::derive(envelope.keys().secret_key(), &wrap.pubkey)
        .map_err(|e| OpenError::Decrypt(e.to_string()))?;
    let seal = decrypt_with(&conversation, &wrap.content)?;
    // This is where the writer's signature is checked.
    let seal = CheckedEvent::parse(&seal).map_err(|e| LetterError::Seal(e.to_string()))?;
    if seal.kind != Kind::Seal {
        return Err(LetterError::Seal(format!("its kind is {}", seal.kind)));
    }
    let rumor = envelope.decrypt(&seal.pubkey, &seal.content)?;
    let rumor: UnsignedEvent =
        serde_json::from_str(&rumor).map_err(|e| LetterError::Rumor(format!("it is not an event: {e}")))?;
    let refuse = |why: &str| Err(LetterError::Rumor(why.to_owned()));
    if rumor.pubkey != seal.pubkey {
        return refuse("it names another author than the seal's");
    }
    if rumor.kind != Kind::PrivateDirectMessage {
        return refuse("its kind is not 14");
    }
    let id = rumor.compute_id();
    if rumor.id.is_some_and(|claimed| claimed != id) {
        return refuse("its id is not the hash of its content");
    }
    let us = envelope.keys().public_key().to_hex();
    let receivers = || tags(&rumor, "p").filter_map(|tag| tag.as_slice().get(1));
    // A copy that a client sends to itself names the other; a group names several.
    if receivers().count() != 1 || receivers().any(|to| *to != us) {
        return refuse("it is not to this key alone");
    }
    let target = tags(&rumor, "nonce").next().and_then(|tag| tag.as_slice().get(2)).map(String::as_str);
    let work = work::work_bits(&id, target).max(work::shown(wrap));
    Ok(Letter {
        from: seal.pubkey,
        id,
        written_at: UnixSecs(rumor.created_at.as_secs()),
        channel: Channel::Wrapped(wrap.kind),
        work_bits: work,
        text: rumor.content,
    })
}

fn tags<'r>(rumor: &'r UnsignedEvent, name: &'r str) -> impl Iterator<Item = &'r Tag> {
    rumor.tags.iter().filter(move |tag| tag.as_slice().first().is_some_and(|first| first == name))
}

/// Writes a message, seals and wraps it.
pub(super) fn write(
    envelope: &Envelope,
    kind: Kind,
    to: &PublicKey,
    text: &str,
    answers: Option<&EventId>,
    now: UnixSecs,
) -> Result<CheckedEvent, SealError> {
    let mut tags = vec![tag!["p", to.to_hex()]];
    tags.extend(answers.map(|id| tag!["e", id.to_hex(), "", "reply"]));
    let tags = tags.into_iter().map(Tag::parse).collect::<Result<Vec<_>, _>>();
    let tags = tags.map_err(|e| SealError::Encrypt(e.to_string()))?;
    let us = envelope.keys().public_key();
    let written_at = Timestamp::from_secs(now.0);
    let mut rumor = UnsignedEvent::new(us, written_at, Kind::PrivateDirectMessage, tags, text);
    rumor.ensure_id();
    let rumor = serde_json::to_string(&rumor).map_err(|e| SealError::Encrypt(e.to_string()))?;
    let sealed = envelope.encrypt(to, &rumor)?;
    let seal = sign(envelope.keys(), Kind::Seal, some_time_before(now)?, Vec::new(), sealed)?;
    let seal = json(seal.event());
    if seal.len() > SEAL_BYTES_MAX {
        return Err(SealError::Encrypt(format!("it has {} bytes, more than {SEAL_BYTES_MAX}", seal.len())));
    }
    let once = Keys::generate();
    let conversation =
        ConversationKey::derive(once.secret_key(), to).map_err(|e| SealError::Encrypt(e.to_string()))?;
    let content = encrypt_with(&conversation, &seal)?;
    // Relays hold on to what they keep; what they do not keep must look like now to be passed on.
    let at = if kind == EPHEMERAL_GIFT_WRAP { now } else { some_time_before(now)? };
    Ok(sign(&once, kind, at, vec![tag!["p", to.to_hex()]], content)?)
}

fn json(seal: &Event) -> String {
    seal.as_json()
}

/// A moment of the last two days, so that nobody learns when a message was written.
fn some_time_before(now: UnixSecs) -> Result<UnixSecs, SealError> {
    let random = getrandom::u64().map_err(|e| SealError::Encrypt(e.to_string()))?;
    Ok(now.minus_secs(random % WRAP_AGE_SECS_MAX))
}

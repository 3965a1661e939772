//! Direct messages: NIP-17 in gift wraps (1059, and 21059 which relays do not keep), NIP-04 for older
//! clients, and public notes that speak to us.
//!
//! What a wrap says counts only if its seal is signed by the key that the message names (NIP-59). The id
//! of a message is its rumor's: a client that sends a message again wraps it anew.

mod gift_wrap;

use nostr::event::{EventId, Kind};
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip04;
use protocol::event::{CheckedEvent, SignError, sign, tags_named};
use protocol::kinds::EPHEMERAL_GIFT_WRAP;
use protocol::tag;
use thiserror::Error;
use units::UnixSecs;

use crate::rpc::{Envelope, OpenError, SealError};
use crate::work;

/// A wrap's time may lie so far in the past (NIP-59), so that it tells nobody when it was written.
pub const WRAP_AGE_SECS_MAX: u64 = 2 * 24 * 3_600;
/// Longest text that is written, in bytes as JSON has it ([`escaped_bytes`]). Sealed and wrapped, padded twice and
/// twice in base64, it makes an event of less than 64 KiB: more than many relays take, and what is longer than
/// 65,535 bytes before it is encrypted has a length (NIP-44) that most clients do not know.
pub const TEXT_BYTES_MAX: usize = 28_000;
/// Longest NIP-04 content that is decrypted: the longest message, encrypted, in base64.
const NIP04_BYTES_MAX: usize = 64 * 1024;

/// How a letter came; its answer goes the same way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Channel {
    /// NIP-17, in a wrap of this kind.
    Wrapped(Kind),
    /// NIP-04.
    Nip04,
    /// A public note.
    Public,
}

impl Channel {
    /// The name of the channel, for metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Wrapped(kind) if *kind == EPHEMERAL_GIFT_WRAP => "nip17_ephemeral",
            Self::Wrapped(_) => "nip17",
            Self::Nip04 => "nip04",
            Self::Public => "public",
        }
    }
}

/// A message that somebody wrote to us.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Who wrote it, proven by a signature.
    pub from: PublicKey,
    /// What it says.
    pub text: String,
    /// Its own id.
    pub id: EventId,
    /// When it was written, as its writer says.
    pub written_at: UnixSecs,
    /// How it came.
    pub channel: Channel,
    /// Leading zero bits that its writer committed to and reached (NIP-13).
    pub work_bits: u8,
}

/// Why an event is no letter to us.
#[derive(Debug, Error)]
pub enum LetterError {
    /// Not one of the kinds of messages.
    #[error("kind {0} carries no message")]
    Kind(Kind),
    /// It is not addressed to us, or not to us alone.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its NIP-04 content cannot be decrypted.
    #[error("the content cannot be decrypted: {0}")]
    Nip04(String),
    /// The seal in the wrap is not one.
    #[error("the seal is not believed: {0}")]
    Seal(String),
    /// The message in the seal is not one.
    #[error("the message in the seal is not believed: {0}")]
    Rumor(String),
}

/// Opens and writes letters with one key.
#[derive(Debug)]
pub struct Mailbox {
    envelope: Envelope,
}

impl Mailbox {
    /// The mailbox of this key.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self { envelope: Envelope::new(keys) }
    }

    fn keys(&self) -> &Keys {
        self.envelope.keys()
    }

    /// Opens a letter.
    ///
    /// # Errors
    /// [`LetterError`].
    pub fn open(&self, event: &CheckedEvent) -> Result<Letter, LetterError> {
        let kind = event.kind;
        if kind == Kind::GiftWrap || kind == EPHEMERAL_GIFT_WRAP {
            return gift_wrap::open(&self.envelope, event);
        }
        if kind == Kind::EncryptedDirectMessage {
            return self.open_nip04(event);
        }
        if kind != Kind::TextNote {
            return Err(LetterError::Kind(kind));
        }
        Ok(Letter {
            from: event.pubkey,
            text: event.content.clone(),
            id: event.id,
            written_at: event.created_at(),
            channel: Channel::Public,
            work_bits: work::shown(event),
        })
    }

    fn open_nip04(&self, event: &CheckedEvent) -> Result<Letter, LetterError> {
        addressed_to(event, &self.keys().public_key())?;
        if event.content.len() > NIP04_BYTES_MAX {
            return Err(LetterError::Nip04(format!("it is longer than {NIP04_BYTES_MAX} bytes")));
        }
        let text = nip04::decrypt(self.keys().secret_key(), &event.pubkey, &event.content)
            .map_err(|e| LetterError::Nip04(e.to_string()))?;
        Ok(Letter {
            from: event.pubkey,
            text,
            id: event.id,
            written_at: event.created_at(),
            channel: Channel::Nip04,
            work_bits: work::shown(event),
        })
    }

    /// Writes a letter. `answers` is the message that it answers.
    ///
    /// # Errors
    /// [`SealError`]; among others, if the text is much longer than [`TEXT_BYTES_MAX`].
    pub fn write(
        &self,
        to: &PublicKey,
        text: &str,
        channel: Channel,
        answers: Option<&EventId>,
        now: UnixSecs,
    ) -> Result<CheckedEvent, SealError> {
        match channel {
            Channel::Wrapped(kind) => gift_wrap::write(&self.envelope, kind, to, text, answers, now),
            Channel::Nip04 => {
                let content = nip04::encrypt(self.keys().secret_key(), to, text)
                    .map_err(|e| SealError::Encrypt(e.to_string()))?;
                let mut tags = vec![tag!["p", to.to_hex()]];
                tags.extend(answers.map(|id| tag!["e", id.to_hex()]));
                Ok(sign(self.keys(), Kind::EncryptedDirectMessage, now, tags, content)?)
            }
            Channel::Public => Ok(self.write_public(to, text, answers, now)?),
        }
    }

    fn write_public(
        &self,
        to: &PublicKey,
        text: &str,
        answers: Option<&EventId>,
        now: UnixSecs,
    ) -> Result<CheckedEvent, SignError> {
        let mut tags = vec![tag!["p", to.to_hex()]];
        tags.extend(answers.map(|id| tag!["e", id.to_hex(), "", "root"]));
        sign(self.keys(), Kind::TextNote, now, tags, text.to_owned())
    }
}

/// How many bytes of a message a text takes: within JSON, what is a byte may be six.
#[must_use]
pub fn escaped_bytes(text: &str) -> usize {
    text.chars().map(escaped).sum()
}

/// As much of the beginning of a text as takes so many bytes ([`escaped_bytes`]).
#[must_use]
pub fn fitting(text: &str, bytes_max: usize) -> &str {
    let mut bytes = 0;
    let end = text.char_indices().find(|(_, c)| {
        bytes += escaped(*c);
        bytes > bytes_max
    });
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

const fn escaped(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..'\u{20}' => 6,
        _ => c.len_utf8(),
    }
}

fn addressed_to(event: &CheckedEvent, us: &PublicKey) -> Result<(), OpenError> {
    let us = us.to_hex();
    let mut addressed = tags_named(event, "p").map(|tag| tag.get(1).map(String::as_str));
    match (addressed.next(), addressed.next()) {
        (Some(Some(to)), None) if to == us => Ok(()),
        _ => Err(OpenError::NotForUs),
    }
}

#[cfg(test)]
mod tests;

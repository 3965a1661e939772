//! Proof of work (NIP-13).

use nostr::event::{EventId, Kind};
use nostr::key::PublicKey;
use protocol::event::{CheckedEvent, tag_value, tags_named};
use protocol::tag;
use sha2::{Digest, Sha256};
use units::UnixSecs;

/// Most bits that are worked for: 2^24 hashes take seconds, and each bit more takes twice as long.
pub const WORK_BITS_MAX: u8 = 24;
/// The nonce, in hex: its length does not change while it is searched.
const NONCE_DIGITS: usize = 16;

/// An event that is not signed yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'d> {
    pub(crate) author: &'d PublicKey,
    pub(crate) kind: Kind,
    pub(crate) at: UnixSecs,
    pub(crate) tags: &'d [Vec<String>],
    pub(crate) content: &'d str,
}

/// The tag by which the event's id shows `bits`, to be put behind the draft's own. Some 2^`bits` hashes; bits
/// above [`WORK_BITS_MAX`] are not worked for, and the tag promises no more.
pub(crate) fn found(draft: Draft<'_>, bits: u8) -> Result<Vec<String>, serde_json::Error> {
    let bits = bits.min(WORK_BITS_MAX);
    let nonce = |number: u64| tag!["nonce", format!("{number:0NONCE_DIGITS$x}"), bits];
    let mut tags = draft.tags.to_vec();
    tags.push(nonce(0));
    let Draft { author, kind, at, content, .. } = draft;
    // What an id is the hash of (NIP-01).
    let mut text = serde_json::to_vec(&(0, author, at.0, kind.as_u16(), &tags, content))?;
    // Within a string its quotes would be escaped: this is the tag, and nothing else.
    let mark = b"[\"nonce\",\"";
    let place = text.windows(mark.len()).position(|part| part == mark).unwrap_or_default() + mark.len();
    // What stands before the nonce is hashed once.
    let mut digits = text.split_off(place);
    let before = Sha256::new_with_prefix(&text);
    for number in 0.. {
        digits[..NONCE_DIGITS].copy_from_slice(format!("{number:0NONCE_DIGITS$x}").as_bytes());
        if leading_zeros(&before.clone().chain_update(&digits).finalize()) >= bits {
            return Ok(nonce(number));
        }
    }
    Ok(nonce(u64::MAX))
}

/// The work that an event shows, in leading zero bits of its id (NIP-13).
#[must_use]
pub fn shown(event: &CheckedEvent) -> u8 {
    work_bits(&event.id, tag_value_at(event, "nonce", 2))
}

/// The work that an id shows, as far as its author committed to it: luck does not count.
pub(crate) fn work_bits(id: &EventId, target: Option<&str>) -> u8 {
    let Some(target) = target.and_then(|text| text.parse::<u8>().ok()) else { return 0 };
    target.min(leading_zeros(id.as_bytes()))
}

fn leading_zeros(bytes: &[u8]) -> u8 {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let partial = bytes.get(zeros).map_or(0, |byte| byte.leading_zeros());
    u8::try_from(zeros * 8).unwrap_or(u8::MAX).saturating_add(u8::try_from(partial).unwrap_or_default())
}

fn tag_value_at<'e>(event: &'e CheckedEvent, name: &str, index: usize) -> Option<&'e str> {
    tag_value(event, name)?;
    tags_named(event, name).next().and_then(|tag| tag.get(index)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;
    use protocol::event::sign;

    use super::*;

    fn id(first: [u8; 4]) -> EventId {
        let mut bytes = [0xff; 32];
        bytes[..4].copy_from_slice(&first);
        EventId::from_byte_array(bytes)
    }

    /// The event that comes of it is judged as a stranger's is.
    #[test]
    fn work_that_is_done_is_seen() {
        let keys = Keys::generate();
        let (kind, at) = (Kind::TextNote, UnixSecs(1_800_000_000));
        for (bits, content) in [(0, ""), (9, "[\"nonce\",\"0\"]"), (11, "a \u{1}\n\"\u{2028}ö\\")] {
            let mut tags = vec![tag!["p", content], tag!["e", "x"]];
            let draft = Draft { author: &keys.public_key(), kind, at, tags: &tags, content };
            tags.push(found(draft, bits).unwrap());
            let event = sign(&keys, kind, at, tags, content.to_owned()).unwrap();
            assert_eq!(shown(&event), bits, "{}", event.as_json());
        }
    }

    #[test]
    fn work_is_what_was_promised_and_reached() {
        for (first, target, bits) in [
            ([0, 0, 0x0f, 0xff], Some("20"), 20),
            ([0, 0, 0x0f, 0xff], Some("16"), 16),
            ([0, 0, 0x0f, 0xff], Some("24"), 20),
            ([0, 0, 0x0f, 0xff], None, 0),
            ([0, 0, 0x0f, 0xff], Some("many"), 0),
            ([0xff, 0, 0, 0], Some("20"), 0),
        ] {
            assert_eq!(work_bits(&id(first), target), bits, "{first:?} {target:?}");
        }
        assert_eq!(work_bits(&EventId::from_byte_array([0; 32]), Some("255")), 255);
    }
}

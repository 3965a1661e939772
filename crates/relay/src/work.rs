//! Proof of work (NIP-13).

use nostr::event::EventId;
use protocol::event::{CheckedEvent, tag_value, tags_named};

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
    use super::*;

    fn id(first: [u8; 4]) -> EventId {
        let mut bytes = [0xff; 32];
        bytes[..4].copy_from_slice(&first);
        EventId::from_byte_array(bytes)
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

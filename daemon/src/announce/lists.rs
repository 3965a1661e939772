//! Relay lists (NIP-65): where a key's events are found, and where it reads.

use std::collections::BTreeMap;

use nostr::event::Kind;
use nostr::key::Keys;
use protocol::event::{CheckedEvent, SignError, sign};
use protocol::tag;
use units::UnixSecs;

/// A key's list: it reads on `inbox`, and publishes on `outbox`.
///
/// # Errors
/// [`SignError`].
pub(super) fn relay_list(
    keys: &Keys,
    inbox: &[String],
    outbox: &[String],
    now: UnixSecs,
) -> Result<CheckedEvent, SignError> {
    // One relay is written with and without the slash at its end.
    let named = |url: &String| url.trim_end_matches('/').to_owned();
    let mut relays: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    inbox.iter().for_each(|url| relays.entry(named(url)).or_default().0 = true);
    outbox.iter().for_each(|url| relays.entry(named(url)).or_default().1 = true);
    let tags = relays.into_iter().map(|(url, uses)| match uses {
        (true, false) => tag!["r", url, "read"],
        (false, true) => tag!["r", url, "write"],
        (true, true) | (false, false) => tag!["r", url],
    });
    sign(keys, Kind::RelayList, now, tags.collect(), String::new())
}

/// Where messages to a key are read (NIP-17).
///
/// # Errors
/// [`SignError`].
pub(super) fn inbox_list(keys: &Keys, inbox: &[String], now: UnixSecs) -> Result<CheckedEvent, SignError> {
    let tags = inbox.iter().map(|url| tag!["relay", url]).collect();
    sign(keys, Kind::InboxRelays, now, tags, String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relay_is_marked_with_its_only_use() {
        let urls = |urls: &[&str]| urls.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (inbox, outbox) = (urls(&["wss://both", "wss://in"]), urls(&["wss://both/", "wss://out/"]));
        let list = relay_list(&Keys::generate(), &inbox, &outbox, UnixSecs(7)).unwrap();
        let tags: Vec<_> = list.tags.iter().map(|tag| tag.as_slice().join(" ")).collect();
        assert_eq!(tags, ["r wss://both", "r wss://in read", "r wss://out write"]);
        assert_eq!((list.kind.as_u16(), list.created_at()), (10_002, UnixSecs(7)));
    }
}

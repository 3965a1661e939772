//! A server that is spoken to in public: `@instance deploy …`.

use nostr::key::PublicKey;
use nostr::nips::nip19::{FromBech32, Nip19};

/// How a public note may name a server.
#[derive(Clone, Debug)]
pub struct MentionKeys<'m> {
    /// The server's key.
    pub pubkey: &'m PublicKey,
    /// Its name, as its profile says it.
    pub name: &'m str,
}

/// What stands behind the first mention of the server in a note, if there is one.
#[must_use]
pub fn after_mention<'t>(text: &'t str, server: &MentionKeys<'_>) -> Option<&'t str> {
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
        let tail = &rest[start..];
        let end = tail.find(char::is_whitespace).unwrap_or(tail.len());
        if names(tail[..end].trim_end_matches([',', ':']), server) {
            return Some(tail[end..].trim());
        }
        rest = &tail[end..];
    }
    None
}

fn names(word: &str, server: &MentionKeys<'_>) -> bool {
    if let Some(name) = word.strip_prefix('@')
        && name.eq_ignore_ascii_case(server.name)
    {
        return true;
    }
    let bare = word.strip_prefix('@').unwrap_or(word);
    let bare = bare.strip_prefix("nostr:").unwrap_or(bare);
    match Nip19::from_bech32(bare) {
        Ok(Nip19::Pubkey(key)) => key == *server.pubkey,
        Ok(Nip19::Profile(profile)) => profile.public_key == *server.pubkey,
        Ok(_) | Err(_) => false,
    }
}

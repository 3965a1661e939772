//! The URL `bunker://…` of a remote signer (NIP-46), which is a key to somebody's signatures.

use std::fmt;
use std::str::FromStr;

use nostr::key::{Keys, PublicKey, SecretKey};
use nostr::types::url::{RelayUrl, form_urlencoded};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::Failure;
use crate::key;

const SCHEME: &str = "bunker://";
/// Longest URL: a key, a secret and a few relays, with room.
const URI_CHARS_MAX: usize = 4_096;
/// Most relays: all of them are connected to.
const RELAYS_MAX: usize = 16;
/// What our key is derived under, so that it is no key of any other use of the secret.
const CLIENT_KEY_LABEL: &[u8] = b"encli NIP-46 client key v1";

/// Where a remote signer listens, and the secret that lets us in. Does not print.
pub(super) struct BunkerUri {
    signer: PublicKey,
    relays: Vec<RelayUrl>,
    secret: Option<Zeroizing<String>>,
}

/// Why a text is no such URL. Does not repeat the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum BunkerUriError {
    /// It does not begin with the scheme, or is far too long.
    #[error("a remote signer's URL begins with bunker:// and has at most {URI_CHARS_MAX} characters")]
    Scheme,
    /// The signer's key is none.
    #[error("the bunker:// URL has no valid public key (64 hex digits after the scheme)")]
    Signer,
    /// There is no relay, one of them is no WebSocket URL, or there are too many.
    #[error("the bunker:// URL needs 1 to {RELAYS_MAX} `relay` parameters with ws:// or wss:// URLs")]
    Relay,
    /// The secret is there twice.
    #[error("the bunker:// URL has more than one `secret`")]
    Secret,
}

impl FromStr for BunkerUri {
    type Err = BunkerUriError;

    fn from_str(text: &str) -> Result<Self, BunkerUriError> {
        let rest = text.trim().strip_prefix(SCHEME).filter(|_| text.len() <= URI_CHARS_MAX);
        let rest = rest.ok_or(BunkerUriError::Scheme)?;
        let (signer, query) = rest.split_once('?').unwrap_or((rest, ""));
        let signer = PublicKey::from_hex(signer.trim_end_matches('/')).map_err(|_| BunkerUriError::Signer)?;
        signer.xonly().map_err(|_| BunkerUriError::Signer)?;
        let (mut relays, mut secret) = (Vec::new(), None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "relay" => relays.push(RelayUrl::parse(&value).map_err(|_| BunkerUriError::Relay)?),
                "secret" if secret.is_some() => return Err(BunkerUriError::Secret),
                "secret" => secret = Some(Zeroizing::new(value.into_owned())),
                // Room for what later versions of the NIP add.
                _ => {}
            }
        }
        if relays.is_empty() || relays.len() > RELAYS_MAX {
            return Err(BunkerUriError::Relay);
        }
        Ok(Self { signer, relays, secret: secret.filter(|secret| !secret.is_empty()) })
    }
}

impl BunkerUri {
    /// The key that the signer talks with. It need not be the one that it signs with.
    pub(super) const fn signer(&self) -> PublicKey {
        self.signer
    }

    /// Where it listens.
    pub(super) fn relays(&self) -> &[RelayUrl] {
        &self.relays
    }

    /// What it wants to hear first.
    pub(super) fn secret(&self) -> Option<&Zeroizing<String>> {
        self.secret.as_ref()
    }

    /// The key that we talk with. Signers take a secret once and then remember who gave it, so it must be
    /// the same key each time: it is derived from the secret, and nothing has to be kept. Without a secret
    /// it is a new one.
    ///
    /// # Errors
    /// `no_randomness`.
    pub(super) fn client_keys(&self) -> Result<Keys, Failure> {
        let Some(secret) = &self.secret else { return key::generate() };
        let mut hash = Sha256::new();
        hash.update(CLIENT_KEY_LABEL);
        hash.update(self.signer.to_bytes());
        hash.update(secret.as_bytes());
        let derived = Zeroizing::new(<[u8; 32]>::from(hash.finalize()));
        // One in 2¹²⁸ hashes is no key.
        SecretKey::from_slice(derived.as_ref()).map(Keys::new).or_else(|_| key::generate())
    }
}

impl fmt::Debug for BunkerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BunkerUri").field("signer", &self.signer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    fn read(query: &str) -> Result<BunkerUri, BunkerUriError> {
        format!("bunker://{KEY}{query}\n").parse()
    }

    #[test]
    fn all_parts_are_read() {
        let uri =
            read("?relay=wss%3A%2F%2Fa.example&relay=ws://b.example:7777&secret=hunter%2B2&x=y").unwrap();
        assert_eq!(uri.signer().to_hex(), KEY);
        let relays: Vec<_> = uri.relays().iter().map(RelayUrl::as_str_without_trailing_slash).collect();
        assert_eq!(relays, ["wss://a.example", "ws://b.example:7777"]);
        assert_eq!(uri.secret().map(|secret| secret.as_str()), Some("hunter+2"));
        assert!(!format!("{uri:?}").contains("hunter"));
    }

    #[test]
    fn client_key_stays_the_same_for_a_secret_and_for_it_alone() {
        let key = |query: &str| read(query).unwrap().client_keys().unwrap().public_key();
        let with = |secret: &str| key(&format!("?relay=wss://a&secret={secret}"));
        assert_eq!(with("a"), with("a"));
        assert_eq!(with("a"), key("?secret=a&relay=wss://elsewhere"));
        assert_ne!(with("a"), with("b"));
        assert_ne!(key("?relay=wss://a"), key("?relay=wss://a"));
        assert_ne!(with(""), with(""));
    }

    #[test]
    fn text_that_is_no_url_of_a_signer_is_refused_unrepeated() {
        let check = |text: &str, expected| {
            let error = text.parse::<BunkerUri>().unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        };
        check("hunter2", BunkerUriError::Scheme);
        check(&format!("bunker:{KEY}?relay=wss://a"), BunkerUriError::Scheme);
        check(
            &format!("bunker://{KEY}?relay=wss://a&x={}", "x".repeat(URI_CHARS_MAX)),
            BunkerUriError::Scheme,
        );
        check("bunker://hunter2?relay=wss://a", BunkerUriError::Signer);
        check(&format!("bunker://{}?relay=wss://a", "ff".repeat(32)), BunkerUriError::Signer);
        check(&format!("bunker://{KEY}"), BunkerUriError::Relay);
        check(&format!("bunker://{KEY}?relay=https://a"), BunkerUriError::Relay);
        check(&format!("bunker://{KEY}?{}", "relay=wss://a&".repeat(17)), BunkerUriError::Relay);
        check(&format!("bunker://{KEY}?relay=wss://a&secret=hunter2&secret=x"), BunkerUriError::Secret);
    }
}

//! The connection string `nostr+walletconnect://…`, which is a key to somebody's money.

use std::fmt;
use std::str::FromStr;

use nostr::key::{PublicKey, SecretKey};
use nostr::types::url::{RelayUrl, form_urlencoded};
use zeroize::Zeroizing;

const SCHEME: &str = "nostr+walletconnect:";
/// Longest connection string: a key, a secret and a few relays, with room.
const URI_CHARS_MAX: usize = 4_096;
/// Most relays: a client connects to all of them.
const RELAYS_MAX: usize = 16;

/// A connection to a wallet. Whoever has it can spend: it does not print (see
/// [`ConnectionUri::reveal`]), and is wiped from memory when dropped.
#[derive(Clone, Eq, PartialEq)]
pub struct ConnectionUri {
    wallet: PublicKey,
    relays: Vec<RelayUrl>,
    secret: Zeroizing<[u8; 32]>,
    lud16: Option<String>,
}

/// Why a text is no connection string. Does not repeat the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConnectionUriError {
    /// It does not begin with the scheme, or is far too long.
    #[error(
        "a wallet connection begins with nostr+walletconnect:// and has at most {URI_CHARS_MAX} characters"
    )]
    Scheme,
    /// The wallet's key is not 64 hex digits of a point on the curve.
    #[error("the wallet connection has no valid wallet public key (64 hex digits after the scheme)")]
    Wallet,
    /// The secret is missing, repeated, or no secret key in hex.
    #[error("the wallet connection needs one `secret` of 64 hex digits")]
    Secret,
    /// There is no relay, one of them is no WebSocket URL, or there are too many.
    #[error("the wallet connection needs 1 to {RELAYS_MAX} `relay` parameters with ws:// or wss:// URLs")]
    Relay,
}

impl ConnectionUri {
    /// A connection of these parts.
    ///
    /// # Errors
    /// [`ConnectionUriError`] for a key off the curve, a secret that is no secret key, or a wrong number
    /// of relays.
    pub fn new(
        wallet: PublicKey,
        relays: Vec<RelayUrl>,
        secret: Zeroizing<[u8; 32]>,
        lud16: Option<String>,
    ) -> Result<Self, ConnectionUriError> {
        wallet.xonly().map_err(|_| ConnectionUriError::Wallet)?;
        if relays.is_empty() || relays.len() > RELAYS_MAX {
            return Err(ConnectionUriError::Relay);
        }
        SecretKey::from_slice(secret.as_ref()).map_err(|_| ConnectionUriError::Secret)?;
        Ok(Self { wallet, relays, secret, lud16 })
    }

    /// The wallet service's key: the author of replies and the receiver of requests.
    #[must_use]
    pub const fn wallet(&self) -> PublicKey {
        self.wallet
    }

    /// Where the wallet listens.
    #[must_use]
    pub fn relays(&self) -> &[RelayUrl] {
        &self.relays
    }

    /// The client's secret key: it signs requests and decrypts replies.
    #[must_use]
    pub const fn secret(&self) -> &Zeroizing<[u8; 32]> {
        &self.secret
    }

    /// The wallet's Lightning address, if it has one.
    #[must_use]
    pub fn lud16(&self) -> Option<&str> {
        self.lud16.as_deref()
    }

    /// The connection string, secret included: for the owner's eyes and files only.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let mut uri = Zeroizing::new(String::with_capacity(URI_CHARS_MAX));
        uri.push_str(&format!("{SCHEME}//{}", self.wallet.to_hex()));
        for (index, relay) in self.relays.iter().enumerate() {
            uri.push_str(if index == 0 { "?relay=" } else { "&relay=" });
            // Without the slash that URL parsers add: some clients compare texts.
            uri.push_str(&encode(relay.as_str_without_trailing_slash()));
        }
        uri.push_str("&secret=");
        uri.push_str(&Zeroizing::new(hex::encode(*self.secret)));
        if let Some(lud16) = &self.lud16 {
            uri.push_str("&lud16=");
            uri.push_str(&encode(lud16));
        }
        uri
    }
}

impl FromStr for ConnectionUri {
    type Err = ConnectionUriError;

    fn from_str(text: &str) -> Result<Self, ConnectionUriError> {
        let text = text.trim();
        if text.len() > URI_CHARS_MAX {
            return Err(ConnectionUriError::Scheme);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(ConnectionUriError::Scheme)?;
        // Older wallets write the scheme without slashes.
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (wallet, query) = rest.split_once('?').unwrap_or((rest, ""));
        let wallet =
            PublicKey::from_hex(wallet.trim_end_matches('/')).map_err(|_| ConnectionUriError::Wallet)?;
        let mut relays = Vec::new();
        let mut secret = None;
        let mut lud16 = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "relay" => relays.push(RelayUrl::parse(&value).map_err(|_| ConnectionUriError::Relay)?),
                "secret" if secret.is_none() => secret = Some(parse_secret(&value)?),
                "secret" => return Err(ConnectionUriError::Secret),
                "lud16" => lud16 = Some(value.into_owned()).filter(|address| !address.is_empty()),
                // Room for what later versions of the NIP add.
                _ => {}
            }
        }
        Self::new(wallet, relays, secret.ok_or(ConnectionUriError::Secret)?, lud16)
    }
}

fn parse_secret(text: &str) -> Result<Zeroizing<[u8; 32]>, ConnectionUriError> {
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text, secret.as_mut()).map_err(|_| ConnectionUriError::Secret)?;
    Ok(secret)
}

impl fmt::Debug for ConnectionUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionUri")
            .field("wallet", &self.wallet)
            .field("relays", &self.relays)
            .field("lud16", &self.lud16)
            .finish_non_exhaustive()
    }
}

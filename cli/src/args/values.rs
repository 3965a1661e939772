//! Values of options. An option that is given must have one: an expectation that is empty is one that
//! somebody forgot to fill in.

use std::path::PathBuf;

use attestation::{PCR_COUNT, Pcr};
use nostr::key::PublicKey;
use nostr::types::RelayUrl;
use protocol::nec::{Env, Version, VersionFormatError};
use protocol::statement::merkle::Hash;
use units::UnixSecs;

/// A moment of verification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Moment {
    /// Whenever it is asked.
    Now,
    /// This one.
    At(UnixSecs),
}

impl Moment {
    /// The moment, if it is `now` now.
    pub(crate) const fn resolve(self, now: UnixSecs) -> UnixSecs {
        match self {
            Self::Now => now,
            Self::At(at) => at,
        }
    }
}

/// Any text but none.
pub(crate) fn text(value: &str) -> Result<String, String> {
    if value.is_empty() {
        Err("give a value, or leave the option out".to_owned())
    } else {
        Ok(value.to_owned())
    }
}

/// A path.
pub(crate) fn path(value: &str) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from)
}

/// A key, as npub or in hex.
pub(crate) fn public_key(value: &str) -> Result<PublicKey, String> {
    let wrong = || "give an npub, or 64 hex digits".to_owned();
    // Nothing that is not a public key may be repeated: it could be a private one.
    let key = PublicKey::parse(value).map_err(|_| wrong())?;
    key.xonly().map_err(|_| wrong())?;
    Ok(key)
}

/// A relay's address.
pub(crate) fn relay(value: &str) -> Result<String, String> {
    let url =
        RelayUrl::parse(value).map_err(|_| "a relay's address begins with wss:// or ws://".to_owned())?;
    Ok(url.to_string())
}

/// Bytes in hex, at least one.
pub(crate) fn bytes(value: &str) -> Result<HexBytes, String> {
    match hex::decode(value) {
        Ok(bytes) if !bytes.is_empty() => Ok(HexBytes(bytes)),
        Ok(_) | Err(_) => Err("give at least one byte, in pairs of hex digits".to_owned()),
    }
}

/// A SHA-256 in hex.
pub(crate) fn sha256(value: &str) -> Result<Hash, String> {
    let mut hash = [0; 32];
    hex::decode_to_slice(value, &mut hash).map_err(|_| "give 64 hex digits".to_owned())?;
    Ok(Hash(hash))
}

/// Bytes that were given in hex. A type of its own, because clap takes a `Vec` for many values.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HexBytes(pub(crate) Vec<u8>);

/// A register and its value, `N=HEX`.
pub(crate) fn pcr(value: &str) -> Result<(u8, Pcr), String> {
    let (index, value) = value.split_once('=').ok_or("give it as N=HEX, like 0=9fc1…")?;
    let known = index.parse().ok().filter(|index| *index < PCR_COUNT);
    let index = known.ok_or_else(|| format!("the register must be a number from 0 to {}", PCR_COUNT - 1))?;
    Ok((index, value.parse().map_err(|e: attestation::PcrFormatError| e.to_string())?))
}

/// The value of a register that is not zero, which is what says nothing.
pub(crate) fn register(value: &str) -> Result<Pcr, String> {
    let value: Pcr = value.parse().map_err(|e: attestation::PcrFormatError| e.to_string())?;
    if value.is_zero() { Err("a register of zero names nothing".to_owned()) } else { Ok(value) }
}

/// `now`, or seconds since 1970.
pub(crate) fn moment(value: &str) -> Result<Moment, String> {
    if value == "now" {
        return Ok(Moment::Now);
    }
    let secs = value.parse().map_err(|_| "give `now`, or Unix seconds".to_owned())?;
    Ok(Moment::At(UnixSecs(secs)))
}

/// Satoshi, at least one.
pub(crate) fn sats(value: &str) -> Result<i64, String> {
    let sats = value.parse().ok().filter(|sats| (1..=SATS_MAX).contains(sats));
    sats.ok_or_else(|| format!("give whole satoshi, from 1 to {SATS_MAX}"))
}

/// All bitcoin that there can be.
const SATS_MAX: i64 = 2_100_000_000_000_000;

/// A whole number above zero.
pub(crate) fn positive(value: &str) -> Result<u64, String> {
    value.parse().ok().filter(|number| *number > 0).ok_or_else(|| "give a whole number above 0".to_owned())
}

/// What an instance is for.
pub(crate) fn env(value: &str) -> Result<Env, String> {
    value.parse().map_err(|()| "give prod, dev or debug".to_owned())
}

/// A release's version.
pub(crate) fn version(value: &str) -> Result<Version, String> {
    value.parse().map_err(|e: VersionFormatError| e.to_string())
}

/// Longest id of an instance: EC2's have 19 characters.
const INSTANCE_ID_CHARS_MAX: usize = 64;

/// The id of an EC2 instance. Whatever else slipped in, a line break for one, would hash to a register
/// that no machine has.
pub(crate) fn instance_id(value: &str) -> Result<String, String> {
    let rest = value.strip_prefix("i-").unwrap_or_default();
    let plain = rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if rest.is_empty() || !plain || value.len() > INSTANCE_ID_CHARS_MAX {
        return Err("give the id of an EC2 instance, like i-0123456789abcdef0".to_owned());
    }
    Ok(value.to_owned())
}

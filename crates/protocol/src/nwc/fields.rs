//! Strict reading of a request's parameters.
//!
//! By hand rather than derived: a stranger's client must be told which field is wrong and what it must
//! be, and an amount must be an integer in the text itself (`1.0`, `1e3` and `"1"` are not).

use std::fmt;
use std::str::FromStr;

use nostr::key::PublicKey;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use units::{Msat, UnixSecs};

use super::error::WalletError;
use super::transaction::Metadata;

/// A JSON object in which no name appears twice. With duplicates, two readers of the same text could see
/// different amounts.
#[derive(Debug, Default)]
pub(super) struct Object(Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object, A::Error> {
        let mut map = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom("a name appears twice"));
            }
            map.insert(name, value);
        }
        Ok(Object(map))
    }
}

impl Object {
    /// A field that is there and not null.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A positive amount of millisatoshi.
    pub(super) fn msat(&self, name: &str) -> Result<Option<Msat>, WalletError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_i64() {
            Some(msat) if msat > 0 => Ok(Some(Msat::new(msat))),
            Some(_) | None => Err(WalletError::invalid(format!(
                "{name} must be a whole number of millisatoshi from 1 to {}",
                i64::MAX
            ))),
        }
    }

    /// A text of at most `bytes_max` bytes.
    pub(super) fn text(&self, name: &str, bytes_max: usize) -> Result<Option<String>, WalletError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_str() {
            Some(text) if text.len() <= bytes_max => Ok(Some(text.to_owned())),
            Some(_) | None => {
                Err(WalletError::invalid(format!("{name} must be a text of at most {bytes_max} bytes")))
            }
        }
    }

    /// A list of at most `items_max` texts of at most `bytes_max` bytes.
    pub(super) fn texts(
        &self,
        name: &str,
        items_max: usize,
        bytes_max: usize,
    ) -> Result<Option<Vec<String>>, WalletError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = |item: &Value| item.as_str().filter(|text| text.len() <= bytes_max).map(str::to_owned);
        let texts = value.as_array().filter(|items| items.len() <= items_max);
        let texts = texts.and_then(|items| items.iter().map(text).collect::<Option<Vec<_>>>());
        texts.map(Some).ok_or_else(|| {
            WalletError::invalid(format!(
                "{name} must be a list of at most {items_max} texts of at most {bytes_max} bytes"
            ))
        })
    }

    /// 32 bytes in hex.
    pub(super) fn hex32<T: FromStr>(&self, name: &str) -> Result<Option<T>, WalletError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let parsed = value.as_str().and_then(|text| text.parse().ok());
        parsed.map(Some).ok_or_else(|| WalletError::invalid(format!("{name} must be 64 hex digits")))
    }

    /// A Nostr public key in hex, one that exists on the curve.
    pub(super) fn pubkey(&self, name: &str) -> Result<Option<PublicKey>, WalletError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let parsed = value.as_str().and_then(|text| PublicKey::from_hex(text).ok());
        match parsed {
            // Money sent to a point off the curve would be locked for ever.
            Some(key) if key.xonly().is_ok() => Ok(Some(key)),
            Some(_) | None => {
                Err(WalletError::invalid(format!("{name} must be a Nostr public key, 64 hex digits")))
            }
        }
    }

    /// A whole number from `min` to the largest `u32`.
    pub(super) fn number(&self, name: &str, min: u32) -> Result<Option<u32>, WalletError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let parsed = value.as_u64().and_then(|number| u32::try_from(number).ok());
        match parsed {
            Some(number) if number >= min => Ok(Some(number)),
            Some(_) | None => {
                Err(WalletError::invalid(format!("{name} must be a whole number from {min} to {}", u32::MAX)))
            }
        }
    }

    /// A moment in Unix seconds.
    pub(super) fn unix_secs(&self, name: &str) -> Result<Option<UnixSecs>, WalletError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        // As a signed number, because that is what databases hold.
        match value.as_i64().map(u64::try_from) {
            Some(Ok(secs)) => Ok(Some(UnixSecs(secs))),
            Some(Err(_)) | None => {
                Err(WalletError::invalid(format!("{name} must be a time in whole Unix seconds")))
            }
        }
    }

    /// True or false.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, WalletError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| WalletError::invalid(format!("{name} must be true or false")))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, WalletError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
        found.map(|(_, value)| Some(*value)).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            WalletError::invalid(format!("{name} must be one of: {}", words.join(", ")))
        })
    }

    /// Metadata; what is too long is dropped, as NIP-47 says.
    pub(super) fn metadata(&self) -> Result<Option<Metadata>, WalletError> {
        match self.get("metadata") {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Metadata::new(map.clone())),
            Some(_) => Err(WalletError::invalid("metadata must be an object")),
        }
    }
}

/// The value of a field that must be there.
pub(super) fn required<T>(name: &str, field: Option<T>) -> Result<T, WalletError> {
    field.ok_or_else(|| WalletError::invalid(format!("{name} is missing")))
}

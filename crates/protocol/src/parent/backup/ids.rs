//! Names of instances, objects and generations.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Text that is no id.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("an id is {chars} lower-case hexadecimal digits")]
pub struct ParseIdError {
    chars: usize,
}

/// Whose backups: derived from the disk secret, and so the same whatever build or machine holds it. It
/// says nothing about the secret. The parent names a folder by it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(pub [u8; 16]);

/// Which object: SHA-256 (FIPS 180-4) of its sealed bytes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId(pub [u8; 32]);

/// What a generation is known by, and what the key stores remember of it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Counts snapshots; the first is 1.
    pub generation: u64,
    /// The sealed manifest.
    pub manifest: ObjectId,
}

impl ObjectId {
    /// The id of these sealed bytes.
    #[must_use]
    pub fn of(sealed: &[u8]) -> Self {
        Self(Sha256::digest(sealed).into())
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {} ({})", self.generation, self.manifest)
    }
}

/// Reads exactly `N` bytes of lower-case hex: two spellings of one id would be two files.
fn parse<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    let mut bytes = [0; N];
    let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) if lower => Ok(bytes),
        Ok(()) | Err(_) => Err(ParseIdError { chars: 2 * N }),
    }
}

impl FromStr for InstanceId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse(text).map(Self)
    }
}

impl FromStr for ObjectId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse(text).map(Self)
    }
}

impl TryFrom<String> for InstanceId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

impl TryFrom<String> for ObjectId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.to_string()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> Self {
        id.to_string()
    }
}

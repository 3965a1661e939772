//! Statements: what a server in an enclave says about a container at a certain moment, with evidence
//! that stands on its own.
//!
//! ```text
//! AWS root ─► attestation document ── public_key ─► service key ─► container key ─► statement (23798)
//!                  │ 23793 `root`                     23797 `certificate`             │
//!                  └─ user_data = head of a Merkle tree ◄──── path ────────────────────┘
//! ```
//!
//! A signature alone says that somebody had a key. The tree's head in the attestation document says that
//! the measured code had the statement put there at the document's time, so that a key that leaks later
//! dates nothing back.

mod fetch;
pub mod merkle;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::event::EventId;
use nostr::key::Keys;
use serde::{Deserialize, Serialize};
use units::UnixSecs;

pub use fetch::{FetchClaim, FetchedRequest};

use crate::canonical;
use crate::event::{CheckedEvent, SignError, sign};
use crate::kinds::STATEMENT;
use crate::tag;
use merkle::Hash;

/// Version of the statement's form.
pub const STATEMENT_VERSION: u32 = 1;
/// Most statements below one head; a path then has at most ten hashes.
pub const BATCH_MAX: usize = 1_024;
/// How long a statement may wait for its document. A server that is slower than this has lost it.
pub const BATCH_SECS_MAX: u64 = 60;

/// What is stated.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// The app gave this hash; what it is of, the app says elsewhere.
    Attest {
        /// SHA-256, hex.
        digest: Hash,
    },
    /// The server fetched this for the app.
    Fetch(Box<FetchClaim>),
    /// The container's receipts, as they stood: a chain that ends in `head`.
    Receipts {
        /// How many there are.
        count: u64,
        /// Id of the last; none if there is none.
        head: Option<EventId>,
    },
}

/// What the content of a statement's event is, as canonical JSON.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`STATEMENT_VERSION`].
    pub version: u32,
    /// `registry/repository@sha256:…` of what ran then.
    pub image: String,
    /// Hash of the launch manifest then, hex; none for a built-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
    /// What is stated.
    pub claim: Claim,
}

impl Statement {
    /// Signs it with the container's key.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(&self, container: &Keys, now: UnixSecs) -> Result<CheckedEvent, SignError> {
        let content = canonical::to_bytes(self).map_err(|e| SignError::new(&e))?;
        let content = String::from_utf8(content).map_err(|e| SignError::new(&e))?;
        sign(container, STATEMENT, now, vec![tag!["alt", "enclaved statement"]], content)
    }

    /// Reads the content of a statement's event.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(event: &CheckedEvent) -> Result<Self, String> {
        if event.kind != STATEMENT {
            return Err(format!("kind {} is not a statement", event.kind));
        }
        let statement: Self = serde_json::from_str(&event.content).map_err(|e| e.to_string())?;
        if statement.version != STATEMENT_VERSION {
            return Err(format!("version {} is not known; use a newer program", statement.version));
        }
        // One spelling only: nothing can hide in a doubled field.
        let canonical = canonical::to_bytes(&statement).map_err(|e| e.to_string())?;
        if canonical != event.content.as_bytes() {
            return Err("its content is not canonical JSON (RFC 8785)".to_owned());
        }
        Ok(statement)
    }
}

/// A statement with everything that it takes to check it: a file that can be kept and passed on.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StatementProof {
    /// The statement, kind 23798, by the container's key.
    pub statement: CheckedEvent,
    /// The service's certificate for the container, kind 23797.
    pub certificate: CheckedEvent,
    /// The attestation of the service key, kind 23793, whose document has the tree's head as
    /// `user_data`.
    pub root: CheckedEvent,
    /// Where in the tree the statement is, and what lies beside its way up.
    pub path: merkle::Path,
    /// The repository of the service's code.
    pub repo: String,
    /// The maintainers' signatures of the service's build, kind 63794.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<CheckedEvent>,
}

/// Bytes that are base64 in JSON.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(|_| serde::de::Error::custom("not base64"))
    }
}

#[cfg(test)]
mod tests;

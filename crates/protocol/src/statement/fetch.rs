//! What is stated of a fetch.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Base64;
use super::merkle::Hash;
use crate::canonical::{self, CanonicalError};

/// A request that the server made for an app, and the answer that it got over TLS that ended in the
/// enclave. The time is the statement's.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FetchClaim {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// The whole URL, query included.
    pub url: String,
    /// [`FetchedRequest::sha256`]: method, URL, headers and body under a salt that the app was given, so
    /// that keys in headers cannot be guessed from it.
    pub request_sha256: Hash,
    /// The answer's status. Redirects are not followed.
    pub status: u16,
    /// SHA-256 of the answer's body.
    pub response_sha256: Hash,
    /// Length of the answer's body.
    pub response_bytes: u64,
    /// The certificates that the host showed, in DER, its own first. The server checked them against
    /// Mozilla's roots for the URL's host.
    pub certificates: Vec<Base64>,
}

/// What a request's hash is made of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FetchedRequest {
    /// 32 random bytes.
    pub salt: Hash,
    /// As in the claim.
    pub method: String,
    /// As in the claim.
    pub url: String,
    /// Names in small letters, in the order in which the app gave them.
    pub headers: Vec<(String, String)>,
    /// SHA-256 of the body, which may be empty.
    pub body_sha256: Hash,
}

impl FetchedRequest {
    /// SHA-256 of the canonical JSON.
    ///
    /// # Errors
    /// [`CanonicalError`]; does not happen, because it holds texts only.
    pub fn sha256(&self) -> Result<Hash, CanonicalError> {
        Ok(Hash(Sha256::digest(canonical::to_bytes(self)?).into()))
    }
}

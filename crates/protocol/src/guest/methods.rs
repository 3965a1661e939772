//! Methods that the reference does not have.

use std::fmt;

use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};
use units::{ComputeUnits, Msat, UnixSecs};

use crate::manifest::LaunchManifest;
use crate::rpc::enclaved::Endpoint;
use crate::statement::merkle::Hash;
use crate::statement::{Base64, StatementProof};

/// Parameters of `attest`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Attest {
    /// A SHA-256 of the app's, hex.
    pub digest: Hash,
}

/// Parameters of `attested_fetch`. `Debug` shows neither headers nor body: there may be keys in them.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedFetch {
    /// `GET` if it is left out.
    #[serde(default = "get")]
    pub method: String,
    /// An `https` URL.
    pub url: String,
    /// Name and value of each header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Base64>,
    /// The longest body of an answer that is of use, in bytes; the server's own limit if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_bytes_max: Option<u64>,
    /// The longest that it may take, in seconds; the server's own limit if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<u64>,
}

fn get() -> String {
    "GET".to_owned()
}

impl fmt::Debug for AttestedFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttestedFetch").field("method", &self.method).finish_non_exhaustive()
    }
}

/// Answer to `attested_fetch`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    /// The answer's status. Redirects are not followed.
    pub status: u16,
    /// The answer's headers, which are not in the statement.
    pub headers: Vec<(String, String)>,
    /// The answer's body.
    pub body: Base64,
    /// The salt of the statement's `request_sha256`: who has it, and the request, can compare.
    pub request_salt: Hash,
    /// The statement and its evidence.
    pub proof: StatementProof,
}

/// Parameters of `derive_key`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeriveKey {
    /// What the key is for: 1 to 256 printable ASCII characters.
    pub path: String,
}

/// Answer to `derive_key`. Does not print.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DerivedKey {
    /// 32 bytes, hex.
    pub key: String,
}

impl fmt::Debug for DerivedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedKey(…)")
    }
}

/// Answer to `info`: what a container may know of itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GuestInfo {
    /// The container's key.
    pub pubkey: PublicKey,
    /// The server's key.
    pub service_pubkey: PublicKey,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The key that commands it; none for a built-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PublicKey>,
    /// `registry/repository@sha256:…`.
    pub image: String,
    /// Hash of the launch manifest, hex; none for a built-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
    /// Compute units.
    pub units: ComputeUnits,
    /// Price of a period, in millisatoshi.
    pub price_msat_per_period: Msat,
    /// Length of a period, in seconds.
    pub period_secs: u32,
    /// What it has to pay with, if the wallet said so lately.
    pub balance_msat: Msat,
    /// Up to when it has paid; absent before the first charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_until: Option<UnixSecs>,
    /// When it first ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<UnixSecs>,
    /// Where its ports are reached.
    pub endpoints: Vec<Endpoint>,
    /// The limits that this server's kernel does not enforce, by name.
    pub limits_not_enforced: Vec<String>,
}

/// Answer to `wallet`. Whoever has it can spend the container's balance. Does not print.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WalletReply {
    /// `nostr+walletconnect://…` (NIP-47).
    pub nwc: String,
}

impl fmt::Debug for WalletReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WalletReply(…)")
    }
}

/// Answer to `manifest`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ManifestReply {
    /// What was agreed to run.
    pub manifest: LaunchManifest,
    /// The hash of its canonical form, hex.
    pub manifest_sha256: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_have_named_fields_and_no_others() {
        let digest = "ab".repeat(32);
        assert!(serde_json::from_value::<Attest>(json!({"digest": digest})).is_ok());
        for bad in
            [json!({}), json!({"digest": "ab"}), json!({"digest": digest, "x": 1}), json!({"digest": 7})]
        {
            assert!(serde_json::from_value::<Attest>(bad.clone()).is_err(), "{bad}");
        }
        let fetch: AttestedFetch = serde_json::from_value(json!({"url": "https://a.example/"})).unwrap();
        assert_eq!((fetch.method.as_str(), fetch.body, fetch.headers.len()), ("GET", None, 0));
    }

    #[test]
    fn secrets_do_not_print() {
        let texts = [
            format!("{:?}", DerivedKey { key: "hunter2".into() }),
            format!("{:?}", WalletReply { nwc: "hunter2".into() }),
            format!(
                "{:?}",
                AttestedFetch {
                    method: "GET".into(),
                    url: "https://a.example/?key=hunter2".into(),
                    headers: vec![("authorization".into(), "hunter2".into())],
                    body: Some(Base64(b"hunter2".to_vec())),
                    response_bytes_max: None,
                    timeout_secs: None,
                }
            ),
        ];
        assert!(texts.iter().all(|text| !text.contains("hunter2")), "{texts:?}");
    }
}

//! The launch manifest: what was agreed to run, as canonical JSON whose SHA-256 stands in the invoice,
//! in the container's certificate and in its public event.
//!
//! Values of the environment are not in it, only an HMAC of each under a salt that the owner knows: a
//! bare hash of a secret could be guessed.

use std::collections::BTreeMap;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use units::ComputeUnits;
use utoipa::ToSchema;

use crate::canonical::{self, CanonicalError};

/// Version of the manifest's form.
pub const MANIFEST_VERSION: u32 = 1;

/// The secret that keys the HMACs of a launch's environment. Known to the owner and the daemon.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Salt(#[serde(with = "hex::serde")] [u8; 32]);

impl Salt {
    /// A salt from 32 random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The HMAC-SHA-256 of `NAME=value`, as hex. The name is part of it so that equal values of two
    /// names do not show.
    #[must_use]
    pub fn hmac(&self, name: &str, value: &str) -> String {
        self.hmac_bytes(name, value.as_bytes())
    }

    /// The same for a value that need not be text.
    #[must_use]
    pub fn hmac_bytes(&self, name: &str, value: &[u8]) -> String {
        // A 32-byte key is valid for HMAC whatever its content.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(name.as_bytes());
        mac.update(b"=");
        mac.update(value);
        hex::encode(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(…)")
    }
}

/// Which addresses outside a container may reach.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Egress {
    /// Nothing.
    None,
    /// The public internet.
    #[default]
    All,
}

/// Who may change the image of a running container.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Upgrade {
    /// Nobody: the digest never changes.
    #[default]
    None,
    /// The owner.
    Owner,
    /// All signers that the running image names, together, and only to a higher version.
    Signed,
}

impl Upgrade {
    /// Its name in the manifest, and in the container's public event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Owner => "owner",
            Self::Signed => "signed",
        }
    }
}

/// What was agreed to run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LaunchManifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// `registry/repository@sha256:…` of the platform's own manifest.
    pub image: String,
    /// Arguments in place of the image's own command, if any.
    pub args: Option<Vec<String>>,
    /// Name → [`Salt::hmac`] of its value.
    pub env: BTreeMap<String, String>,
    /// Name → [`Salt::hmac_bytes`] of its content, of each secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Compute units.
    #[schema(value_type = u32)]
    pub units: ComputeUnits,
    /// TCP ports of the container that are published, ascending.
    pub ports: Vec<u16>,
    /// Absolute paths at which the container's volume is mounted, ascending.
    pub volumes: Vec<String>,
    /// What it may reach outside.
    pub egress: Egress,
    /// Who may change its image.
    pub upgrade: Upgrade,
    /// The key that commands it.
    #[schema(value_type = String)]
    pub owner: PublicKey,
    /// The owner may read its output.
    pub logs: bool,
    /// The owner may run commands in it.
    pub exec: bool,
}

impl LaunchManifest {
    /// The SHA-256 of the canonical form, as hex.
    ///
    /// # Errors
    /// [`CanonicalError`]; does not happen for a manifest whose texts are UTF-8.
    pub fn sha256(&self) -> Result<String, CanonicalError> {
        canonical::sha256_hex(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> LaunchManifest {
        let salt = Salt::new([7; 32]);
        LaunchManifest {
            version: MANIFEST_VERSION,
            image: format!("registry.example/echo@sha256:{}", "ab".repeat(32)),
            args: None,
            env: BTreeMap::from([("TOKEN".to_owned(), salt.hmac("TOKEN", "secret"))]),
            secrets: BTreeMap::new(),
            units: ComputeUnits::new(2).unwrap(),
            ports: vec![8080],
            volumes: vec!["/data".into()],
            egress: Egress::None,
            upgrade: Upgrade::None,
            owner: PublicKey::from_hex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
                .unwrap(),
            logs: true,
            exec: false,
        }
    }

    #[test]
    fn canonical_form_is_pinned() {
        let text = String::from_utf8(canonical::to_bytes(&manifest()).unwrap()).unwrap();
        assert_eq!(text, include_str!("manifest/golden.json").trim_end());
        assert_eq!(manifest().sha256().unwrap(), include_str!("manifest/golden.sha256").trim_end());
    }

    #[test]
    fn secrets_change_the_hash_and_none_leave_it_as_it_was() {
        let mut with = manifest();
        with.secrets.insert("KEY".into(), Salt::new([7; 32]).hmac("KEY", "a"));
        let mut with_other = manifest();
        with_other.secrets.insert("KEY".into(), Salt::new([7; 32]).hmac("KEY", "b"));
        let hashes = [manifest(), with, with_other].map(|manifest| manifest.sha256().unwrap());
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
    }

    #[test]
    fn salt_hides_the_value_and_does_not_print() {
        let (a, b) = (Salt::new([1; 32]), Salt::new([2; 32]));
        assert_ne!(a.hmac("K", "v"), b.hmac("K", "v"));
        assert_ne!(a.hmac("K", "v"), a.hmac("L", "v"));
        assert_eq!(format!("{a:?}"), "Salt(…)");
    }

    #[test]
    fn unknown_field_is_refused() {
        let mut value = serde_json::to_value(manifest()).unwrap();
        value["privileged"] = true.into();
        assert!(serde_json::from_value::<LaunchManifest>(value).is_err());
    }
}

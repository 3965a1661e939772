//! A container as it is remembered.

use std::collections::BTreeMap;
use std::fmt;

use lifecycle::State;
use nostr::key::{Keys, PublicKey};
use protocol::manifest::{Egress, LaunchManifest, Salt};
use protocol::rpc::enclaved::{Invoice, StateReason};
use protocol::secrets::Sealed;
use serde::{Deserialize, Serialize};
use units::{ComputeUnits, Msat, UnixSecs};
use zeroize::Zeroizing;

/// What admits a container to its guest API: 16 random bytes, hex. Does not print.
#[derive(Clone, Eq, PartialEq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A token with this text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Where a container comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// The configuration names it.
    Builtin(String),
    /// Somebody launched it.
    Launched {
        /// The key that commands it.
        owner: PublicKey,
        /// The idempotency key of the command.
        request_key: String,
    },
}

/// A published port.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PortMapping {
    /// Port inside the container.
    pub container_port: u16,
    /// Port of the server.
    pub server_port: u16,
}

/// What it takes to run a container. Never changes. `Debug` does not show the environment's values.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// A name for people.
    pub name: Option<String>,
    /// `registry/repository@sha256:…` of the platform's manifest.
    pub image: String,
    /// `sha256:…` of the image's configuration: the engine's name for the image.
    pub config_digest: String,
    /// Arguments in place of the image's own command.
    pub args: Option<Vec<String>>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// What only the container sees, sealed by the service key to itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Sealed>,
    /// Compute units.
    pub units: ComputeUnits,
    /// How large the volume is; none: what the units have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_bytes: Option<u64>,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// Paths at which the volume is mounted.
    pub volumes: Vec<String>,
    /// Paths that the image declares as volumes.
    pub image_volumes: Vec<String>,
    /// What it may reach outside.
    pub egress: Egress,
    /// What is charged for a period.
    pub price_per_period: Msat,
    /// What was agreed; none for a built-in.
    pub manifest: Option<LaunchManifest>,
    /// Hash of the manifest.
    pub manifest_sha256: Option<String>,
    /// Key of the environment's HMACs in the manifest.
    pub salt: Option<Salt>,
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env: Vec<_> = self.env.keys().collect();
        f.debug_struct("Spec")
            .field("image", &self.image)
            .field("units", &self.units)
            .field("env", &env)
            .finish_non_exhaustive()
    }
}

/// A container as it is remembered.
#[derive(Clone, Debug)]
pub struct Container {
    /// The container's key. Its `Debug` hides the secret.
    pub keys: Keys,
    /// What admits it to the guest API.
    pub token: Token,
    /// Number of its network; none once it is over and wiped.
    pub slot: Option<u16>,
    /// Where it comes from.
    pub origin: Origin,
    /// What it takes to run it.
    pub spec: Spec,
    /// Where it is in its life.
    pub state: State,
    /// The launch invoice.
    pub invoice: Option<Invoice>,
    /// What it had to pay with when the wallet was last asked.
    pub balance: Msat,
    /// The key that the app told.
    pub app: Option<PublicKey>,
    /// Why it is in its state, if something went wrong.
    pub reason: Option<StateReason>,
    /// When it was launched.
    pub created_at: UnixSecs,
    /// When it first ran.
    pub started_at: Option<UnixSecs>,
}

impl Container {
    /// The container's key.
    #[must_use]
    pub fn pubkey(&self) -> PublicKey {
        self.keys.public_key()
    }

    /// The key that commands it; none for a built-in.
    #[must_use]
    pub const fn owner(&self) -> Option<&PublicKey> {
        match &self.origin {
            Origin::Builtin(_) => None,
            Origin::Launched { owner, .. } => Some(owner),
        }
    }

    /// True for a container that the configuration names.
    #[must_use]
    pub const fn is_builtin(&self) -> bool {
        matches!(self.origin, Origin::Builtin(_))
    }
}

//! What only a development machine may do.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Exceptions for development. All of them are refused under AWS's root.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Development {
    /// Ranges that the address guard and the containers' firewall let through although they are not
    /// public: a local registry, a local relay.
    pub addresses: Vec<IpNet>,
    /// Registries that are spoken to without TLS.
    pub plain_http_registries: Vec<String>,
    /// A certificate authority, in DER, that vouches for the hosts of attested fetches besides Mozilla's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetch_root: Option<PathBuf>,
    /// The version that is announced in place of the program's own: in a world, one program stands for all
    /// builds.
    pub version: Option<String>,
    /// A socket that is asked before each named step, so that a test can kill at it.
    pub checkpoints: Option<PathBuf>,
}

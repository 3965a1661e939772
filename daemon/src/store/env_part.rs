//! What `set_env` changes of what it takes to run a container.

use std::collections::BTreeMap;

use protocol::canonical::CanonicalError;
use protocol::secrets::Sealed;

use super::record::Spec;

/// An environment, and what the manifest says of it.
#[derive(Clone)]
pub struct EnvPart {
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The HMAC of each value, under the launch's salt.
    pub env_hmacs: BTreeMap<String, String>,
    /// The secrets, sealed by the service key to itself, and the HMAC of each; none if they stay.
    pub secrets: Option<(Option<Sealed>, BTreeMap<String, String>)>,
}

/// Names only.
impl std::fmt::Debug for EnvPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnvPart").field("env", &self.env.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Spec {
    /// The same with another environment; the manifest and its hash change with it.
    ///
    /// # Errors
    /// [`CanonicalError`] as [`protocol::manifest::LaunchManifest::sha256`].
    pub fn with_env(&self, part: EnvPart) -> Result<Self, CanonicalError> {
        let mut spec = self.clone();
        spec.env = part.env;
        let (sealed, hmacs) = part.secrets.unzip();
        if let Some(sealed) = sealed {
            spec.secrets = sealed;
        }
        if let Some(manifest) = &mut spec.manifest {
            manifest.env = part.env_hmacs;
            if let Some(hmacs) = hmacs {
                manifest.secrets = hmacs;
            }
            spec.manifest_sha256 = Some(manifest.sha256()?);
        }
        Ok(spec)
    }
}

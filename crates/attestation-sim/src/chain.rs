//! The chain that AWS puts above every document: root → region → zone → instance → leaf.

use units::UnixSecs;

use crate::certificate::CertificateSpec;
use crate::{IssueError, SimKey, SimRoot, root};

/// How long certificates last, in seconds, as AWS's do: 20 days, 6 days, 1 day, 3 hours.
const REGION_SECS: u64 = 20 * 86_400;
const ZONE_SECS: u64 = 6 * 86_400;
const INSTANCE_SECS: u64 = 86_400;
const LEAF_SECS: u64 = 3 * 3_600;
/// How long before its issue a leaf begins: the only help that AWS gives to slow clocks.
const LEAF_BACKDATED_SECS: u64 = 3;
/// How long before its issue an authority begins.
const AUTHORITY_BACKDATED_SECS: u64 = 3_600;
/// A leaf is issued anew when less than this is left of it.
const LEAF_RENEWED_BEFORE_END_SECS: u64 = 15 * 60;

/// The certificates below a root, before they are issued.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChainSpec {
    /// From below the root downwards.
    pub authorities: Vec<CertificateSpec>,
    /// The one whose key signs documents.
    pub leaf: CertificateSpec,
}

/// A chain whose certificates are issued, with the keys that are still needed.
#[derive(Debug)]
pub struct IssuedChain {
    spec: ChainSpec,
    /// Root first.
    cabundle: Vec<Vec<u8>>,
    certificate: Vec<u8>,
    leaf_key: SimKey,
    /// The key of the lowest authority; the root's own if there is none below.
    issuer_key: Option<SimKey>,
}

impl ChainSpec {
    /// The chain of an enclave on an instance, at a moment.
    #[must_use]
    pub fn nitro(instance_id: &str, module_id: &str, now: UnixSecs) -> Self {
        let authority = |name: String, path_length, secs| {
            let not_before = now.minus_secs(AUTHORITY_BACKDATED_SECS);
            CertificateSpec::authority(name, Some(path_length), not_before, now.plus_secs(secs))
        };
        Self {
            authorities: vec![
                authority("region.sim.nitro-enclaves".to_owned(), 2, REGION_SECS),
                authority("zone.region.sim.nitro-enclaves".to_owned(), 1, ZONE_SECS),
                authority(format!("{instance_id}.region.sim.nitro-enclaves"), 0, INSTANCE_SECS),
            ],
            leaf: leaf(module_id, now),
        }
    }

    /// Issues every certificate, each with a new key.
    ///
    /// # Errors
    /// [`IssueError`] if a certificate cannot be made.
    pub fn issue(self, root: &SimRoot) -> Result<IssuedChain, IssueError> {
        let root_spec = root::spec();
        let mut cabundle = vec![root.der().to_vec()];
        let mut issuer_key: Option<SimKey> = None;
        for (index, authority) in self.authorities.iter().enumerate() {
            let issuer = index.checked_sub(1).and_then(|above| self.authorities.get(above));
            let key = SimKey::generate()?;
            let signer = issuer_key.as_ref().unwrap_or_else(|| root.key());
            cabundle.push(authority.issue(&key, issuer.unwrap_or(&root_spec), signer)?);
            issuer_key = Some(key);
        }
        let leaf_key = SimKey::generate()?;
        let issuer = self.authorities.last().unwrap_or(&root_spec);
        let signer = issuer_key.as_ref().unwrap_or_else(|| root.key());
        let certificate = self.leaf.issue(&leaf_key, issuer, signer)?;
        Ok(IssuedChain { spec: self, cabundle, certificate, leaf_key, issuer_key })
    }
}

impl IssuedChain {
    /// The certificates above the leaf, root first.
    #[must_use]
    pub fn cabundle(&self) -> &[Vec<u8>] {
        &self.cabundle
    }

    /// The leaf.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The leaf's key.
    #[must_use]
    pub const fn leaf_key(&self) -> &SimKey {
        &self.leaf_key
    }

    /// True while the leaf is as good as the NSM keeps it: begun, and not within 15 minutes of its end.
    pub(crate) fn is_fresh(&self, now: UnixSecs) -> bool {
        let leaf = &self.spec.leaf;
        now >= leaf.not_before && now.plus_secs(LEAF_RENEWED_BEFORE_END_SECS) <= leaf.not_after
    }

    /// Issues a new leaf with a new key under the same authorities, or returns `false` and does nothing
    /// if one of them would not outlive it.
    pub(crate) fn renew_leaf(
        &mut self,
        root: &SimRoot,
        module_id: &str,
        now: UnixSecs,
    ) -> Result<bool, IssueError> {
        let leaf = leaf(module_id, now);
        let outlives = |above: &CertificateSpec| {
            above.not_before <= leaf.not_before && leaf.not_after <= above.not_after
        };
        if !self.spec.authorities.iter().all(outlives) {
            return Ok(false);
        }
        let leaf_key = SimKey::generate()?;
        let root_spec = root::spec();
        let issuer = self.spec.authorities.last().unwrap_or(&root_spec);
        let signer = self.issuer_key.as_ref().unwrap_or_else(|| root.key());
        self.certificate = leaf.issue(&leaf_key, issuer, signer)?;
        self.leaf_key = leaf_key;
        self.spec.leaf = leaf;
        Ok(true)
    }
}

fn leaf(module_id: &str, now: UnixSecs) -> CertificateSpec {
    let not_before = now.minus_secs(LEAF_BACKDATED_SECS);
    CertificateSpec::leaf(format!("{module_id}.region.sim"), not_before, now.plus_secs(LEAF_SECS))
}

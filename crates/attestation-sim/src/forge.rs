//! Single documents for fixtures and tests: good ones at any time, and every kind of bad one.

use units::UnixSecs;

use crate::chain::ChainSpec;
use crate::document::{PayloadSpec, sign};
use crate::registers::image_pcrs;
use crate::{IssueError, SimRoot};

const INSTANCE_ID: &str = "i-0123456789abcdef0";
const MODULE_ID: &str = "i-0123456789abcdef0-enc0123456789abcdef";
const IMAGE_SEED: &str = "forged image";

/// A document in the making. What [`Forge::at`] sets up makes a good one; change what should be wrong.
///
/// ```
/// use attestation::{Expectations, VerifyAt, verify};
/// use attestation_sim::{Forge, SimRoot};
/// use units::UnixSecs;
///
/// let root = SimRoot::generate()?;
/// let mut forge = Forge::at(UnixSecs(1_750_000_000));
/// forge.payload.public_key = Some(vec![7; 32]);
/// let document = forge.document(&root)?;
/// let check = |at| verify(&document, &Expectations::none(), root.trust_root(), at);
/// assert!(check(VerifyAt::DocumentTime).is_ok());
///
/// forge.chain.leaf.not_after = UnixSecs(1_749_999_999);
/// let expired = forge.document(&root)?;
/// let refused = verify(&expired, &Expectations::none(), root.trust_root(), VerifyAt::DocumentTime);
/// assert_eq!(refused.map_err(|error| error.code()), Err("certificate_expired"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Forge {
    /// The certificates.
    pub chain: ChainSpec,
    /// The rest.
    pub payload: PayloadSpec,
}

impl Forge {
    /// A document made at this moment, by an enclave that is not in debug mode.
    #[must_use]
    pub fn at(now: UnixSecs) -> Self {
        let image = image_pcrs(IMAGE_SEED);
        let zero = attestation::Pcr::ZERO;
        // As the device has them: 0 to 15, and after the image only PCR4 is not zero.
        let pcr4 = attestation::pcr_digest(INSTANCE_ID.as_bytes());
        let value = |index: u64| match index {
            0..=2 => usize::try_from(index).ok().and_then(|index| image.get(index)).copied().unwrap_or(zero),
            4 => pcr4,
            _ => zero,
        };
        Self {
            chain: ChainSpec::nitro(INSTANCE_ID, MODULE_ID, now),
            payload: PayloadSpec {
                module_id: MODULE_ID.to_owned(),
                timestamp_ms: now.0.saturating_mul(1_000),
                pcrs: (0..16).map(|index| (index, value(index).as_bytes().to_vec())).collect(),
                public_key: None,
                user_data: None,
                nonce: None,
                is_definite: false,
            },
        }
    }

    /// Issues the certificates and signs the document.
    ///
    /// # Errors
    /// [`IssueError`] if a certificate cannot be made.
    pub fn document(&self, root: &SimRoot) -> Result<Vec<u8>, IssueError> {
        let chain = self.chain.clone().issue(root)?;
        sign(&self.payload.encode(chain.certificate(), chain.cabundle()), chain.leaf_key())
    }
}

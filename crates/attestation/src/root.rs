//! Trust roots: whose certificate must stand at the top of a document's chain.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

use crate::chain::{Certificate, ChainProblem, Role};

/// AWS Nitro Enclaves root G1 (CN=aws.nitro-enclaves, valid to 2049-10-28), SHA-256
/// 641A0321A3E244EFE456463195D606317ED7CDCC3C1756E09893F3C68F79BB5B.
const AWS_ROOT_G1: &[u8] = include_bytes!("root/aws-nitro-root-g1.der");

/// A root certificate, pinned by its exact bytes. Production trusts [`TrustRoot::aws`]; a development
/// root has to be named, and whatever is refused under AWS's root asks [`TrustRoot::is_aws`].
#[derive(Clone, Eq, PartialEq)]
pub struct TrustRoot {
    der: Cow<'static, [u8]>,
}

/// Why bytes are not a root certificate.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TrustRootError {
    /// They are no certificate of an authority with a P-384 key.
    #[error("the trust root must be the DER of a certificate authority with a P-384 key")]
    Certificate(#[source] ChainProblem),
    /// The certificate is not its own issuer.
    #[error("the trust root is not signed by itself: give the root, not an intermediate certificate")]
    NotSelfSigned,
}

impl TrustRoot {
    /// AWS's root for the commercial partitions.
    #[must_use]
    pub const fn aws() -> Self {
        Self { der: Cow::Borrowed(AWS_ROOT_G1) }
    }

    /// A root that is named by whoever runs this, for development.
    ///
    /// # Errors
    /// [`TrustRootError`] if `der` is not a self-signed certificate authority.
    pub fn from_der(der: &[u8]) -> Result<Self, TrustRootError> {
        let root =
            Certificate::parse(der, Role::Authority { below: 0 }).map_err(TrustRootError::Certificate)?;
        root.check_issued_by(&root).map_err(|_| TrustRootError::NotSelfSigned)?;
        Ok(Self { der: Cow::Owned(der.to_vec()) })
    }

    /// The certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// True for AWS's root, however it was given.
    #[must_use]
    pub fn is_aws(&self) -> bool {
        self.der() == AWS_ROOT_G1
    }

    /// SHA-256 of the certificate, as 64 hex digits: what people compare.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(digest(&SHA256, self.der()))
    }
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustRoot")
            .field("sha256", &self.fingerprint())
            .field("is_aws", &self.is_aws())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_root_is_the_one_that_aws_publishes() {
        let fingerprint = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";
        assert_eq!(TrustRoot::aws().fingerprint(), fingerprint);
        assert!(TrustRoot::aws().is_aws());
        let expected = format!("TrustRoot {{ sha256: \"{fingerprint}\", is_aws: true }}");
        assert_eq!(format!("{:?}", TrustRoot::aws()), expected);
        assert_eq!(TrustRoot::from_der(AWS_ROOT_G1), Ok(TrustRoot::aws()));
    }

    #[test]
    fn a_changed_root_is_refused() {
        let mut der = AWS_ROOT_G1.to_vec();
        if let Some(last) = der.last_mut() {
            *last ^= 1;
        }
        assert_eq!(TrustRoot::from_der(&der), Err(TrustRootError::NotSelfSigned));
        let trailing = [AWS_ROOT_G1, &[0]].concat();
        for bad in [&[][..], &AWS_ROOT_G1[1..], &trailing] {
            assert_eq!(TrustRoot::from_der(bad), Err(TrustRootError::Certificate(ChainProblem::NotX509)));
        }
    }
}

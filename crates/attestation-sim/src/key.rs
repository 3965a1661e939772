//! P-384 keys of the simulated chain.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PublicKeyData};

use crate::IssueError;

/// A key that signs certificates (ASN.1 signatures) and documents (r ‖ s). Never printed.
pub struct SimKey {
    certificates: KeyPair,
    documents: EcdsaKeyPair,
}

impl SimKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`IssueError::Key`] if the cryptographic library cannot.
    pub fn generate() -> Result<Self, IssueError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(|_| IssueError::Key)?;
        Self::from_pkcs8(pair.serialized_der())
    }

    /// Reads a key in PKCS #8 DER.
    ///
    /// # Errors
    /// [`IssueError::Key`] if it is no P-384 key.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, IssueError> {
        let certificates = KeyPair::from_pkcs8_der_and_sign_algo(&der.into(), &PKCS_ECDSA_P384_SHA384)
            .map_err(|_| IssueError::Key)?;
        let documents =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der).map_err(|_| IssueError::Key)?;
        Ok(Self { certificates, documents })
    }

    /// The key in PKCS #8 DER, for the file that keeps a root.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        self.certificates.serialized_der()
    }

    /// The uncompressed point.
    pub(crate) fn public_point(&self) -> &[u8] {
        self.certificates.der_bytes()
    }

    /// What issues and is certified with this key.
    pub(crate) const fn for_certificates(&self) -> &KeyPair {
        &self.certificates
    }

    /// Signs with ES384: 96 bytes.
    pub(crate) fn sign_document(&self, signed: &[u8]) -> Result<Vec<u8>, IssueError> {
        let signature =
            self.documents.sign(&SystemRandom::new(), signed).map_err(|_| IssueError::Signature)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for SimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimKey").finish_non_exhaustive()
    }
}

//! What can be wrong with a chain of certificates.

/// The first certificate of a chain that breaks a rule.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("certificate {index} of the chain (0 is the root): {problem}")]
pub struct ChainError {
    /// Its place: 0 is the root, the last is the leaf.
    pub index: usize,
    /// What is wrong with it.
    pub problem: ChainProblem,
}

/// Which rule a certificate breaks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChainProblem {
    /// The first certificate of the bundle is not the trusted root, byte for byte.
    #[error("it is not the trusted root")]
    NotTheRoot,
    /// A certificate that stands in the bundle already.
    #[error("it occurs in the bundle a second time")]
    Repeated,
    /// Not the DER of an X.509 v3 certificate.
    #[error("it is not an X.509 version 3 certificate in DER")]
    NotX509,
    /// Signed with something else than ECDSA with SHA-384.
    #[error("it is not signed with ECDSA and SHA-384")]
    SignatureAlgorithm,
    /// A key of another type, or in another encoding.
    #[error("its key is not an uncompressed point on P-384")]
    KeyType,
    /// The same extension twice.
    #[error("it has the extension {oid} twice")]
    DuplicateExtension {
        /// The extension's object identifier.
        oid: String,
    },
    /// An extension that must be understood and is not.
    #[error("it has the critical extension {oid}, which is not known here")]
    UnknownCritical {
        /// The extension's object identifier.
        oid: String,
    },
    /// A certificate above the leaf without the CA flag.
    #[error("it is not a certificate authority")]
    NotAnAuthority,
    /// An authority with more authorities below it than it allows.
    #[error("it allows {limit} authorities below it and has {below}")]
    PathLength {
        /// Its pathLenConstraint.
        limit: usize,
        /// How many there are.
        below: usize,
    },
    /// The key may not be used for what it was used for.
    #[error("its key usage lacks {needed}")]
    KeyUsage {
        /// The missing usage.
        needed: &'static str,
    },
    /// A leaf that could issue certificates.
    #[error("it signed the document but is a certificate authority")]
    LeafIsAuthority,
    /// The issuer's name is not the subject of the certificate before.
    #[error("it names another issuer than the certificate before it")]
    IssuerName,
    /// The signature of the certificate before does not verify.
    #[error("it was not signed by the certificate before it")]
    Signature,
}

//! One certificate (RFC 5280 §4): what is read of it, and the rules that it must keep by itself.

use std::borrow::Cow;

use x509_parser::certificate::X509CertificateParser;
use x509_parser::extensions::{BasicConstraints, KeyUsage};
use x509_parser::nom::Parser;
use x509_parser::oid_registry::{
    OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ECDSA_WITH_SHA384, OID_X509_EXT_BASIC_CONSTRAINTS,
    OID_X509_EXT_KEY_USAGE,
};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::ChainProblem;
use crate::p384::PublicKey;

/// What a certificate is used for in the path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// It signs certificates, and `below` further authorities stand between it and the leaf.
    Authority {
        /// How many.
        below: usize,
    },
    /// Its key signed the document.
    Leaf,
}

/// A certificate that may play the role it was read for.
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    pub(crate) key: PublicKey<'a>,
    pub(crate) not_before_secs: i64,
    pub(crate) not_after_secs: i64,
    x509: X509Certificate<'a>,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate and checks everything that can be checked without another one.
    pub(crate) fn parse(der: &'a [u8], role: Role) -> Result<Self, ChainProblem> {
        // Extensions are parsed here, so that one that cannot be parsed is never taken for absent.
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        let (rest, x509) = parser.parse(der).map_err(|_| ChainProblem::NotX509)?;
        if !rest.is_empty() || x509.version() != X509Version::V3 {
            return Err(ChainProblem::NotX509);
        }
        let is_es384 = |algorithm: &AlgorithmIdentifier<'_>| {
            algorithm.algorithm == OID_SIG_ECDSA_WITH_SHA384 && algorithm.parameters.is_none()
        };
        if !is_es384(&x509.signature_algorithm) || !is_es384(&x509.tbs_certificate.signature) {
            return Err(ChainProblem::SignatureAlgorithm);
        }
        let key = p384_key(&x509.tbs_certificate.subject_pki).ok_or(ChainProblem::KeyType)?;
        Extensions::read(&x509)?.check(role)?;
        let validity = x509.validity();
        let (not_before_secs, not_after_secs) =
            (validity.not_before.timestamp(), validity.not_after.timestamp());
        Ok(Self { key, not_before_secs, not_after_secs, x509 })
    }

    /// Checks that `issuer` is named as this certificate's issuer and signed it.
    pub(crate) fn check_issued_by(&self, issuer: &Certificate<'_>) -> Result<(), ChainProblem> {
        if self.x509.issuer().as_raw() != issuer.x509.subject().as_raw() {
            return Err(ChainProblem::IssuerName);
        }
        let signature = &self.x509.signature_value;
        let is_signed = signature.unused_bits == 0
            && issuer.key.verifies_asn1(self.x509.tbs_certificate.as_ref(), &signature.data);
        if is_signed { Ok(()) } else { Err(ChainProblem::Signature) }
    }
}

/// The key, if it is an uncompressed point on P-384 (RFC 5480).
fn p384_key<'a>(spki: &SubjectPublicKeyInfo<'a>) -> Option<PublicKey<'a>> {
    let curve = spki.algorithm.parameters.as_ref()?.as_oid().ok()?;
    if spki.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != OID_NIST_EC_P384 {
        return None;
    }
    match (spki.subject_public_key.unused_bits, &spki.subject_public_key.data) {
        (0, Cow::Borrowed(point)) => PublicKey::from_point(point),
        // An owned copy does not occur: what is parsed borrows from the input.
        _ => None,
    }
}

/// The extensions that decide what a certificate may be used for.
struct Extensions {
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
}

impl Extensions {
    fn read(x509: &X509Certificate<'_>) -> Result<Self, ChainProblem> {
        let mut read = Self { basic_constraints: None, key_usage: None };
        let all = x509.extensions();
        for (position, extension) in all.iter().enumerate() {
            if all.iter().take(position).any(|earlier| earlier.oid == extension.oid) {
                return Err(ChainProblem::DuplicateExtension { oid: extension.oid.to_id_string() });
            }
            if extension.oid == OID_X509_EXT_BASIC_CONSTRAINTS {
                read.basic_constraints = Some(whole(extension.value)?);
            } else if extension.oid == OID_X509_EXT_KEY_USAGE {
                read.key_usage = Some(whole(extension.value)?);
            } else if extension.critical {
                return Err(ChainProblem::UnknownCritical { oid: extension.oid.to_id_string() });
            }
        }
        Ok(read)
    }

    fn check(&self, role: Role) -> Result<(), ChainProblem> {
        let is_ca = self.basic_constraints.as_ref().is_some_and(|constraints| constraints.ca);
        let path_length = self.basic_constraints.as_ref().and_then(|it| it.path_len_constraint);
        let may = |usage: fn(&KeyUsage) -> bool| self.key_usage.as_ref().is_some_and(usage);
        match role {
            Role::Authority { .. } if !is_ca => Err(ChainProblem::NotAnAuthority),
            Role::Authority { .. } if !may(KeyUsage::key_cert_sign) => {
                Err(ChainProblem::KeyUsage { needed: "keyCertSign" })
            }
            Role::Authority { below } => match path_length.map(usize::try_from) {
                Some(Ok(limit)) if below > limit => Err(ChainProblem::PathLength { limit, below }),
                _ => Ok(()),
            },
            // A path length has no meaning for a leaf, and AWS says that it must not have one.
            Role::Leaf if is_ca || path_length.is_some() || may(KeyUsage::key_cert_sign) => {
                Err(ChainProblem::LeafIsAuthority)
            }
            Role::Leaf if !may(KeyUsage::digital_signature) => {
                Err(ChainProblem::KeyUsage { needed: "digitalSignature" })
            }
            Role::Leaf => Ok(()),
        }
    }
}

/// Parses an extension's value, to its last byte.
fn whole<'a, T: FromDer<'a, x509_parser::error::X509Error>>(value: &'a [u8]) -> Result<T, ChainProblem> {
    match T::from_der(value) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) | Err(_) => Err(ChainProblem::NotX509),
    }
}

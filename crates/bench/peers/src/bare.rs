//! The least that a verification costs: the ECDSA checks in the document, with everything that leads to
//! them done before.

use anyhow::{Context, Result, ensure};
use attestation::cbor::{Reader, Writer};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, UnparsedPublicKey,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Four certificates below the root, and the document.
const CHECKS: usize = 5;

/// One signature: of which key, over what.
struct Check {
    algorithm: &'static EcdsaVerificationAlgorithm,
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

/// All signatures of a document.
pub(crate) struct SignatureChecks(Vec<Check>);

impl SignatureChecks {
    /// Takes a document of the simulation apart.
    pub(crate) fn of(document: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(document);
        reader.array()?;
        let protected = reader.bytes()?;
        reader.skip()?;
        let (payload, signature) = (reader.bytes()?, reader.bytes()?);
        let certificates = certificates(payload)?;
        let mut checks = Vec::new();
        for pair in certificates.windows(2) {
            let (issuer, subject) = (parsed(&pair[0])?, parsed(&pair[1])?);
            checks.push(Check {
                algorithm: &ECDSA_P384_SHA384_ASN1,
                key: issuer.public_key().subject_public_key.data.to_vec(),
                message: subject.tbs_certificate.as_ref().to_vec(),
                signature: subject.signature_value.data.to_vec(),
            });
        }
        let leaf = parsed(certificates.last().context("no certificate")?)?;
        let mut signed = Writer::new();
        signed.array(4).text("Signature1").bytes(protected).bytes(&[]).bytes(payload);
        checks.push(Check {
            algorithm: &ECDSA_P384_SHA384_FIXED,
            key: leaf.public_key().subject_public_key.data.to_vec(),
            message: signed.into_bytes(),
            signature: signature.to_vec(),
        });
        ensure!(checks.len() == CHECKS, "the document has {} signatures", checks.len());
        Ok(Self(checks))
    }

    pub(crate) fn all_hold(&self) -> bool {
        self.0.iter().all(|check| {
            UnparsedPublicKey::new(check.algorithm, &check.key)
                .verify(&check.message, &check.signature)
                .is_ok()
        })
    }
}

/// The bundle, root first, and the leaf.
fn certificates(payload: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut reader = Reader::new(payload);
    let (mut bundle, mut leaf) = (Vec::new(), Vec::new());
    let mut entries = reader.map()?;
    while reader.more(&mut entries)? {
        match reader.text()? {
            "certificate" => leaf = reader.bytes()?.to_vec(),
            "cabundle" => {
                let mut items = reader.array()?;
                while reader.more(&mut items)? {
                    bundle.push(reader.bytes()?.to_vec());
                }
            }
            _ => reader.skip()?,
        }
    }
    bundle.push(leaf);
    Ok(bundle)
}

fn parsed(der: &[u8]) -> Result<X509Certificate<'_>> {
    Ok(X509Certificate::from_der(der)?.1)
}

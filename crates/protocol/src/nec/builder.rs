//! NEC-03: who built the image. The image is signed with a one-time P-384 key whose certificate names
//! the builder's npub; the certificate's hash is PCR8.

use attestation::{Pcr, VerifiedDocument, pcr_digest};
use aws_lc_rs::digest::{SHA384, digest};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip19::ToBech32;
use units::UnixSecs;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::announcement::Form;
use super::{Draft, Env, NecError, tags};
use crate::event::{CheckedEvent, SignError};
use crate::kinds::BUILDER_SIGNATURE;
use crate::tag;

/// Longest certificate: a real one has about 600 bytes.
const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;
const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const PEM_END: &str = "-----END CERTIFICATE-----";

/// PCR8 of an image that was signed with this certificate.
#[must_use]
pub fn pcr8(certificate_der: &[u8]) -> Pcr {
    pcr_digest(digest(&SHA384, certificate_der).as_ref())
}

/// The builder's event over an image's signing certificate.
#[must_use]
pub fn draft(repo: &str, version: &str, certificate_der: &[u8], env: Env, now: UnixSecs) -> Draft {
    let tags = vec![
        tag!["-"],
        tag!["r", repo],
        tag!["v", version],
        tag!["cert", STANDARD.encode(certificate_der)],
        tag!["PCR8", pcr8(certificate_der)],
        tag!["t", env],
    ];
    Draft::new(BUILDER_SIGNATURE, tags, now)
}

/// Signs the builder's event over an image's signing certificate.
///
/// # Errors
/// [`SignError`].
pub fn build(
    keys: &Keys,
    repo: &str,
    version: &str,
    certificate_der: &[u8],
    env: Env,
    now: UnixSecs,
) -> Result<CheckedEvent, SignError> {
    draft(repo, version, certificate_der, env, now).sign(keys)
}

/// Reads a certificate in PEM and checks that an image signed with it will show `builder` as its
/// builder, as a client that verifies at `at` would.
///
/// # Errors
/// [`NecError::Builder`].
pub fn signing_certificate(pem: &str, builder: &PublicKey, at: UnixSecs) -> Result<Vec<u8>, NecError> {
    let der = certificate_der(pem)?;
    check_certificate(&der, builder, Form::Current, at)?;
    Ok(der)
}

/// Checks a builder's event against the document of the instance that shows it, and returns the
/// builder.
///
/// # Errors
/// [`NecError::Builder`].
pub(super) fn verify(
    event: &CheckedEvent,
    document: &VerifiedDocument,
    announced: &super::announcement::Claims<'_>,
    at: UnixSecs,
) -> Result<PublicKey, NecError> {
    let refuse = |why: &str| NecError::Builder(why.to_owned());
    if event.kind != announced.form.builder_kind() {
        return Err(NecError::Builder(format!("kind {} is not a builder's signature", event.kind)));
    }
    let tag = |name| tags::single(event, name).map_err(|e| NecError::Builder(e.problem()));
    let der = certificate_der(tag("cert")?.ok_or_else(|| refuse("it has no `cert` tag"))?)?;
    let attested = document.pcr(8).filter(|pcr| !pcr.is_zero());
    let attested = attested.ok_or_else(|| refuse("the attested image is not signed: PCR8 is empty"))?;
    if pcr8(&der) != attested {
        return Err(refuse("the certificate is not the one that signed the attested image"));
    }
    if tag("PCR8")?.is_some_and(|text| text != attested.to_string()) {
        return Err(refuse("its `PCR8` tag is not the attested one"));
    }
    check_certificate(&der, &event.pubkey, announced.form, at)?;
    announced.check_agrees(event).map_err(NecError::Builder)?;
    Ok(event.pubkey)
}

/// The tag's text is the body of a PEM file, with or without its first and last line.
fn certificate_der(text: &str) -> Result<Vec<u8>, NecError> {
    if text.len() > 2 * CERTIFICATE_BYTES_MAX {
        return Err(NecError::Builder("the certificate is too long".into()));
    }
    let body = text.trim();
    let body = body.strip_prefix(PEM_BEGIN).unwrap_or(body);
    let body = body.strip_suffix(PEM_END).unwrap_or(body);
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(body).map_err(|_| NecError::Builder("the certificate is not base64".into()))
}

fn check_certificate(der: &[u8], builder: &PublicKey, form: Form, at: UnixSecs) -> Result<(), NecError> {
    let refuse = |why: &str| NecError::Builder(why.to_owned());
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_| refuse("the certificate cannot be read"))?;
    if !rest.is_empty() {
        return Err(refuse("bytes follow the certificate"));
    }
    let key = certificate.public_key().subject_public_key.data.as_ref();
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, key)
        .verify(certificate.tbs_certificate.as_ref(), certificate.signature_value.data.as_ref())
        .map_err(|_| refuse("the certificate is not signed by its own P-384 key"))?;
    let subject = certificate.subject();
    if certificate.issuer().as_raw() != subject.as_raw() {
        return Err(refuse("the certificate is not its own issuer"));
    }
    let npub = builder.to_bech32().map_err(|_| refuse("the builder's key has no npub"))?;
    let names_builder = only(subject.iter_common_name(), subject) == Some(npub.as_str());
    // Deprecated by NEC-03, and still in the reference's older events.
    let names_builder_the_old_way =
        form == Form::Old && only(subject.iter_organizational_unit(), subject) == Some(npub.as_str());
    if !names_builder && !names_builder_the_old_way {
        return Err(refuse("the certificate does not name the signer of the event as its CN"));
    }
    if only(subject.iter_organization(), subject) != Some("Nostr") {
        return Err(refuse("the certificate is not made for Nostr: O must be \"Nostr\""));
    }
    let at = i64::try_from(at.0).unwrap_or(i64::MAX);
    let validity = certificate.validity();
    if at < validity.not_before.timestamp() || at > validity.not_after.timestamp() {
        return Err(refuse("the certificate is not valid at the time of verification"));
    }
    Ok(())
}

/// The text of an attribute that occurs exactly once.
fn only<'n>(
    mut attributes: impl Iterator<Item = &'n x509_parser::x509::AttributeTypeAndValue<'n>>,
    _name: &'n X509Name<'n>,
) -> Option<&'n str> {
    let first = attributes.next()?;
    if attributes.next().is_some() { None } else { first.as_str().ok() }
}

//! Certificates, kind 23797: a certified key vouches for the next one.

use nostr::key::{Keys, PublicKey};
use units::UnixSecs;

use super::{NecError, Policy, VerifiedRoot, tags};
use crate::event::{CheckedEvent, SignError, sign, tags_named};
use crate::kinds::CERTIFICATE;
use crate::tag;

/// Longest chain below the root that is followed: container, app, and what an app certifies.
const CHAIN_MAX: usize = 8;

/// What the service certifies of a container.
#[derive(Clone, Copy, Debug)]
pub struct ContainerClaims<'c> {
    /// `registry/repository@sha256:…`.
    pub image: &'c str,
    /// Hash of the launch manifest, hex; none for a built-in, whose image is all there is to say.
    pub manifest_sha256: Option<&'c str>,
    /// The owner may run commands in it: what it does is not its image's word alone.
    pub exec: bool,
}

/// The service certifies a container's key and what runs under it, until `expires_at`, which must not
/// lie after the end of the attestation.
///
/// # Errors
/// [`SignError`].
pub fn for_container(
    service: &Keys,
    container: &PublicKey,
    claims: ContainerClaims<'_>,
    expires_at: UnixSecs,
    now: UnixSecs,
) -> Result<CheckedEvent, SignError> {
    let mut tags = vec![
        tag!["p", container.to_hex(), "container"],
        tag!["r", format!("docker://{}", claims.image)],
        tag!["expiration", expires_at],
        tag!["alt", "enclaved container certificate"],
    ];
    if claims.exec {
        tags.push(tag!["exec", "owner"]);
    }
    tags.extend(claims.manifest_sha256.map(|hash| tag!["x", hash, "manifest"]));
    sign(service, CERTIFICATE, now, tags, String::new())
}

/// A container certifies a key of the app in it.
///
/// # Errors
/// [`SignError`].
pub fn for_app(
    container: &Keys,
    app: &PublicKey,
    expires_at: UnixSecs,
    now: UnixSecs,
) -> Result<CheckedEvent, SignError> {
    let tags = vec![
        tag!["p", app.to_hex(), "app"],
        tag!["expiration", expires_at],
        tag!["alt", "enclaved app certificate"],
    ];
    sign(container, CERTIFICATE, now, tags, String::new())
}

/// A chain that was verified, from the attestation to a key.
#[derive(Clone, Debug)]
pub struct VerifiedChain {
    root: VerifiedRoot,
    container: Option<CertifiedContainer>,
    subject: PublicKey,
    expires_at: UnixSecs,
}

/// A container that the service certified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertifiedContainer {
    /// The container's key.
    pub pubkey: PublicKey,
    /// `registry/repository@sha256:…`.
    pub image: String,
    /// Hash of the launch manifest, hex.
    pub manifest_sha256: Option<String>,
    /// The owner may run commands in it.
    pub exec: bool,
}

impl VerifiedChain {
    /// Verifies `root` and the certificates below it, in order, down to `subject`.
    ///
    /// A chain shows no release signatures: of the policy, the maintainers, their threshold, the
    /// repository and the version are not asked here. Who pins the code by its maintainers compares
    /// [`VerifiedRoot::document`] with that of a [`super::VerifiedInstance`].
    ///
    /// # Errors
    /// [`NecError`].
    pub fn verify(
        root: &CheckedEvent,
        certificates: &[CheckedEvent],
        subject: &PublicKey,
        policy: &Policy,
    ) -> Result<Self, NecError> {
        if certificates.len() > CHAIN_MAX {
            return Err(NecError::Event(format!("more than {CHAIN_MAX} certificates")));
        }
        let root = VerifiedRoot::verify(root, policy)?;
        policy.check_env(root.env())?;
        let mut expires_at = root.expires_at();
        let mut holder = root.service();
        let mut container = None;
        for (depth, certificate) in certificates.iter().enumerate() {
            let (next, until) = check_link(certificate, &holder, policy)?;
            if until > root.document().leaf_not_after() {
                return Err(NecError::event("a certificate claims to outlive the attestation"));
            }
            if depth == 0 {
                container = Some(read_container(certificate, next)?);
            }
            expires_at = expires_at.min(until);
            holder = next;
        }
        if holder != *subject {
            return Err(NecError::Key(format!("the last certificate is for {holder}, not for {subject}")));
        }
        Ok(Self { root, container, subject: holder, expires_at })
    }

    /// The attestation at the top.
    #[must_use]
    pub const fn root(&self) -> &VerifiedRoot {
        &self.root
    }

    /// The container on the way, if the chain goes through one.
    #[must_use]
    pub const fn container(&self) -> Option<&CertifiedContainer> {
        self.container.as_ref()
    }

    /// The key at the bottom.
    #[must_use]
    pub const fn subject(&self) -> PublicKey {
        self.subject
    }

    /// When the first link of it ends.
    #[must_use]
    pub const fn expires_at(&self) -> UnixSecs {
        self.expires_at
    }
}

fn check_link(
    certificate: &CheckedEvent,
    holder: &PublicKey,
    policy: &Policy,
) -> Result<(PublicKey, UnixSecs), NecError> {
    if certificate.kind != CERTIFICATE {
        return Err(NecError::Event(format!(
            "`tee_cert` is of kind {}, not {CERTIFICATE}",
            certificate.kind
        )));
    }
    if certificate.pubkey != *holder {
        return Err(NecError::Key(format!("a certificate is by {}, not by {holder}", certificate.pubkey)));
    }
    let mut subjects = tags_named(certificate, "p");
    let subject = subjects.next().and_then(|tag| PublicKey::from_hex(tag.get(1)?).ok());
    let Some(subject) = subject.filter(|_| subjects.next().is_none()) else {
        return Err(NecError::event("a certificate must name exactly one key in its `p` tag"));
    };
    let until = tags::expiration(certificate, "a certificate")?;
    if policy.at > until {
        return Err(NecError::Expired { what: "a certificate", until });
    }
    Ok((subject, until))
}

fn read_container(certificate: &CheckedEvent, pubkey: PublicKey) -> Result<CertifiedContainer, NecError> {
    let image = tags::single(certificate, "r")?.and_then(|r| r.strip_prefix("docker://"));
    let digest = image.and_then(|image| image.rsplit_once("@sha256:")).map(|(_, digest)| digest);
    let Some(image) = image.filter(|_| digest.is_some_and(tags::is_sha256_hex)) else {
        return Err(NecError::event("the container's certificate does not name an image by its digest"));
    };
    let manifest_sha256 = tags::marked(certificate, "x", "manifest")?.map(ToOwned::to_owned);
    if manifest_sha256.as_deref().is_some_and(|hash| !tags::is_sha256_hex(hash)) {
        return Err(NecError::event("the hash of the launch manifest in a certificate is no SHA-256"));
    }
    // Whatever the tag says: one that we do not know is no reassurance.
    let exec = tags_named(certificate, "exec").next().is_some();
    Ok(CertifiedContainer { pubkey, image: image.to_owned(), manifest_sha256, exec })
}

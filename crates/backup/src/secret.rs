//! The disk secret, and the keys that come of it.

use std::fmt;
use std::str::FromStr;

use age::x25519::{Identity, Recipient};
use aws_lc_rs::{hkdf, hmac};
use bech32::{Bech32, Hrp};
use protocol::parent::backup::InstanceId;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::source::SourceName;

/// Separates what we derive from whatever else may be derived from the same secret.
const SALT: &[u8] = b"enclaved/disk-secret/v1";
const LABEL_IDENTITY: &[u8] = b"age-identity";
const LABEL_MAC: &[u8] = b"manifest-mac";
const LABEL_NAMING: &[u8] = b"chunk-name";
const LABEL_INSTANCE: &[u8] = b"instance-id";
/// Bech32 prefix of an X25519 identity (age-encryption.org/v1, "X25519 recipient type").
const IDENTITY_PREFIX: &str = "age-secret-key-";

/// 32 random bytes that open an instance's backups. The key stores keep them for attested builds;
/// nobody else ever sees them, or anything by which a backup could be made in their name.
#[derive(Clone)]
pub struct DiskSecret(Zeroizing<[u8; 32]>);

impl DiskSecret {
    /// The secret with these bytes, which come from the NSM or from a key store.
    #[must_use]
    pub const fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The bytes, for a key store.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DiskSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskSecret(…)")
    }
}

/// Keys cannot be derived: a fault of the cryptographic library.
#[derive(Clone, Copy, Debug, Error)]
#[error("no keys can be derived from the disk secret")]
pub struct DeriveError;

/// What is derived from a disk secret. The recipient is as secret as the identity: whoever has it
/// could seal what we would open.
pub(crate) struct Keys {
    identity: Identity,
    recipient: Recipient,
    mac: hmac::Key,
    naming: Zeroizing<[u8; 32]>,
    instance: InstanceId,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Keys {
    pub(crate) fn derive(secret: &DiskSecret) -> Result<Self, DeriveError> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret.expose());
        let identity = Identity::from_str(&identity_text(&prk)?).map_err(|_| DeriveError)?;
        let mac: Zeroizing<[u8; 32]> = expand(&prk, LABEL_MAC)?;
        let instance: Zeroizing<[u8; 16]> = expand(&prk, LABEL_INSTANCE)?;
        Ok(Self {
            recipient: identity.to_public(),
            identity,
            mac: hmac::Key::new(hmac::HMAC_SHA256, &*mac),
            naming: expand(&prk, LABEL_NAMING)?,
            instance: InstanceId(*instance),
        })
    }

    pub(crate) const fn instance(&self) -> InstanceId {
        self.instance
    }

    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) const fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// What a manifest is authenticated with.
    pub(crate) const fn mac(&self) -> &hmac::Key {
        &self.mac
    }

    /// What the chunks of a source are named with.
    pub(crate) fn naming(&self, source: &SourceName) -> SourceNaming {
        let key = blake3::keyed_hash(&self.naming, source.as_str().as_bytes());
        SourceNaming(Zeroizing::new(key.into()))
    }
}

/// The key that names the chunks of one source: keyed BLAKE3 of the source's name.
pub(crate) struct SourceNaming(Zeroizing<[u8; 32]>);

impl fmt::Debug for SourceNaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceNaming(…)")
    }
}

impl SourceNaming {
    pub(crate) fn key(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The identity as age writes it: the library takes no other form.
fn identity_text(prk: &hkdf::Prk) -> Result<Zeroizing<String>, DeriveError> {
    let bytes: Zeroizing<[u8; 32]> = expand(prk, LABEL_IDENTITY)?;
    let prefix = Hrp::parse(IDENTITY_PREFIX).map_err(|_| DeriveError)?;
    // Room for all of it, so that growing leaves no copy behind.
    let mut text = Zeroizing::new(String::with_capacity(96));
    bech32::encode_upper_to_fmt::<Bech32, String>(&mut text, prefix, &*bytes).map_err(|_| DeriveError)?;
    Ok(text)
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(prk: &hkdf::Prk, label: &[u8]) -> Result<Zeroizing<[u8; N]>, DeriveError>
where
    [u8; N]: Zeroize,
{
    let mut bytes = Zeroizing::new([0; N]);
    let labels = [label];
    let okm = prk.expand(&labels, Length(N)).map_err(|_| DeriveError)?;
    okm.fill(bytes.as_mut_slice()).map_err(|_| DeriveError)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret;

    use super::*;

    fn keys(byte: u8) -> Keys {
        Keys::derive(&DiskSecret::new(Zeroizing::new([byte; 32]))).unwrap()
    }

    /// Pinned: another derivation would lock every instance out of its own backups. The values were
    /// made with Python's hmac and with `age-keygen -y`.
    #[test]
    fn derived_keys_are_pinned() {
        let keys = keys(7);
        assert_eq!(keys.instance().to_string(), "32113b9f97c19a8ed686c0a436daab54");
        assert_eq!(
            keys.recipient().to_string(),
            "age15d9zrgyjl8jgcy8u0sd6l830gpmny42q527phmmmdj2jvurt7asqs8equs"
        );
        assert_eq!(
            hex::encode(hmac::sign(keys.mac(), b"x")),
            "5a4cf863300a4f82ca4d443dbb63f73abf895a146920c603e95fb4425e982ce2"
        );
        assert_eq!(
            hex::encode(*keys.naming),
            "f30e928bbb2b45413b76c72a36b36253ece4006185d5a75143d3d94d5ed59cdb"
        );
    }

    /// Pinned: by other keys, every chunk would be sent again. The value was made by BLAKE3 written anew in
    /// Python from its specification.
    #[test]
    fn names_of_sources_have_keys_of_their_own() {
        let key = |source: &str| {
            let source = SourceName::try_from(source.to_owned()).unwrap();
            hex::encode(keys(7).naming(&source).key())
        };
        assert_eq!(key("volumes/a"), "4ef6db99bdd495611ef188817b9382184aa5260ea3cf827515ec8212918e822c");
        assert_ne!(key("volumes/a"), key("volumes/b"));
    }

    #[test]
    fn secrets_differ_and_do_not_print() {
        assert_ne!(keys(1).instance(), keys(2).instance());
        let shown = format!("{:?} {:?}", keys(7), DiskSecret::new(Zeroizing::new([7; 32])));
        let secret = keys(7).identity().to_string();
        assert!(!shown.contains("age1") && !shown.contains(secret.expose_secret()), "{shown}");
        assert!(!shown.contains("[7, 7"), "{shown}");
    }
}

//! The people and machines behind the events of these tests. Their Nostr keys are fixed; those of
//! certificates are made anew for every run.

use attestation_sim::SimRoot;
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, date_time_ymd,
};
use units::UnixSecs;

/// When everything is made and judged, unless it has to be now.
pub(crate) const NOW: UnixSecs = UnixSecs(1_750_000_000);
pub(crate) const REPO: &str = "https://example.com/enclaved";
pub(crate) const VERSION: &str = "1.2.3";
pub(crate) const IMAGE: &str = "registry.example/echo@sha256:\
                                cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

/// Everybody.
pub(crate) struct Stage {
    pub(crate) now: UnixSecs,
    pub(crate) root: SimRoot,
    pub(crate) service: Keys,
    pub(crate) builder: Keys,
    pub(crate) launcher: Keys,
    pub(crate) maintainers: [Keys; 2],
    pub(crate) container: Keys,
    pub(crate) app: Keys,
    pub(crate) owner: Keys,
    pub(crate) stranger: Keys,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::at(NOW)
    }

    pub(crate) fn at(now: UnixSecs) -> Self {
        Self {
            now,
            root: SimRoot::generate().unwrap(),
            service: key(1),
            builder: key(2),
            launcher: key(3),
            maintainers: [key(4), key(5)],
            container: key(6),
            app: key(7),
            owner: key(8),
            stranger: key(9),
        }
    }

    /// The certificate with which the builder signs an image, spoilt.
    pub(crate) fn certificate(&self, spoil: impl FnOnce(&mut Signing)) -> Vec<u8> {
        let mut signing = Signing {
            names: vec![
                (DnType::CommonName, npub(&self.builder)),
                (DnType::OrganizationName, "Nostr".to_owned()),
            ],
            issuer_names: None,
            years: (2024, 2030),
            is_p256: false,
            by_another_key: false,
        };
        spoil(&mut signing);
        signing.der()
    }
}

/// What a signing certificate says.
pub(crate) struct Signing {
    pub(crate) names: Vec<(DnType, String)>,
    pub(crate) issuer_names: Option<Vec<(DnType, String)>>,
    /// From the first of January to the first of January.
    pub(crate) years: (i32, i32),
    pub(crate) is_p256: bool,
    pub(crate) by_another_key: bool,
}

impl Signing {
    fn der(self) -> Vec<u8> {
        let algorithm = if self.is_p256 { &PKCS_ECDSA_P256_SHA256 } else { &PKCS_ECDSA_P384_SHA384 };
        let params = |names: &[(DnType, String)]| {
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            for (name, value) in names {
                params.distinguished_name.push(name.clone(), value.as_str());
            }
            params.not_before = date_time_ymd(self.years.0, 1, 1);
            params.not_after = date_time_ymd(self.years.1, 1, 1);
            params
        };
        let key = KeyPair::generate_for(algorithm).unwrap();
        let other = KeyPair::generate_for(algorithm).unwrap();
        let signer = if self.by_another_key { &other } else { &key };
        let issuer = params(self.issuer_names.as_ref().unwrap_or(&self.names));
        let signed = params(&self.names).signed_by(&key, &Issuer::from_params(&issuer, signer));
        signed.unwrap().der().to_vec()
    }
}

/// A second attribute of the same name: a certificate may have any number.
pub(crate) fn second_common_name() -> DnType {
    DnType::CustomDnType(vec![2, 5, 4, 3])
}

pub(crate) fn npub(keys: &Keys) -> String {
    keys.public_key().to_bech32().unwrap()
}

fn key(seed: u8) -> Keys {
    Keys::parse(&hex::encode([seed; 32])).unwrap()
}

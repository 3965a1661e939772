//! Certificates as they are described before they are issued.

use std::time::Duration;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, Issuer, KeyUsagePurpose};
use units::UnixSecs;

use crate::{IssueError, SimKey};

/// Who issues, in every subject's name: nobody mistakes it for AWS.
const ORGANISATION: &str = "enclaved";
const UNIT: &str = "simulation";

/// id-ce-basicConstraints (RFC 5280 §4.2.1.9).
const OID_BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];

/// What a certificate will say. Every field may be set to what no honest authority would issue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateSpec {
    /// The subject's common name.
    pub common_name: String,
    /// The issuer's common name, if it is not to be the one of the certificate above.
    pub issuer_common_name: Option<String>,
    /// The first second of its validity.
    pub not_before: UnixSecs,
    /// The last second of its validity.
    pub not_after: UnixSecs,
    /// The extension that makes it an authority, or says that it is none; critical.
    pub basic_constraints: Option<BasicConstraints>,
    /// What the key may do; critical. Without any, the extension is left out.
    pub key_uses: Vec<KeyUse>,
    /// Further extensions: object identifier, criticality, DER of the value.
    pub extensions: Vec<(Vec<u64>, bool, Vec<u8>)>,
}

/// The extension of the same name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BasicConstraints {
    /// True for an authority.
    pub is_authority: bool,
    /// How many authorities may follow.
    pub path_length: Option<u8>,
}

/// The uses of a key that matter in the chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyUse {
    /// Signing documents.
    DigitalSignature,
    /// Signing certificates.
    CertificateSigning,
}

impl CertificateSpec {
    /// An authority over at most `path_length` authorities, or over any number.
    #[must_use]
    pub fn authority(
        common_name: impl Into<String>,
        path_length: Option<u8>,
        not_before: UnixSecs,
        not_after: UnixSecs,
    ) -> Self {
        Self {
            common_name: common_name.into(),
            issuer_common_name: None,
            not_before,
            not_after,
            basic_constraints: Some(BasicConstraints { is_authority: true, path_length }),
            key_uses: vec![KeyUse::CertificateSigning],
            extensions: Vec::new(),
        }
    }

    /// The certificate of a key that signs documents.
    #[must_use]
    pub fn leaf(common_name: impl Into<String>, not_before: UnixSecs, not_after: UnixSecs) -> Self {
        Self {
            basic_constraints: Some(BasicConstraints { is_authority: false, path_length: None }),
            key_uses: vec![KeyUse::DigitalSignature],
            ..Self::authority(common_name, None, not_before, not_after)
        }
    }

    /// Issues the certificate for `key`, signed by `issuer` and its key.
    pub(crate) fn issue(
        &self,
        key: &SimKey,
        issuer: &Self,
        issuer_key: &SimKey,
    ) -> Result<Vec<u8>, IssueError> {
        let mut issuer_params = issuer.params()?;
        if let Some(other) = &self.issuer_common_name {
            issuer_params.distinguished_name = name(other);
        }
        let issuer = Issuer::from_params(&issuer_params, issuer_key.for_certificates());
        match self.params()?.signed_by(key.for_certificates(), &issuer) {
            Ok(certificate) => Ok(certificate.der().to_vec()),
            Err(source) => Err(IssueError::Certificate { common_name: self.common_name.clone(), source }),
        }
    }

    fn params(&self) -> Result<CertificateParams, IssueError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&self.common_name);
        let out_of_range = |moment: UnixSecs| move || IssueError::Time { secs: moment.0 };
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let date = |moment: UnixSecs| epoch.checked_add(Duration::from_secs(moment.0).try_into().ok()?);
        params.not_before = date(self.not_before).ok_or_else(out_of_range(self.not_before))?;
        params.not_after = date(self.not_after).ok_or_else(out_of_range(self.not_after))?;
        params.key_usages = self.key_uses.iter().map(|usage| usage.purpose()).collect();
        let constraints = self.basic_constraints.map(|it| (OID_BASIC_CONSTRAINTS.to_vec(), true, it.der()));
        params.custom_extensions = constraints
            .iter()
            .chain(&self.extensions)
            .map(|(oid, is_critical, value)| {
                let mut extension = CustomExtension::from_oid_content(oid, value.clone());
                extension.set_criticality(*is_critical);
                extension
            })
            .collect();
        Ok(params)
    }
}

impl BasicConstraints {
    /// The value's DER, written here because a library would not write a false one.
    fn der(self) -> Vec<u8> {
        let flag: &[u8] = if self.is_authority { &[0x01, 0x01, 0xff] } else { &[] };
        // Below 128, so that one byte holds it as a signed integer; larger ones are cut to that.
        let length = self.path_length.map(|length| [0x02, 0x01, length.min(0x7f)]);
        let length = length.as_ref().map_or(&[][..], |bytes| &bytes[..]);
        let size = u8::try_from(flag.len() + length.len()).unwrap_or(u8::MAX);
        [&[0x30, size][..], flag, length].concat()
    }
}

impl KeyUse {
    const fn purpose(self) -> KeyUsagePurpose {
        match self {
            Self::DigitalSignature => KeyUsagePurpose::DigitalSignature,
            Self::CertificateSigning => KeyUsagePurpose::KeyCertSign,
        }
    }
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, ORGANISATION);
    name.push(DnType::OrganizationalUnitName, UNIT);
    name.push(DnType::CommonName, common_name);
    name
}

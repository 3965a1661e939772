//! Roots that look like the trusted one and are not.

use attestation_sim::SimRoot;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384, SerialNumber, date_time_ymd,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Another root with the name of the trusted one, as everybody can make it.
pub(crate) fn of_the_same_name() -> SimRoot {
    SimRoot::generate().unwrap()
}

/// Another root with the name and the serial number of the trusted one.
pub(crate) fn of_the_same_serial(trusted: &SimRoot) -> SimRoot {
    let (_, certificate) = X509Certificate::from_der(trusted.der()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    drop(SimRoot::load_or_create(dir.path()).unwrap());
    let pkcs8 = std::fs::read(dir.path().join("sim-root.key")).unwrap();
    let key =
        KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.as_slice().into(), &PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(certificate.raw_serial()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = date_time_ymd(2019, 10, 28);
    params.not_after = date_time_ymd(2049, 10, 28);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "enclaved");
    params.distinguished_name.push(DnType::OrganizationalUnitName, "simulation");
    params.distinguished_name.push(DnType::CommonName, "sim.nitro-enclaves");
    let der = params.self_signed(&key).unwrap().der().to_vec();
    std::fs::write(dir.path().join("sim-root.der"), der).unwrap();
    SimRoot::load_or_create(dir.path()).unwrap()
}

//! Every rule of the certificate path, broken one at a time.

use attestation::{ChainError, ChainProblem, PayloadProblem, VerifyError};
use attestation_sim::{BasicConstraints, CertificateSpec, ChainSpec, Forge, IssuedChain, KeyUse};

use crate::support::{NOW, ROOT, forged, verdict, with_certificates};

/// Places in the chain.
const REGION: usize = 1;
const ZONE: usize = 2;
const INSTANCE: usize = 3;
const LEAF: usize = 4;

/// id-ce-basicConstraints, id-ce-keyUsage, id-ce-nameConstraints, and one that nobody has defined.
const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];
const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];
const NAME_CONSTRAINTS: [u64; 4] = [2, 5, 29, 30];
const UNKNOWN: [u64; 5] = [1, 3, 6, 1, 99_999];

fn at(spec: &mut ChainSpec, index: usize) -> &mut CertificateSpec {
    if index == LEAF { &mut spec.leaf } else { &mut spec.authorities[index - 1] }
}

/// The verdict on a chain in which the certificate at `index` is changed.
fn check(index: usize, change: impl FnOnce(&mut CertificateSpec), expected: Result<(), ChainProblem>) {
    let found = verdict(&forged(|forge| change(at(&mut forge.chain, index)))).map(drop);
    let expected = expected.map_err(|problem| VerifyError::ChainUntrusted(ChainError { index, problem }));
    assert_eq!(found, expected, "certificate {index}");
}

fn constraints(is_authority: bool, path_length: Option<u8>) -> Option<BasicConstraints> {
    Some(BasicConstraints { is_authority, path_length })
}

#[test]
fn the_chain_of_five_is_trusted() {
    let document = verdict(&forged(|_| {})).unwrap();
    assert_eq!(document.leaf_not_before(), NOW.minus_secs(3));
    assert_eq!(document.leaf_not_after(), NOW.plus_secs(10_800));
    assert!(!document.is_under_aws_root());
}

#[test]
fn chains_of_any_depth_within_the_bound_are_trusted() {
    let deep = |authorities: usize| {
        forged(|forge| {
            let template = forge.chain.authorities[0].clone();
            let authority = |number| CertificateSpec {
                common_name: format!("authority {number}"),
                basic_constraints: constraints(true, None),
                ..template.clone()
            };
            forge.chain.authorities = (0..authorities).map(authority).collect();
        })
    };
    for authorities in [0, 1, 8, 15] {
        assert!(verdict(&deep(authorities)).is_ok(), "{authorities}");
    }
    let problem = PayloadProblem::Length { length: 17 };
    let expected = VerifyError::PayloadMalformed { field: "cabundle", problem };
    assert_eq!(verdict(&deep(16)).map(drop), Err(expected));
}

#[test]
fn an_authority_must_be_one() {
    for index in [REGION, ZONE, INSTANCE] {
        let not_one = || Err(ChainProblem::NotAnAuthority);
        check(index, |it| it.basic_constraints = None, not_one());
        check(index, |it| it.basic_constraints = constraints(false, None), not_one());
        let usage = || Err(ChainProblem::KeyUsage { needed: "keyCertSign" });
        check(index, |it| it.key_uses = vec![], usage());
        check(index, |it| it.key_uses = vec![KeyUse::DigitalSignature], usage());
        check(index, |it| it.key_uses.push(KeyUse::DigitalSignature), Ok(()));
    }
}

#[test]
fn path_lengths_bound_what_follows() {
    for (index, below) in [(REGION, 2), (ZONE, 1), (INSTANCE, 0)] {
        for length in 0..4 {
            let limit = usize::from(length);
            let expected =
                if below > limit { Err(ChainProblem::PathLength { limit, below }) } else { Ok(()) };
            check(index, |it| it.basic_constraints = constraints(true, Some(length)), expected);
        }
        check(index, |it| it.basic_constraints = constraints(true, None), Ok(()));
    }
}

#[test]
fn a_leaf_must_not_be_an_authority() {
    let authority = || Err(ChainProblem::LeafIsAuthority);
    check(LEAF, |it| it.basic_constraints = constraints(true, None), authority());
    check(LEAF, |it| it.basic_constraints = constraints(true, Some(0)), authority());
    check(LEAF, |it| it.basic_constraints = constraints(false, Some(0)), authority());
    check(LEAF, |it| it.key_uses.push(KeyUse::CertificateSigning), authority());
    check(LEAF, |it| it.basic_constraints = None, Ok(()));
    let usage = || Err(ChainProblem::KeyUsage { needed: "digitalSignature" });
    check(LEAF, |it| it.key_uses = vec![], usage());
}

#[test]
fn critical_extensions_must_be_known() {
    let null = vec![0x05, 0x00];
    let refused = |oid: &str| Err(ChainProblem::UnknownCritical { oid: oid.to_owned() });
    for index in [REGION, ZONE, INSTANCE, LEAF] {
        let add = |oid: &[u64], is_critical| {
            let extension = (oid.to_vec(), is_critical, null.clone());
            move |it: &mut CertificateSpec| it.extensions.push(extension)
        };
        check(index, add(&UNKNOWN, true), refused("1.3.6.1.99999"));
        check(index, add(&NAME_CONSTRAINTS, true), refused("2.5.29.30"));
        check(index, add(&UNKNOWN, false), Ok(()));
    }
}

#[test]
fn extensions_must_be_unique_and_whole() {
    let add = |oid: &[u64], value: &[u8]| {
        let extension = (oid.to_vec(), true, value.to_vec());
        move |it: &mut CertificateSpec| it.extensions.push(extension)
    };
    let twice = |oid: &str| Err(ChainProblem::DuplicateExtension { oid: oid.to_owned() });
    check(INSTANCE, add(&BASIC_CONSTRAINTS, &[0x30, 0x03, 0x01, 0x01, 0xff]), twice("2.5.29.19"));
    check(LEAF, add(&KEY_USAGE, &[0x03, 0x02, 0x07, 0x80]), twice("2.5.29.15"));
    let replace = |value: &'static [u8]| {
        move |it: &mut CertificateSpec| {
            it.basic_constraints = None;
            it.extensions.push((BASIC_CONSTRAINTS.to_vec(), true, value.to_vec()));
        }
    };
    check(INSTANCE, replace(&[0x30, 0x03, 0x01, 0x01, 0xff]), Ok(()));
    for broken in
        [&[0x30, 0x03, 0x01, 0x01, 0xff, 0x00][..], &[0x30, 0x04, 0x01, 0x01, 0xff], &[0x04, 0x00], &[]]
    {
        check(INSTANCE, replace(broken), Err(ChainProblem::NotX509));
        // Unreadable is not absent: a leaf without the extension would pass.
        check(LEAF, replace(broken), Err(ChainProblem::NotX509));
    }
}

#[test]
fn names_must_chain() {
    for index in [REGION, ZONE, INSTANCE, LEAF] {
        check(index, |it| it.issuer_common_name = Some("somebody".to_owned()), Err(ChainProblem::IssuerName));
    }
}

fn issued() -> IssuedChain {
    Forge::at(NOW).chain.issue(&ROOT).unwrap()
}

/// The problem found in a document with these certificates.
fn problem(chain: &IssuedChain, certificate: &[u8], cabundle: &[Vec<u8>]) -> (usize, ChainProblem) {
    match verdict(&with_certificates(chain, certificate, cabundle)) {
        Err(VerifyError::ChainUntrusted(ChainError { index, problem })) => (index, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_certificate_must_be_signed_by_the_one_above() {
    // Two chains with the same names: only the keys differ.
    let (chain, other) = (issued(), issued());
    let found = problem(&chain, other.certificate(), chain.cabundle());
    assert_eq!(found, (LEAF, ChainProblem::Signature));
    for (index, expected) in [(REGION, ZONE), (ZONE, ZONE), (INSTANCE, INSTANCE)] {
        let mut cabundle = chain.cabundle().to_vec();
        cabundle[index] = other.cabundle()[index].clone();
        assert_eq!(problem(&chain, chain.certificate(), &cabundle), (expected, ChainProblem::Signature));
    }
}

#[test]
fn the_bundle_must_begin_with_the_root_and_keep_its_order() {
    let chain = issued();
    let bundle = chain.cabundle();
    let mut reversed = bundle.to_vec();
    reversed.reverse();
    assert_eq!(problem(&chain, chain.certificate(), &reversed), (0, ChainProblem::NotTheRoot));
    assert_eq!(problem(&chain, chain.certificate(), &bundle[1..]), (0, ChainProblem::NotTheRoot));
    let gap = [&bundle[..ZONE], &bundle[INSTANCE..]].concat();
    assert_eq!(problem(&chain, chain.certificate(), &gap), (ZONE, ChainProblem::IssuerName));
    let swapped = [bundle[0].clone(), bundle[2].clone(), bundle[1].clone(), bundle[3].clone()];
    assert_eq!(problem(&chain, chain.certificate(), &swapped).0, REGION);
    let twice = [&bundle[..1], bundle].concat();
    assert_eq!(problem(&chain, chain.certificate(), &twice), (REGION, ChainProblem::Repeated));
    // The leaf among the authorities, and alone: signed by itself, or by nobody.
    let with_leaf = [bundle, &[chain.certificate().to_vec()]].concat();
    let found = problem(&chain, chain.certificate(), &with_leaf);
    assert_eq!(found, (REGION, ChainProblem::PathLength { limit: 2, below: 3 }));
    let found = problem(&chain, chain.certificate(), &with_leaf[LEAF..]);
    assert_eq!(found, (0, ChainProblem::NotTheRoot));
    // The root as the leaf.
    assert_eq!(problem(&chain, &bundle[0], &bundle[..1]), (REGION, ChainProblem::LeafIsAuthority));
    // A root with the right name and another key.
    let impostor = attestation_sim::SimRoot::generate().unwrap();
    let theirs = Forge::at(NOW).chain.issue(&impostor).unwrap();
    let found = problem(&theirs, theirs.certificate(), theirs.cabundle());
    assert_eq!(found, (0, ChainProblem::NotTheRoot));
    let ours_on_top = [&bundle[..1], &theirs.cabundle()[1..]].concat();
    let found = problem(&theirs, theirs.certificate(), &ours_on_top);
    assert_eq!(found, (REGION, ChainProblem::Signature));
}

/// Replaces an occurrence of `from` in a certificate.
fn patched(der: &[u8], occurrence: usize, from: &[u8], to: &[u8]) -> Vec<u8> {
    let place = (0..der.len()).filter(|at| der[*at..].starts_with(from)).nth(occurrence).unwrap();
    [&der[..place], to, &der[place + from.len()..]].concat()
}

#[test]
fn certificates_must_have_the_form_of_the_pki() {
    const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let chain = issued();
    let good = chain.certificate();
    let cases: [(Vec<u8>, ChainProblem); 10] = [
        ([good, &[0]].concat(), ChainProblem::NotX509),
        (good[..good.len() - 1].to_vec(), ChainProblem::NotX509),
        (vec![0x30], ChainProblem::NotX509),
        // Version 3 is 2; then the signature's algorithm inside and outside of what is signed.
        (patched(good, 0, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 1]), ChainProblem::NotX509),
        (patched(good, 0, ECDSA_SHA384, ECDSA_SHA256), ChainProblem::SignatureAlgorithm),
        (patched(good, 1, ECDSA_SHA384, ECDSA_SHA256), ChainProblem::SignatureAlgorithm),
        // The key's type, its curve, and the encoding of its point.
        (
            patched(good, 0, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 2]),
            ChainProblem::KeyType,
        ),
        (patched(good, 0, &[0x2b, 0x81, 4, 0, 34], &[0x2b, 0x81, 4, 0, 35]), ChainProblem::KeyType),
        (patched(good, 0, &[0x03, 0x62, 0, 4], &[0x03, 0x62, 0, 6]), ChainProblem::KeyType),
        (patched(good, 0, b"region.sim", b"rogue!.sim"), ChainProblem::IssuerName),
    ];
    for (certificate, expected) in cases {
        let found = problem(&chain, &certificate, chain.cabundle());
        assert_eq!(found, (LEAF, expected), "{}", hex::encode(certificate));
    }
}

/// A chain whose leaf has an even byte there: the end of a BIT STRING, whose last bit may then be called
/// unused.
fn issued_even(of: impl Fn(&[u8]) -> usize) -> IssuedChain {
    let is_even = |chain: &IssuedChain| chain.certificate()[of(chain.certificate())].is_multiple_of(2);
    // One in two is: that none of so many is does not happen.
    (0..128).map(|_| issued()).find(is_even).unwrap()
}

fn place(der: &[u8], of: &[u8]) -> usize {
    der.windows(of.len()).position(|window| window == of).unwrap()
}

/// The algorithm of a certificate's signature: ecdsa-with-SHA384, without parameters.
const ALGORITHM: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];

/// The end of the algorithm that stands outside of what is signed, the last of two.
fn after_algorithm(der: &[u8]) -> usize {
    let is_one = |at: &usize| der[*at..].starts_with(ALGORITHM);
    (0..der.len()).rev().find(is_one).unwrap() + ALGORITHM.len()
}

/// What stands outside of what an authority signed, or changes nothing that is read, must have one form.
#[test]
fn certificates_have_one_spelling() {
    // The signature's algorithm with parameters of null: outside, where nothing signs it.
    let chain = issued();
    let good = chain.certificate();
    let outside = after_algorithm(good);
    let (before, after) = good.split_at(outside);
    let mut with_null = [before, &[0x05, 0x00], after].concat();
    with_null[outside - ALGORITHM.len() + 1] += 2;
    // The certificate's own length, in two bytes.
    assert_eq!(with_null[..2], [0x30, 0x82]);
    let length = u16::try_from(with_null.len() - 4).unwrap();
    with_null[2..4].copy_from_slice(&length.to_be_bytes());
    let found = problem(&chain, &with_null, chain.cabundle());
    assert_eq!(found, (LEAF, ChainProblem::SignatureAlgorithm));

    // A signature with an unused bit.
    let chain = issued_even(|der| der.len() - 1);
    let mut unused = chain.certificate().to_vec();
    // Behind the algorithm: BIT STRING, its length, and how many bits of it are unused.
    let bits = after_algorithm(&unused);
    assert_eq!((unused[bits], unused[bits + 2]), (0x03, 0x00));
    unused[bits + 2] = 1;
    assert_eq!(problem(&chain, &unused, chain.cabundle()), (LEAF, ChainProblem::Signature));

    // A key with an unused bit.
    let key = |der: &[u8]| place(der, &[0x03, 0x62, 0x00, 0x04]);
    let chain = issued_even(|der| key(der) + 0x62 + 1);
    let mut unused = chain.certificate().to_vec();
    let at = key(&unused) + 2;
    unused[at] = 1;
    assert_eq!(problem(&chain, &unused, chain.cabundle()), (LEAF, ChainProblem::KeyType));
}

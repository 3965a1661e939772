use super::*;

/// A COSE_Sign1 of the given parts, around a signature of 96 zero bytes.
fn cose(prefix: &str, protected: &str, unprotected: &str, payload: &str, suffix: &str) -> Vec<u8> {
    let signature = format!("5860{}", "00".repeat(96));
    hex::decode([prefix, protected, unprotected, payload, &signature, suffix].concat()).unwrap()
}

fn check(document: &[u8], expected: Result<&[u8], CoseError>) {
    assert_eq!(CoseSign1::parse(document).map(|cose| cose.payload), expected, "{}", hex::encode(document));
}

const ES384: &str = "44a1013822";

#[test]
fn well_formed_documents_are_taken_apart() {
    for (prefix, protected, unprotected, payload, suffix) in [
        ("84", ES384, "a0", "4101", ""),
        ("d284", ES384, "a0", "4101", ""),
        ("9f", ES384, "bfff", "4101", "ff"),
        ("84", "45a101390022", "a0", "4101", ""),
        ("9804", "45bf013822ff", "b800", "580101", ""),
    ] {
        check(&cose(prefix, protected, unprotected, payload, suffix), Ok(&[1]));
    }
}

#[test]
fn the_largest_payload_is_taken() {
    let payload = vec![1; PAYLOAD_BYTES_MAX];
    let document = cose("84", ES384, "a0", &format!("594000{}", hex::encode(&payload)), "");
    check(&document, Ok(&payload));
    // Of a document of the largest size, only the form is wrong; of a larger one, the size.
    assert_eq!(CoseSign1::parse(&vec![0x84; DOCUMENT_BYTES_MAX]).map(drop), Err(WRONG_AT_1));
}

/// What is found where a byte string should begin and an array does.
const WRONG_AT_1: CoseError = CoseError::Cbor(CborError::WrongType { at: 1, expected: "a byte string" });

#[test]
fn another_form_is_refused_by_name() {
    let cases = [
        (cose("d184", ES384, "a0", "4101", ""), CoseError::Tag(17)),
        (cose("85", ES384, "a0", "4101", "00"), CoseError::NotFourItems),
        (cose("9f", ES384, "a0", "4101", "00ff"), CoseError::NotFourItems),
        (hex::decode("8344a1013822a04101").unwrap(), CoseError::NotFourItems),
        (cose("84", ES384, "a1013822", "4101", ""), CoseError::UnprotectedHeader),
        (cose("84", "40", "a0", "4101", ""), CoseError::ProtectedHeader),
        (cose("84", "41a0", "a0", "4101", ""), CoseError::ProtectedHeader),
        (cose("84", "44a1013823", "a0", "4101", ""), CoseError::ProtectedHeader),
        (cose("84", "44a1023822", "a0", "4101", ""), CoseError::ProtectedHeader),
        (cose("84", "45a101382200", "a0", "4101", ""), CoseError::ProtectedHeader),
        (cose("84", "47a2013822013822", "a0", "4101", ""), CoseError::ProtectedHeader),
        (cose("84", "46a20138220400", "a0", "4101", ""), CoseError::ProtectedHeader),
        (cose("84", ES384, "a0", "40", ""), CoseError::PayloadSize { length: 0 }),
        (
            cose("84", ES384, "a0", &format!("594001{}", "00".repeat(16_385)), ""),
            CoseError::PayloadSize { length: 16_385 },
        ),
        (vec![0x84; 16_641], CoseError::TooLarge { length: 16_641 }),
        (hex::decode("8444a1013822a041014130").unwrap(), CoseError::SignatureSize { length: 1 }),
        (cose("84", ES384, "a0", "4101", "00"), CoseError::Cbor(CborError::TrailingBytes { at: 107 })),
        (
            cose("84", ES384, "a0", "f6", ""),
            CoseError::Cbor(CborError::WrongType { at: 7, expected: "a byte string" }),
        ),
        (Vec::new(), CoseError::Cbor(CborError::UnexpectedEnd { at: 0 })),
    ];
    for (document, expected) in cases {
        check(&document, Err(expected));
    }
}

/// The digest of a Sig_structure put together by hand.
#[test]
fn signed_digest_is_that_of_the_sig_structure() {
    let payload = vec![7; 300];
    let by_hand = [&b"\x84\x6aSignature1\x44\xa1\x01\x38\x22\x40\x59\x01\x2c"[..], &payload].concat();
    let expected = aws_lc_rs::digest::digest(&SHA384, &by_hand);
    assert_eq!(signed_digest(&[0xa1, 0x01, 0x38, 0x22], &payload).as_ref(), expected.as_ref());
}

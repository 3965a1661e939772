//! Golden bytes. Each was put together by hand from the driver's enums: a variant without fields is its
//! name (text), one with fields a map of one entry whose value is a map, one with a value a map of one
//! entry; fields in the order of their declaration; optional ones as null.

use proptest::prelude::*;

use super::*;

/// Writes CBOR by hand: `"text"` is a text string, everything else hex.
fn bytes(notation: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, part) in notation.split('"').enumerate() {
        if at % 2 == 1 {
            out.push(0x60 + u8::try_from(part.len()).unwrap());
            out.extend_from_slice(part.as_bytes());
        } else {
            out.extend(hex::decode(part.replace(' ', "")).unwrap());
        }
    }
    out
}

#[test]
fn golden_requests() {
    for (request, notation) in [
        (NsmRequest::DescribeNsm, r#""DescribeNSM""#),
        (NsmRequest::GetRandom, r#""GetRandom""#),
        (NsmRequest::DescribePcr { index: 4 }, r#"a1 "DescribePCR" a1 "index" 04"#),
        (NsmRequest::LockPcr { index: 65_535 }, r#"a1 "LockPCR" a1 "index" 19ffff"#),
        (NsmRequest::LockPcrs { range: 32 }, r#"a1 "LockPCRs" a1 "range" 1820"#),
        (
            NsmRequest::ExtendPcr { index: 16, data: vec![1, 2] },
            r#"a1 "ExtendPCR" a2 "index" 10 "data" 420102"#,
        ),
        (
            NsmRequest::Attestation { user_data: None, nonce: Some(vec![]), public_key: Some(vec![7]) },
            r#"a1 "Attestation" a3 "user_data" f6 "nonce" 40 "public_key" 4107"#,
        ),
    ] {
        assert_eq!(hex::encode(request.encode()), hex::encode(bytes(notation)), "{notation}");
        assert_eq!(NsmRequest::decode(&bytes(notation)), Ok(request), "{notation}");
    }
}

/// The whole of one request once more, as a string to compare other implementations with.
#[test]
fn golden_attestation_request_in_hex() {
    let request = NsmRequest::Attestation {
        user_data: Some(b"data".to_vec()),
        nonce: Some(b"once".to_vec()),
        public_key: None,
    };
    let expected = "a16b4174746573746174696f6ea369757365725f646174614464617461656e6f6e6365446f6e63656a707562\
                    6c69635f6b6579f6";
    assert_eq!(hex::encode(request.encode()), expected);
}

#[test]
fn golden_responses() {
    let description = NsmResponse::DescribeNsm {
        version_major: 1,
        version_minor: 0,
        version_patch: 300,
        module_id: "i-1-enc2".to_owned(),
        max_pcrs: 32,
        locked_pcrs: BTreeSet::from([0, 24]),
        digest: NsmDigest::Sha384,
    };
    for (response, notation) in [
        (NsmResponse::LockPcr, r#""LockPCR""#),
        (NsmResponse::LockPcrs, r#""LockPCRs""#),
        (NsmResponse::DescribePcr { lock: true, data: vec![] }, r#"a1 "DescribePCR" a2 "lock" f5 "data" 40"#),
        (NsmResponse::ExtendPcr { data: vec![9] }, r#"a1 "ExtendPCR" a1 "data" 4109"#),
        (
            NsmResponse::Attestation { document: vec![0x84; 256] },
            &format!(r#"a1 "Attestation" a1 "document" 590100 {}"#, "84".repeat(256)),
        ),
        (NsmResponse::GetRandom { random: vec![1, 2, 3] }, r#"a1 "GetRandom" a1 "random" 43010203"#),
        (NsmResponse::Error(NsmErrorCode::InvalidArgument), r#"a1 "Error" "InvalidArgument""#),
        (
            description,
            r#"a1 "DescribeNSM" a7 "version_major" 01 "version_minor" 00 "version_patch" 19012c
               "module_id" "i-1-enc2" "max_pcrs" 1820 "locked_pcrs" 82 00 1818 "digest" "SHA384""#,
        ),
    ] {
        let golden = bytes(&notation.replace('\n', " "));
        assert_eq!(hex::encode(response.encode()), hex::encode(&golden), "{notation}");
        assert_eq!(NsmResponse::decode(&golden).map(|found| found == response), Ok(true), "{notation}");
    }
}

#[test]
fn every_code_and_digest_has_its_own_name() {
    for code in NsmErrorCode::ALL {
        let response = NsmResponse::Error(code);
        assert_eq!(NsmResponse::decode(&response.encode()), Ok(response));
    }
    let names: BTreeSet<_> = NsmDigest::ALL.into_iter().map(NsmDigest::name).collect();
    assert_eq!(names, BTreeSet::from(["SHA256", "SHA384", "SHA512"]));
}

/// Other implementations (QEMU's device, for one) order fields otherwise, and may know more of them.
#[test]
fn fields_are_known_by_name() {
    let swapped = bytes(r#"a1 "DescribePCR" bf "new" 82 01 a0 "data" 4105 "lock" f4 ff"#);
    assert!(NsmResponse::decode(&swapped) == Ok(NsmResponse::DescribePcr { lock: false, data: vec![5] }));
    let absent = NsmRequest::Attestation { user_data: None, nonce: None, public_key: None };
    assert_eq!(NsmRequest::decode(&bytes(r#"a1 "Attestation" a0"#)), Ok(absent));
    assert_eq!(NsmRequest::decode(&bytes(r#"a1 "GetRandom" f6"#)), Ok(NsmRequest::GetRandom));
}

#[test]
fn malformed_requests_are_refused() {
    let unknown = |name: &str| WireError::Unknown { name: name.to_owned() };
    for (notation, expected) in [
        (r#""Reboot""#, unknown("Reboot")),
        (r#"a1 "Reboot" a0"#, unknown("Reboot")),
        (r#""DescribePCR""#, WireError::NotOneEntry),
        (r#"a0"#, WireError::NotOneEntry),
        (r#"a2 "GetRandom" f6 "GetRandom" f6"#, WireError::NotOneEntry),
        (r#"a1 "DescribePCR" a0"#, WireError::Missing { field: "index" }),
        (r#"a1 "ExtendPCR" a1 "index" 00"#, WireError::Missing { field: "data" }),
        (r#"a1 "DescribePCR" a2 "index" 00 "index" 00"#, WireError::Duplicate { field: "index" }),
        (r#"a1 "DescribePCR" a1 "index" 1a00010000"#, CborError::OutOfRange { at: 20 }.into()),
        (r#""GetRandom" 00"#, CborError::TrailingBytes { at: 10 }.into()),
        (r#"a1 "GetRandom" f6 00"#, CborError::TrailingBytes { at: 12 }.into()),
        (
            r#"a1 "ExtendPCR" a2 "index" 00 "data" "text""#,
            CborError::WrongType { at: 24, expected: "a byte string" }.into(),
        ),
        ("", CborError::UnexpectedEnd { at: 0 }.into()),
        ("80", CborError::WrongType { at: 0, expected: "a map" }.into()),
    ] {
        assert_eq!(NsmRequest::decode(&bytes(notation)), Err(expected), "{notation}");
    }
}

#[test]
fn malformed_responses_are_refused() {
    let unknown = |name: &str| WireError::Unknown { name: name.to_owned() };
    for (notation, expected) in [
        (r#"a1 "Error" "Tired""#, unknown("Tired")),
        (r#""Error""#, WireError::NotOneEntry),
        (r#"a1 "DescribePCR" a1 "lock" f5"#, WireError::Missing { field: "data" }),
        (r#"a1 "GetRandom" a2 "random" 40 "random" 40"#, WireError::Duplicate { field: "random" }),
        (
            r#"a1 "DescribePCR" a1 "lock" 01"#,
            CborError::WrongType { at: 19, expected: "true or false" }.into(),
        ),
    ] {
        assert_eq!(NsmResponse::decode(&bytes(notation)), Err(expected), "{notation}");
    }
}

#[test]
fn random_bytes_are_not_printed() {
    let response = NsmResponse::GetRandom { random: vec![0xab; 4] };
    assert_eq!(format!("{response:?}"), "NsmResponse::GetRandom");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (NsmRequest::decode(&input), NsmResponse::decode(&input));
    }

    #[test]
    fn what_is_encoded_is_decoded(
        index in any::<u16>(),
        data in proptest::collection::vec(any::<u8>(), 0..300),
        user_data in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..30)),
    ) {
        let extend = NsmRequest::ExtendPcr { index, data: data.clone() };
        prop_assert_eq!(NsmRequest::decode(&extend.encode()), Ok(extend));
        let attest = NsmRequest::Attestation { user_data, nonce: None, public_key: Some(data.clone()) };
        prop_assert_eq!(NsmRequest::decode(&attest.encode()), Ok(attest));
        let random = NsmResponse::GetRandom { random: data };
        prop_assert_eq!(NsmResponse::decode(&random.encode()), Ok(random));
    }
}

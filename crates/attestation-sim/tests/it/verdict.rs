//! Signature, time and expectations.

use attestation::{Expectations, Pcr, TrustRoot, VerifyAt, VerifyError, decode_input, pcr_digest, verify};
use attestation_sim::{Forge, SimKey, image_pcrs, sign};
use units::{ManualClock, UnixSecs};

use crate::support::{NOW, ROOT, forged, verdict, verify_with};

fn code(result: Result<attestation::VerifiedDocument, VerifyError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "accepted")
}

fn at_ms(ms: u64) -> VerifyAt {
    VerifyAt::Millis(ms)
}

const NOW_MS: u64 = NOW.0 * 1_000;

#[test]
fn what_was_attested_is_what_is_verified() {
    let document = forged(|forge| {
        forge.payload.public_key = Some(vec![1; 1_024]);
        forge.payload.user_data = Some(vec![2; 1_024]);
        forge.payload.nonce = Some(vec![]);
        forge.payload.timestamp_ms = NOW_MS + 123;
    });
    let verified = verdict(&document).unwrap();
    assert_eq!(verified.module_id(), "i-0123456789abcdef0-enc0123456789abcdef");
    assert_eq!(verified.timestamp_ms(), NOW_MS + 123);
    assert_eq!(verified.public_key(), Some(&[1; 1_024][..]));
    assert_eq!(verified.user_data(), Some(&[2; 1_024][..]));
    assert_eq!(verified.nonce(), Some(&[][..]));
    let other = verdict(&forged(|forge| forge.payload.nonce = Some(vec![3; 20]))).unwrap();
    assert_eq!((other.public_key(), other.user_data(), other.nonce()), (None, None, Some(&[3; 20][..])));
    assert!(!verified.is_debug());
    assert_eq!(verified.pcrs().count(), 16);
    let image = image_pcrs("forged image");
    let expected = [image[0], image[1], image[2], Pcr::ZERO, pcr_digest(b"i-0123456789abcdef0")];
    for (index, expected) in (0..).zip(expected) {
        assert_eq!(verified.pcr(index), Some(expected), "PCR{index}");
    }
    assert_eq!(verified.pcr(16), None);
}

#[test]
fn simulated_documents_are_refused_under_the_aws_root() {
    let document = forged(|_| {});
    assert!(verdict(&document).is_ok());
    for at in [VerifyAt::DocumentTime, at_ms(NOW_MS)] {
        let found = verify(&document, &Expectations::none().allow_debug(true), &TrustRoot::aws(), at);
        assert_eq!(code(found), "chain_untrusted");
    }
}

#[test]
fn every_encoding_of_the_same_document_is_accepted() {
    let indefinite = forged(|_| {});
    let definite = forged(|forge| forge.payload.is_definite = true);
    let tagged = [&[0xd2], &indefinite[..]].concat();
    for document in [&indefinite, &definite, &tagged] {
        assert_eq!(code(verdict(document)), "accepted");
        assert_eq!(code(verdict(&decode_input(hex::encode(document).as_bytes()).unwrap())), "accepted");
    }
}

#[test]
fn the_signature_must_be_of_the_leafs_key_over_this_payload() {
    let forge = Forge::at(NOW);
    let chain = forge.chain.clone().issue(&ROOT).unwrap();
    let payload = forge.payload.encode(chain.certificate(), chain.cabundle());
    let good = sign(&payload, chain.leaf_key()).unwrap();
    assert_eq!(code(verdict(&good)), "accepted");
    let stranger = sign(&payload, &SimKey::generate().unwrap()).unwrap();
    assert_eq!(code(verdict(&stranger)), "signature_invalid");
    let mut later = forge.payload;
    later.timestamp_ms += 1;
    let other = sign(&later.encode(chain.certificate(), chain.cabundle()), chain.leaf_key()).unwrap();
    let transplanted = [&other[..other.len() - 96], &good[good.len() - 96..]].concat();
    assert_eq!(code(verdict(&transplanted)), "signature_invalid");
}

#[test]
fn certificates_have_no_leeway() {
    let document = forged(|_| {});
    let verified = verdict(&document).unwrap();
    let (begin, end) = (verified.leaf_not_before().0 * 1_000, verified.leaf_not_after().0 * 1_000);
    let check = |at, expected| {
        assert_eq!(code(verify_with(&document, &Expectations::none(), at_ms(at))), expected, "{at}");
    };
    check(NOW_MS, "accepted");
    check(begin - 1, "certificate_not_yet_valid");
    check(end, "accepted");
    check(end + 999, "accepted");
    check(end + 1_000, "certificate_expired");
    check(0, "certificate_not_yet_valid");
    check(u64::MAX, "certificate_expired");
}

#[test]
fn every_certificate_must_be_valid() {
    for place in 0..4 {
        let document = |change: fn(&mut attestation_sim::CertificateSpec)| {
            forged(|forge| match forge.chain.authorities.get_mut(place) {
                Some(authority) => change(authority),
                None => change(&mut forge.chain.leaf),
            })
        };
        let expired = verdict(&document(|it| it.not_after = NOW.minus_secs(1)));
        let not_after = NOW.minus_secs(1);
        let expected = VerifyError::CertificateExpired { index: place + 1, not_after, at: NOW };
        assert_eq!(expired.map(drop), Err(expected));
        let early = verdict(&document(|it| it.not_before = NOW.plus_secs(1)));
        let not_before = NOW.plus_secs(1);
        let expected = VerifyError::CertificateNotYetValid { index: place + 1, not_before, at: NOW };
        assert_eq!(early.map(drop), Err(expected));
        assert_eq!(code(verdict(&document(|it| (it.not_before, it.not_after) = (NOW, NOW)))), "accepted");
    }
}

#[test]
fn the_root_must_be_valid_too() {
    let at = |secs| verdict(&Forge::at(UnixSecs(secs)).document(&ROOT).unwrap()).map(drop);
    assert!(matches!(at(1_500_000_000), Err(VerifyError::CertificateNotYetValid { index: 0, .. })));
    assert!(matches!(at(2_600_000_000), Err(VerifyError::CertificateExpired { index: 0, .. })));
}

#[test]
fn a_timestamp_may_lie_two_seconds_ahead() {
    let document = forged(|_| {});
    let check = |at| code(verify_with(&document, &Expectations::none(), at_ms(at)));
    assert_eq!(check(NOW_MS - 2_000), "accepted");
    assert_eq!(check(NOW_MS - 2_001), "timestamp_invalid");
    let zero = forged(|forge| forge.payload.timestamp_ms = 0);
    assert_eq!(code(verdict(&zero)), "timestamp_invalid");
    assert_eq!(code(verify_with(&zero, &Expectations::none(), NOW.into())), "timestamp_invalid");
    let far = forged(|forge| forge.payload.timestamp_ms = u64::MAX);
    assert_eq!(code(verify_with(&far, &Expectations::none(), NOW.into())), "timestamp_invalid");
    assert_eq!(code(verdict(&far)), "certificate_expired");
}

#[test]
fn a_document_may_not_be_too_old() {
    let document = forged(|_| {});
    let check = |at, max_age_secs| {
        code(verify_with(&document, &Expectations::none().max_age_secs(max_age_secs), at_ms(at)))
    };
    assert_eq!(check(NOW_MS + 60_000, 60), "accepted");
    assert_eq!(check(NOW_MS + 60_001, 60), "too_old");
    assert_eq!(check(NOW_MS - 2_000, 0), "accepted");
    assert_eq!(check(NOW_MS + 1, 0), "too_old");
    assert_eq!(check(NOW_MS + 10_000_000, u64::MAX), "accepted");
    let clock = ManualClock::at(NOW.plus_secs(61));
    let now = VerifyAt::now(&clock);
    assert_eq!(code(verify_with(&document, &Expectations::none().max_age_secs(60), now)), "too_old");
}

#[test]
fn debug_mode_must_be_allowed() {
    let document = |zeroed: &[u64]| {
        forged(|forge| {
            for (index, value) in &mut forge.payload.pcrs {
                if zeroed.contains(index) {
                    value.fill(0);
                }
            }
        })
    };
    let debug = document(&[0, 1, 2]);
    assert_eq!(code(verdict(&debug)), "debug_mode");
    let allowed = Expectations::none().allow_debug(true);
    let verified = verify_with(&debug, &allowed, VerifyAt::DocumentTime).unwrap();
    assert!(verified.is_debug());
    // Pinning zeros is not allowing debug mode.
    let zeros = Expectations::none().pcrs((0..3).map(|index| (index, Pcr::ZERO))).unwrap();
    assert_eq!(code(verify_with(&debug, &zeros, VerifyAt::DocumentTime)), "debug_mode");
    assert_eq!(code(verify_with(&debug, &zeros.allow_debug(true), VerifyAt::DocumentTime)), "accepted");
    // Allowing debug mode changes nothing for others.
    assert!(!verify_with(&document(&[]), &allowed, VerifyAt::DocumentTime).unwrap().is_debug());
}

#[test]
fn every_expected_register_must_match() {
    let document = forged(|forge| forge.payload.pcrs[8].1 = vec![0; 32]);
    let image = image_pcrs("forged image");
    let check = |index, value| {
        let expectations = Expectations::none().pcr(0, image[0]).unwrap().pcr(index, value).unwrap();
        verify_with(&document, &expectations, VerifyAt::DocumentTime).map(drop)
    };
    assert_eq!(check(1, image[1]), Ok(()));
    let mismatch =
        |index, expected, found: Option<String>| Err(VerifyError::PcrMismatch { index, expected, found });
    assert_eq!(check(1, image[2]), mismatch(1, image[2], Some(image[1].to_string())));
    assert_eq!(check(16, Pcr::ZERO), mismatch(16, Pcr::ZERO, None));
    assert_eq!(check(8, Pcr::ZERO), mismatch(8, Pcr::ZERO, Some("00".repeat(32))));
}

#[test]
fn public_key_nonce_and_user_data_must_match() {
    let document = |value: Option<&[u8]>| {
        forged(|forge| {
            forge.payload.public_key = value.map(<[u8]>::to_vec);
            forge.payload.nonce = value.map(<[u8]>::to_vec);
            forge.payload.user_data = value.map(<[u8]>::to_vec);
        })
    };
    let expectations = [
        (Expectations::none().public_key(b"value").unwrap(), "public_key_mismatch"),
        (Expectations::none().nonce(b"value").unwrap(), "nonce_mismatch"),
        (Expectations::none().user_data(b"value").unwrap(), "user_data_mismatch"),
    ];
    for (expectation, mismatch) in expectations {
        for (value, expected) in [
            (Some(&b"value"[..]), "accepted"),
            (Some(b"other"), mismatch),
            (Some(b"value "), mismatch),
            (Some(b"valu"), mismatch),
            (Some(b""), mismatch),
            (None, mismatch),
        ] {
            let found = verify_with(&document(value), &expectation, VerifyAt::DocumentTime);
            assert_eq!(code(found), expected, "{value:?}");
        }
    }
}

/// What people read names the field and says what to do.
#[test]
fn errors_name_the_field_and_the_remedy() {
    let document = forged(|forge| forge.payload.public_key = Some(vec![1; 1_025]));
    let error = verdict(&document).unwrap_err();
    assert_eq!(error.code(), "payload_malformed");
    assert!(error.to_string().contains("`public_key`") && error.to_string().contains("ask"), "{error}");
    let expired = verify_with(&forged(|_| {}), &Expectations::none(), at_ms(NOW_MS + 11_000_000));
    let text = expired.unwrap_err().to_string();
    assert!(text.contains("1750010800") && text.contains("ask for a new document"), "{text}");
}

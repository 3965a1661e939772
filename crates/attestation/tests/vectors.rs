//! Real and broken documents, each with the verdict that its index states; see the crate `vectors`.
#![expect(clippy::unwrap_used, reason = "helpers of tests, outside of test functions")]

use attestation::{Expectations, TrustRoot, VerifiedDocument, VerifyAt, VerifyError, decode_input, verify};
use serde_json::Value;
use units::SystemClock;
use vectors::{collected_refusal, derived_verdict, folder, rows, text, unix_millis};

fn code(result: &Result<VerifiedDocument, VerifyError>) -> &'static str {
    result.as_ref().map_or_else(VerifyError::code, |_| "accepted")
}

/// Checks that what was verified is what the index says that the document holds.
fn assert_content(document: &VerifiedDocument, row: &Value) {
    assert_eq!(document.module_id(), text(row, "module_id"));
    assert_eq!(Some(document.timestamp_ms()), row["timestamp_ms"].as_u64());
    assert_eq!(Some(document.is_debug()), row["debug_zero_pcrs"].as_bool());
    for index in [0, 1, 2, 3, 4, 8, 16] {
        let found = document.pcr(index).map(|pcr| pcr.to_string());
        assert_eq!(found.as_deref(), row[format!("pcr{index}")].as_str(), "PCR{index}");
    }
    let indices: Vec<u64> = document.pcrs().map(|(index, _)| index.into()).collect();
    let expected: Vec<u64> = serde_json::from_value(row["pcr_indices"].clone()).unwrap();
    assert_eq!(indices, expected);
    for (field, found) in [
        ("public_key", document.public_key()),
        ("user_data", document.user_data()),
        ("nonce", document.nonce()),
    ] {
        assert_eq!(found.map(|bytes| bytes.len() as u64), row[field]["len"].as_u64(), "{field}");
        let prefix = row[field]["hex_prefix"].as_str().unwrap_or_default();
        assert!(hex::encode(found.unwrap_or_default()).starts_with(prefix), "{field}");
    }
    assert_eq!(document.leaf_not_before().0 * 1_000, unix_millis(text(row, "leaf_not_before")));
    assert_eq!(document.leaf_not_after().0 * 1_000, unix_millis(text(row, "leaf_not_after")));
    assert!(document.is_under_aws_root());
}

#[test]
fn collected_documents_get_the_verdict_of_their_index() {
    let Some(folder) = folder("nitro") else { return };
    let rows = rows(&folder, "index.json");
    let strict = Expectations::none();
    let lenient = Expectations::none().allow_debug(true);
    for row in &rows {
        let file = text(row, "file");
        let document = std::fs::read(folder.join(file)).unwrap();
        let check = |expectations| verify(&document, expectations, &TrustRoot::aws(), VerifyAt::DocumentTime);
        let (found, with_debug) = (check(&strict), check(&lenient));
        println!("{:26} {file}", code(&found));
        match text(row, "expect") {
            "accept_at_doc_time" => assert_content(&found.unwrap(), row),
            "reject_unless_debug_allowed" => {
                assert_eq!(code(&found), "debug_mode", "{file}");
                assert_content(&with_debug.unwrap(), row);
            }
            "nitrotpm_reject_as_nsm" => assert_eq!((code(&found), code(&with_debug)), ("not_nsm", "not_nsm")),
            "reject" => assert_eq!(code(&with_debug), collected_refusal(row), "{file}"),
            other => panic!("{file}: the verdict {other} is not known here"),
        }
        // Long after, none passes, for any reason.
        let later = VerifyAt::Millis(unix_millis("2049-01-01T00:00:00+00:00"));
        assert!(verify(&document, &lenient, &TrustRoot::aws(), later).is_err(), "{file}");
    }
}

/// Of each document one bit in so many is flipped, and each begins five bits after the one before: over
/// all of them, every byte of a document has its turn. `hostile` flips every bit of a simulated one.
const FLIPPED_EVERY_BITS: usize = 199;
const FLIPPED_FROM_STEP: usize = 5;

/// Nothing in a real document is without meaning: every byte of the payload is signed, the envelope around
/// it has one spelling of each length, and of the two signatures that the same key and message have, one is
/// not a changed bit away from the other.
#[test]
fn flipped_bits_of_real_documents_are_refused() {
    let Some(folder) = folder("nitro") else { return };
    let lenient = Expectations::none().allow_debug(true);
    let verdict =
        |document: &[u8]| code(&verify(document, &lenient, &TrustRoot::aws(), VerifyAt::DocumentTime));
    let mut documents = 0;
    for row in rows(&folder, "index.json") {
        let file = text(&row, "file");
        let mut document = std::fs::read(folder.join(file)).unwrap();
        if verdict(&document) != "accepted" {
            continue;
        }
        let from = documents * FLIPPED_FROM_STEP % FLIPPED_EVERY_BITS;
        for bit in (from..document.len() * 8).step_by(FLIPPED_EVERY_BITS) {
            document[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(verdict(&document), "accepted", "{file}: bit {bit}");
            document[bit / 8] ^= 1 << (bit % 8);
        }
        documents += 1;
    }
    assert!(documents > 0);
}

/// A real event (kind 63793, the older form of an announcement) carries its document in base64.
#[test]
fn the_document_of_a_real_event_verifies_at_its_time_and_not_now() {
    let Some(folder) = folder("nitro") else { return };
    let event = std::fs::read(folder.join("../nostr/instance_event_dcd77693.json")).unwrap();
    let event: Value = serde_json::from_slice(&event).unwrap();
    let document = decode_input(text(&event, "content").as_bytes()).unwrap();
    let created_at = VerifyAt::Millis(event["created_at"].as_u64().unwrap() * 1_000);
    let public_key = hex::decode(text(&event, "pubkey")).unwrap();
    let expectations = Expectations::none().public_key(&public_key).unwrap();
    let check = |at| code(&verify(&document, &expectations, &TrustRoot::aws(), at));
    assert_eq!(check(created_at), "accepted");
    assert_eq!(check(VerifyAt::DocumentTime), "accepted");
    assert_eq!(check(VerifyAt::now(&SystemClock)), "certificate_expired");
    let other = Expectations::none().public_key(&[1; 32]).unwrap();
    let found = verify(&document, &other, &TrustRoot::aws(), created_at);
    assert_eq!(code(&found), "public_key_mismatch");
}

#[test]
fn derived_documents_get_the_verdict_of_their_index() {
    let Some(folder) = folder("nitro") else { return };
    for row in &rows(&folder, "derived/index.json") {
        let file = text(row, "file");
        let document = std::fs::read(folder.join(file)).unwrap();
        let root =
            TrustRoot::from_der(&std::fs::read(folder.join(text(row, "trust_root"))).unwrap()).unwrap();
        let at = VerifyAt::Millis(unix_millis(text(row, "verify_at")));
        let found = verify(&document, &Expectations::none(), &root, at);
        assert_eq!(code(&found), derived_verdict(row), "{file}: {}", text(row, "reason"));
    }
}

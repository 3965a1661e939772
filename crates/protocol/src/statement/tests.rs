use serde_json::json;

use super::*;

fn statement(claim: Claim) -> Statement {
    let image = format!("registry.example/echo@sha256:{}", "ab".repeat(32));
    Statement { version: STATEMENT_VERSION, image, manifest_sha256: Some("cd".repeat(32)), claim }
}

#[test]
fn content_is_pinned() {
    let event =
        statement(Claim::Attest { digest: Hash([7; 32]) }).sign(&Keys::generate(), UnixSecs(5)).unwrap();
    let expected = format!(
        r#"{{"claim":{{"attest":{{"digest":"{}"}}}},"image":"registry.example/echo@sha256:{}","manifest_sha256":"{}","version":1}}"#,
        "07".repeat(32),
        "ab".repeat(32),
        "cd".repeat(32),
    );
    assert_eq!(event.content, expected);
    assert_eq!((event.kind.as_u16(), event.created_at()), (23_798, UnixSecs(5)));
}

#[test]
fn claims_read_back() {
    let fetch = FetchClaim {
        method: "GET".into(),
        url: "https://example.com/?q=1".into(),
        request_sha256: Hash([1; 32]),
        status: 200,
        response_sha256: Hash([2; 32]),
        response_bytes: 12,
        certificates: vec![Base64(vec![0x30, 0x00])],
    };
    for claim in [
        Claim::Attest { digest: Hash([7; 32]) },
        Claim::Fetch(Box::new(fetch)),
        Claim::Receipts { count: 0, head: None },
        Claim::Receipts { count: 2, head: Some(EventId::from_byte_array([3; 32])) },
    ] {
        let stated = statement(claim);
        let event = stated.sign(&Keys::generate(), UnixSecs(5)).unwrap();
        assert_eq!(Statement::read(&event).unwrap(), stated);
    }
}

#[test]
fn other_spellings_versions_and_kinds_are_refused() {
    let keys = Keys::generate();
    let stated = statement(Claim::Attest { digest: Hash([0xab; 32]) });
    let good = stated.sign(&keys, UnixSecs(5)).unwrap().content.clone();
    let refused = |content: String, why: &str| {
        let event = sign(&keys, STATEMENT, UnixSecs(5), vec![], content).unwrap();
        let problem = Statement::read(&event).unwrap_err();
        assert!(problem.contains(why), "{problem}");
    };
    refused(good.replace(r#""version":1"#, r#""version":2"#), "version 2");
    refused(good.replace(r#"{"claim""#, r#"{ "claim""#), "canonical");
    refused(good.replace(r#""digest":"a"#, r#""digest":"A"#), "hex digits");
    refused(good.replace(r#""version":1"#, r#""version":1,"x":1"#), "unknown field");
    refused(good.replace("attest", "testify"), "unknown variant");
    let note = sign(&keys, nostr::event::Kind::TextNote, UnixSecs(5), vec![], good).unwrap();
    assert!(Statement::read(&note).is_err());
}

#[test]
fn request_hash_covers_every_part() {
    let request = FetchedRequest {
        salt: Hash([1; 32]),
        method: "POST".into(),
        url: "https://example.com/".into(),
        headers: vec![("a".into(), "1".into()), ("b".into(), "2".into())],
        body_sha256: Hash::of(b"body"),
    };
    let hash = request.sha256().unwrap();
    let swapped = request.headers.iter().rev().cloned().collect();
    for other in [
        FetchedRequest { salt: Hash([2; 32]), ..request.clone() },
        FetchedRequest { method: "PUT".into(), ..request.clone() },
        FetchedRequest { url: "https://example.com/?".into(), ..request.clone() },
        FetchedRequest { headers: swapped, ..request.clone() },
        FetchedRequest { body_sha256: Hash::of(b""), ..request.clone() },
    ] {
        assert_ne!(other.sha256().unwrap(), hash);
    }
    let value = serde_json::to_value(&request).unwrap();
    assert_eq!(value["headers"], json!([["a", "1"], ["b", "2"]]));
}

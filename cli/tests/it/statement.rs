//! `encli container statement verify` and `container receipts`, on files.

use nostr::event::EventId;
use nostr::key::Keys;
use protocol::event::CheckedEvent;
use protocol::nec::Env;
use protocol::nec::certificate::{ContainerClaims, for_container};
use protocol::receipt::{RECEIPT_VERSION, Receipt};
use protocol::rpc::enclaved::ReceiptPage;
use protocol::statement::merkle::{Hash, Tree};
use protocol::statement::{
    Base64, Claim, FetchClaim, FetchedRequest, STATEMENT_VERSION, Statement, StatementProof,
};
use serde_json::{Value, json};
use units::{ComputeUnits, Msat, UnixSecs};

use crate::stage::{REPO, Stage, debug, other_pcr};
use crate::support::{Run, keys};

const NOW: UnixSecs = UnixSecs(1_750_000_000);
const BODY: &[u8] = b"what was answered";
const URL: &str = "https://example.com/price?of=btc";

fn statement(stage: &Stage, claim: Claim) -> Statement {
    let manifest_sha256 = Some("ab".repeat(32));
    Statement { version: STATEMENT_VERSION, image: stage.image(), manifest_sha256, claim }
}

fn attest() -> Claim {
    Claim::Attest { digest: Hash([7; 32]) }
}

fn fetch() -> Claim {
    let request = FetchedRequest {
        salt: Hash([1; 32]),
        method: "GET".into(),
        url: URL.into(),
        headers: vec![],
        body_sha256: Hash::of(b""),
    };
    Claim::Fetch(Box::new(FetchClaim {
        method: "GET".into(),
        url: URL.into(),
        request_sha256: request.sha256().unwrap(),
        status: 200,
        response_sha256: Hash::of(BODY),
        response_bytes: 17,
        certificates: vec![Base64(vec![0x30, 0])],
    }))
}

/// A proof of this event, the third of five below one head, which the document carries.
fn proof_of(stage: &Stage, event: CheckedEvent) -> StatementProof {
    let mut ids: Vec<_> = (0..5).map(|n| EventId::from_byte_array([n; 32])).collect();
    ids[2] = event.id;
    let tree = Tree::new(&ids).unwrap();
    let document = stage.document(|forge| forge.payload.user_data = Some(tree.head().0.to_vec()));
    let parts = stage.parts_of(document, Env::Dev);
    StatementProof {
        statement: event,
        certificate: stage.certificate(NOW.plus_secs(600)),
        root: parts.root,
        path: tree.path(2).unwrap(),
        repo: REPO.to_owned(),
        releases: parts.releases.into_iter().map(|event| CheckedEvent::check(event).unwrap()).collect(),
    }
}

fn proof(stage: &Stage, claim: Claim) -> StatementProof {
    proof_of(stage, statement(stage, claim).sign(&stage.container, NOW).unwrap())
}

fn run(stage: &Stage, verb: &[&str], value: &Value, options: &[&str]) -> Run {
    let file = stage.home.write("file.json", value.to_string());
    let trust = stage.trust();
    let trust: Vec<_> = trust.iter().map(String::as_str).collect();
    stage.home.run(&[&["container"], verb, &[&file], options, &trust].concat())
}

fn verify(stage: &Stage, proof: &StatementProof, options: &[&str]) -> Run {
    run(stage, &["statement", "verify"], &serde_json::to_value(proof).unwrap(), options)
}

#[test]
fn attested_digest_is_shown_whole_long_after() {
    let stage = Stage::at(NOW);
    let proof = proof(&stage, attest());
    let (maintainer, digest) = (stage.maintainer(0), "07".repeat(32));
    let container = stage.container.public_key().to_hex();
    let options =
        ["--maintainer", &maintainer, "--ref", REPO, "--digest", &digest, "--container", &container];
    // The documents of then verify no more by the clock of today, and do at their own time.
    let value = verify(&stage, &proof, &options).done();
    let golden = [
        "attested_at_ms",
        "claim",
        "container_pubkey",
        "image",
        "instance",
        "manifest_sha256",
        "npub",
        "ok",
        "pinned",
        "stated_at",
        "version",
    ];
    assert_eq!(keys(&value), golden);
    assert_eq!(value["claim"], json!({"attest": {"digest": digest}}));
    assert_eq!((&value["image"], &value["container_pubkey"]), (&json!(stage.image()), &json!(container)));
    assert_eq!((&value["stated_at"], &value["attested_at_ms"]), (&json!(NOW.0), &json!(NOW.0 * 1_000)));
    assert_eq!((&value["pinned"], &value["ok"]), (&json!(true), &json!(true)));
    assert_eq!(value["instance"]["releasers"].as_array().unwrap().len(), 2);
    verify(&stage, &proof, &["--at", "now"]).refused("certificate_expired", 1);
    let other = "08".repeat(32);
    verify(&stage, &proof, &["--digest", &other]).refused("digest_mismatch", 1);
    let stranger = Keys::generate().public_key().to_hex();
    verify(&stage, &proof, &["--container", &stranger]).refused("key_mismatch", 1);
    verify(&stage, &proof, &["--maintainer", &stranger]).refused("release_missing", 1);
    verify(&stage, &proof, &["--ref", "https://example.com/other"]).refused("ref_mismatch", 1);
    verify(&stage, &proof, &["--pcr", &format!("1={}", other_pcr())]).refused("pcr_mismatch", 1);
    verify(&stage, &proof, &["--url", URL]).refused("url_mismatch", 1);
    verify(&stage, &proof, &["--digest", "07"]).refused("usage", 64);
}

#[test]
fn fetch_is_compared_with_what_was_answered() {
    let stage = Stage::at(NOW);
    let proof = proof(&stage, fetch());
    let (same, other) = (stage.home.write("same", BODY), stage.home.write("other", b"something else"));
    let value = verify(&stage, &proof, &["--url", URL, "--response", &same]).done();
    assert_eq!(value["claim"]["fetch"]["status"], 200);
    verify(&stage, &proof, &["--response", &other]).refused("response_mismatch", 1);
    verify(&stage, &proof, &["--url", "https://example.com/"]).refused("url_mismatch", 1);
    verify(&stage, &proof, &["--digest", &"07".repeat(32)]).refused("digest_mismatch", 1);
    // The whole answer of the guest API is taken, too.
    let answer = json!({"status": 200, "body": "", "proof": proof});
    run(&stage, &["statement", "verify"], &answer, &["--url", URL]).done();
}

#[test]
fn every_broken_link_is_refused() {
    let stage = Stage::at(NOW);
    let good = proof(&stage, attest());
    let refused = |change: &dyn Fn(&mut StatementProof), code: &str| {
        let mut proof = good.clone();
        change(&mut proof);
        verify(&stage, &proof, &[]).refused(code, 1);
    };
    // Of the tree.
    refused(&|p| p.path.siblings[0].0[0] ^= 1, "statement_invalid");
    refused(&|p| p.path.index = 3, "statement_invalid");
    refused(&|p| p.path.size = 6, "statement_invalid");
    refused(&|p| p.path.size = u64::MAX, "statement_invalid");
    refused(&|p| p.path.siblings.clear(), "statement_invalid");
    // A document without a head, as every announcement carries one.
    let bare = stage.tee_root(&stage.document(|_| {}), Env::Dev);
    refused(&|p| p.root = bare.clone(), "statement_invalid");
    // Another statement of the same container below the same head.
    let other = Claim::Attest { digest: Hash([8; 32]) };
    let other = statement(&stage, other).sign(&stage.container, NOW).unwrap();
    refused(&|p| p.statement = other.clone(), "statement_invalid");
    // By another key than the certificate's, and a certificate by another service.
    let by_other = statement(&stage, attest()).sign(&Keys::generate(), NOW).unwrap();
    verify(&stage, &proof_of(&stage, by_other), &[]).refused("key_mismatch", 1);
    let claims =
        ContainerClaims { image: &stage.image(), manifest_sha256: Some(&"ab".repeat(32)), exec: false };
    let (of, until) = (stage.container.public_key(), NOW.plus_secs(600));
    let forged = for_container(&Keys::generate(), &of, claims, until, NOW).unwrap();
    refused(&|p| p.certificate = forged.clone(), "key_mismatch");
    // A certificate of the hour in which the container had another image.
    let image = stage.image().replace("cd", "ef");
    let claims = ContainerClaims { image: &image, manifest_sha256: Some(&"ab".repeat(32)), exec: false };
    let lent = for_container(&stage.service, &of, claims, until, NOW).unwrap();
    refused(&|p| p.certificate = lent.clone(), "statement_invalid");
}

#[test]
fn statement_cannot_be_dated_back_or_come_from_a_debug_enclave() {
    let stage = Stage::at(NOW);
    for (at, ok) in [(NOW.minus_secs(60), true), (NOW.minus_secs(61), false), (NOW.plus_secs(3), false)] {
        let event = statement(&stage, attest()).sign(&stage.container, at).unwrap();
        let ran = verify(&stage, &proof_of(&stage, event), &[]);
        if ok { drop(ran.done()) } else { drop(ran.refused("statement_invalid", 1)) }
    }
    let event = statement(&stage, attest()).sign(&stage.container, NOW).unwrap();
    let tree = Tree::new(&[event.id]).unwrap();
    let document = stage.document(|forge| {
        debug(forge);
        forge.payload.user_data = Some(tree.head().0.to_vec());
    });
    let root = stage.tee_root(&document, Env::Debug);
    let (path, good) = (tree.path(0).unwrap(), proof(&stage, attest()));
    let of_debug = StatementProof { statement: event, root, path, releases: vec![], ..good.clone() };
    verify(&stage, &of_debug, &[]).refused("debug_mode", 1);
    verify(&stage, &of_debug, &["--allow-debug"]).done();
    // Under the root of AWS, which no option names, nothing of a simulation passes.
    let file = stage.home.write("file.json", serde_json::to_string(&good).unwrap());
    let ran = stage.home.run(&["--json", "container", "statement", "verify", &file]);
    ran.refused("chain_untrusted", 1);
}

#[test]
fn files_that_are_no_statement_are_refused() {
    let stage = Stage::at(NOW);
    let good = serde_json::to_value(proof(&stage, attest())).unwrap();
    let refused =
        |value: &Value| run(&stage, &["statement", "verify"], value, &[]).refused("statement_invalid", 1);
    for value in [json!({}), json!([]), json!({"proof": {}}), good["statement"].clone()] {
        refused(&value);
    }
    for field in ["statement", "certificate", "root"] {
        let mut value = good.clone();
        value[field]["content"] = json!("something else");
        assert!(refused(&value).contains("hash of its content"), "{field}");
    }
    let mut value = good;
    value["extra"] = json!(1);
    refused(&value);
}

fn receipts(stage: &Stage, count: u64, change: impl Fn(&mut Receipt)) -> Vec<CheckedEvent> {
    let mut events: Vec<CheckedEvent> = Vec::new();
    for number in 0..count {
        let from = UnixSecs(NOW.0 - 36_000 + number * 3_600);
        let mut receipt = Receipt {
            version: RECEIPT_VERSION,
            container: stage.container.public_key(),
            number,
            previous: events.last().map(|event| event.id),
            image: stage.image(),
            manifest_sha256: Some("ab".repeat(32)),
            units: ComputeUnits::new(2).unwrap(),
            period: number,
            from,
            until: from.plus_secs(3_600),
            amount_msat: Msat::new(10_000),
            payment_hash: Some(format!("{number:064x}")),
        };
        change(&mut receipt);
        events.push(receipt.sign(&stage.service, from).unwrap());
    }
    events
}

fn page(stage: &Stage, receipts: Vec<CheckedEvent>) -> ReceiptPage {
    let head = receipts.last().map(|event| event.id);
    let count = receipts.len() as u64;
    let evidence = Some(proof(stage, Claim::Receipts { count, head }));
    ReceiptPage { receipts, next: None, evidence }
}

fn check(stage: &Stage, page: &ReceiptPage) -> Run {
    run(stage, &["receipts"], &serde_json::to_value(page).unwrap(), &["--verify"])
}

#[test]
fn receipts_are_verified_to_the_last() {
    let stage = Stage::at(NOW);
    let whole = page(&stage, receipts(&stage, 3, |_| {}));
    let value = check(&stage, &whole).done();
    assert_eq!((&value["verified"], &value["paid_msat"]), (&json!(true), &json!(30_000)));
    assert_eq!(value["receipts"][2]["payment_hash"], format!("{:064x}", 2));
    assert_eq!(value["proof"]["container_pubkey"], stage.container.public_key().to_hex());
    check(&stage, &page(&stage, vec![])).done();
    let unverified = run(&stage, &["receipts"], &serde_json::to_value(&whole).unwrap(), &[]).done();
    assert_eq!((&unverified["verified"], unverified.get("proof")), (&json!(false), None));
}

#[test]
fn receipts_that_are_not_all_or_not_the_stated_ones_are_refused() {
    let stage = Stage::at(NOW);
    let whole = page(&stage, receipts(&stage, 4, |_| {}));
    for missing in 0..4 {
        let mut fewer = whole.clone();
        fewer.receipts.remove(missing);
        check(&stage, &fewer).refused("receipt_invalid", 1);
    }
    // A whole chain, and another than the one that was stated.
    let cheaper = receipts(&stage, 4, |receipt| receipt.amount_msat = Msat::new(1));
    check(&stage, &ReceiptPage { receipts: cheaper, ..whole.clone() }).refused("receipt_invalid", 1);
    let by_stranger =
        Stage { service: Keys::generate(), container: stage.container.clone(), ..Stage::at(NOW) };
    let forged = receipts(&by_stranger, 4, |_| {});
    let evidence = page(&stage, forged.clone()).evidence;
    check(&stage, &ReceiptPage { receipts: forged, next: None, evidence }).refused("receipt_invalid", 1);
    check(&stage, &ReceiptPage { evidence: None, ..whole.clone() }).refused("statement_invalid", 1);
    let about_else = Some(proof(&stage, attest()));
    check(&stage, &ReceiptPage { evidence: about_else, ..whole }).refused("receipt_invalid", 1);
}

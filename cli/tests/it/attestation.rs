//! `encli attestation verify`.

use attestation::cbor::Writer;
use attestation_sim::{Forge, sign};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use units::UnixSecs;

use crate::stage::{Stage, debug, other_pcr};
use crate::support::{Run, keys};

const NOW: UnixSecs = UnixSecs(1_750_000_000);

/// Verifies a document under the stage's root at the stage's time, with further options.
fn verify(stage: &Stage, document: &[u8], options: &[&str]) -> Run {
    let file = stage.home.write("document", document);
    let fixed = ["attestation", "verify", &file].map(ToOwned::to_owned);
    let arguments =
        [fixed.to_vec(), stage.trust(), options.iter().map(|o| (*o).to_owned()).collect()].concat();
    stage.home.run(&arguments)
}

fn verify_then(stage: &Stage, document: &[u8], options: &[&str]) -> Run {
    let at = NOW.to_string();
    verify(stage, document, &[&["--at", &at], options].concat())
}

#[test]
fn good_document_is_shown_whole() {
    let stage = Stage::at(NOW);
    let document = stage.document(|forge| {
        forge.payload.nonce = Some(vec![1, 2]);
        forge.payload.user_data = Some(b"data".to_vec());
    });
    let value = verify_then(&stage, &document, &[]).done();
    let golden = [
        "aws_root",
        "debug",
        "leaf_not_after",
        "module_id",
        "nonce",
        "ok",
        "pcrs",
        "pinned",
        "public_key",
        "timestamp_ms",
        "user_data",
    ];
    assert_eq!(keys(&value), golden);
    assert_eq!(value["ok"], true);
    assert_eq!(value["module_id"], "i-0123456789abcdef0-enc0123456789abcdef");
    assert_eq!(value["timestamp_ms"], NOW.0 * 1_000);
    assert_eq!(
        (&value["debug"], &value["pinned"], &value["aws_root"]),
        (&json!(false), &json!(false), &json!(false))
    );
    assert_eq!((&value["nonce"], &value["user_data"]), (&json!("0102"), &json!("64617461")));
    assert_eq!(value["public_key"], stage.service.public_key().to_hex());
    assert_eq!(value["leaf_not_after"], NOW.0 + 3 * 3_600);
    assert_eq!(value["pcrs"].as_object().unwrap().len(), 16);
    assert_eq!(value["pcrs"]["4"], stage.verified(&document).pcr(4).unwrap().to_string());
}

#[test]
fn absent_fields_are_null() {
    let stage = Stage::at(NOW);
    let value = verify_then(&stage, &Forge::at(NOW).document(&stage.root).unwrap(), &[]).done();
    assert_eq!(
        (&value["nonce"], &value["user_data"], &value["public_key"]),
        (&json!(null), &json!(null), &json!(null))
    );
}

#[test]
fn document_is_read_in_every_form_and_from_standard_input() {
    let stage = Stage::at(NOW);
    let document = stage.document(|_| {});
    let hex = hex::encode(&document);
    let base64 = STANDARD.encode(&document);
    for form in [document.as_slice(), hex.as_bytes(), base64.as_bytes()] {
        verify_then(&stage, form, &[]).done();
        let file = stage.home.path("document");
        let mut command = stage.home.encli();
        command.args(["attestation", "verify", "-"]).args(stage.trust_then());
        let output = command.stdin(std::fs::File::open(file).unwrap()).output().unwrap();
        Run::from(output).done();
    }
}

#[test]
fn met_expectations_pass() {
    let stage = Stage::at(NOW);
    let document = stage.document(|forge| {
        forge.payload.nonce = Some(vec![0xab]);
        forge.payload.user_data = Some(vec![0xcd]);
    });
    let key = stage.service.public_key().to_hex().to_uppercase();
    let pcr = format!("4={}", stage.verified(&document).pcr(4).unwrap());
    let later = (NOW.0 + 60).to_string();
    let options = [
        "--at",
        &later,
        "--nonce",
        "AB",
        "--user-data",
        "cd",
        "--public-key",
        &key,
        "--pcr",
        &pcr,
        "--max-age",
        "60",
    ];
    assert_eq!(verify(&stage, &document, &options).done()["pinned"], true);
}

#[test]
fn every_fault_has_its_code() {
    let stage = Stage::at(NOW);
    let good = stage.document(|_| {});
    let refused = |document: &[u8], options: &[&str], code: &str| {
        let message = verify_then(&stage, document, options).refused(code, 1);
        assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
    };
    refused(b"hello", &[], "cose_malformed");
    refused(&good[..good.len() / 2], &[], "cose_malformed");
    let chain = Forge::at(NOW).chain.issue(&stage.root).unwrap();
    refused(&sign(b"\xa0", chain.leaf_key()).unwrap(), &[], "payload_malformed");
    refused(&sign(&nitrotpm(&chain), chain.leaf_key()).unwrap(), &[], "not_nsm");
    let mut altered = good.clone();
    *altered.last_mut().unwrap() ^= 1;
    refused(&altered, &[], "signature_invalid");
    let wrong = format!("0={}", other_pcr());
    refused(&good, &["--pcr", &wrong], "pcr_mismatch");
    refused(&good, &["--nonce", "00"], "nonce_mismatch");
    refused(&good, &["--user-data", "00"], "user_data_mismatch");
    refused(&good, &["--public-key", "00"], "public_key_mismatch");
    refused(&stage.document(debug), &[], "debug_mode");
    refused(&stage.document(|forge| forge.payload.timestamp_ms += 3_000), &[], "timestamp_invalid");
    refused(&stage.document(|forge| forge.payload.timestamp_ms -= 61_000), &["--max-age", "60"], "too_old");
}

#[test]
fn time_and_root_decide() {
    let stage = Stage::at(NOW);
    let good = stage.document(|_| {});
    let at = |secs: u64| verify(&stage, &good, &["--at", &secs.to_string()]);
    at(NOW.0).done();
    at(NOW.0 + 3 * 3_600).done();
    at(NOW.0 + 3 * 3_600 + 1).refused("certificate_expired", 1);
    at(NOW.0 - 4).refused("certificate_not_yet_valid", 1);
    verify(&stage, &good, &[]).refused("certificate_expired", 1);
    verify(&stage, &good, &["--at", "now"]).refused("certificate_expired", 1);
    // Without --trust-root it is AWS's, which vouches for nothing that is simulated.
    let file = stage.home.write("document", &good);
    let under_aws = stage.home.run(&["attestation", "verify", &file, "--json", "--at", &NOW.to_string()]);
    under_aws.refused("chain_untrusted", 1);
}

#[test]
fn debug_mode_passes_only_where_it_is_allowed() {
    let stage = Stage::at(NOW);
    let document = stage.document(debug);
    let value = verify_then(&stage, &document, &["--allow-debug"]).done();
    assert_eq!(value["debug"], true);
}

#[test]
fn options_that_a_document_cannot_answer_are_refused() {
    let stage = Stage::at(NOW);
    let document = stage.document(|_| {});
    verify_then(&stage, &document, &["--maintainer", &stage.maintainer(0)]).refused("usage", 64);
    verify_then(&stage, &document, &["--ref", "https://example.com"]).refused("usage", 64);
    verify_then(&stage, &document, &["--nonce", ""]).refused("usage", 64);
    let two = [format!("0={}", other_pcr()), format!("0={}", "00".repeat(48))];
    verify_then(&stage, &document, &["--pcr", &two[0], "--pcr", &two[1]]).refused("usage", 64);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let stage = Stage::at(NOW);
    let message =
        stage.home.run(&["attestation", "verify", "nowhere", "--json"]).refused("file_unreadable", 1);
    assert!(message.contains("nowhere"), "{message}");
    let document = stage.home.write("document", stage.document(|_| {}));
    let not_a_root = stage.home.write("empty.der", "");
    for root in [not_a_root.as_str(), "missing.der"] {
        let run = stage.home.run(&["attestation", "verify", &document, "--json", "--trust-root", root]);
        run.refused("trust_root_invalid", 64);
    }
}

#[test]
fn people_read_sentences() {
    let stage = Stage::at(NOW);
    let file = stage.home.write("document", stage.document(|_| {}));
    let root = stage.home.write("root.der", stage.root.der());
    let at = NOW.to_string();
    let good = stage.home.run(&["attestation", "verify", &file, "--trust-root", &root, "--at", &at]);
    assert_eq!((good.code, good.stderr.as_str()), (0, ""));
    for part in
        ["The document verifies", "PCR4", "2025-06-15 15:06:40 UTC", "Not pinned", "root is not AWS's"]
    {
        assert!(good.stdout.contains(part), "{part}: {}", good.stdout);
    }
    assert!(!good.stdout.contains('\u{1b}'), "colours without a terminal");
    let bad = stage.home.run(&["attestation", "verify", &file, "--at", &at]);
    assert_eq!((bad.code, bad.stdout.as_str()), (1, ""));
    assert!(
        bad.stderr.starts_with("encli: ") && bad.stderr.ends_with("[chain_untrusted]\n"),
        "{}",
        bad.stderr
    );
}

/// The payload of a NitroTPM document.
fn nitrotpm(chain: &attestation_sim::IssuedChain) -> Vec<u8> {
    let mut writer = Writer::with_capacity(8_000);
    writer.map(6);
    writer.text("module_id").text("i-0123456789abcdef0");
    writer.text("digest").text("SHA384");
    writer.text("timestamp").uint(NOW.0 * 1_000);
    writer.text("nitrotpm_pcrs").map(0);
    writer.text("certificate").bytes(chain.certificate());
    writer.text("cabundle").array(chain.cabundle().len());
    for authority in chain.cabundle() {
        writer.bytes(authority);
    }
    writer.into_bytes()
}

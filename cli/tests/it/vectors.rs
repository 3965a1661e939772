//! Real and broken documents, and a real announcement, each with the verdict that its index states.
//!
//! They are public, collected from other projects, and not part of this repository: they are looked for
//! in `$ENCLAVED_VECTORS`, or in `shared/vectors` beside the repository. Where they are not, the tests
//! say so and pass.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Home, Run};

/// A part of the vectors, if this machine has them.
#[expect(clippy::print_stdout, reason = "a test that is left out says so")]
fn folder(part: &str) -> Option<PathBuf> {
    let given = std::env::var_os("ENCLAVED_VECTORS").map(PathBuf::from);
    let base = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"));
    let folder = base.join(part);
    if folder.join("index.json").is_file() {
        return Some(folder.canonicalize().unwrap());
    }
    println!("skipped: there are no test vectors at {}", folder.display());
    None
}

fn rows(folder: &Path, index: &str) -> Vec<Value> {
    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join(index)).unwrap()).unwrap();
    assert!(!rows.is_empty());
    rows
}

fn text<'v>(row: &'v Value, field: &str) -> &'v str {
    row[field].as_str().unwrap_or_else(|| panic!("{row} has no {field}"))
}

fn verify(home: &Home, file: &Path, options: &[&str]) -> Run {
    let file = file.display().to_string();
    home.run(&[&["attestation", "verify", &file, "--json"], options].concat())
}

/// Unix seconds of `2026-01-15T12:00:00.123000+00:00`; the fraction is left out.
fn unix_secs(date: &str) -> String {
    let number = |from: usize, to: usize| date[from..to].parse::<u64>().unwrap();
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    // Years are counted from March, so that a leap day is the last of its year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    assert!(date.ends_with("+00:00"), "{date} is not in UTC");
    (days * 86_400 + number(11, 13) * 3_600 + number(14, 16) * 60 + number(17, 19)).to_string()
}

#[test]
fn collected_documents_get_the_verdict_of_their_index() {
    let Some(folder) = folder("nitro") else { return };
    let home = Home::new();
    for row in rows(&folder, "index.json") {
        let file = folder.join(text(&row, "file"));
        let at = row["timestamp"].as_str().map_or("now".to_owned(), unix_secs);
        let strict = verify(&home, &file, &["--at", &at]);
        let lenient = verify(&home, &file, &["--at", &at, "--allow-debug"]);
        match text(&row, "expect") {
            "accept_at_doc_time" => assert_shown(&strict, &row, false),
            "reject_unless_debug_allowed" => {
                strict.refused("debug_mode", 1);
                assert_shown(&lenient, &row, true);
            }
            "nitrotpm_reject_as_nsm" => {
                strict.refused("not_nsm", 1);
                lenient.refused("not_nsm", 1);
            }
            "reject" => {
                let is_forged = row["errors"].to_string().contains("sig:");
                lenient.refused(if is_forged { "signature_invalid" } else { "cose_malformed" }, 1);
            }
            other => panic!("{}: the verdict {other} is not known here", file.display()),
        }
        // All of them ended long ago, and only the time of the document helps.
        assert_eq!(verify(&home, &file, &["--allow-debug"]).code, 1, "{}", file.display());
    }
}

/// What is shown is what the index says that the document holds.
#[track_caller]
fn assert_shown(run: &Run, row: &Value, debug: bool) {
    let shown = run.done();
    assert_eq!(
        (&shown["ok"], &shown["debug"], &shown["aws_root"]),
        (&json!(true), &json!(debug), &json!(true))
    );
    assert_eq!((&shown["module_id"], &shown["timestamp_ms"]), (&row["module_id"], &row["timestamp_ms"]));
    for index in [0, 1, 2, 3, 4, 8] {
        assert_eq!(shown["pcrs"][index.to_string()], row[format!("pcr{index}")], "PCR{index}: {row}");
    }
    assert_eq!(shown["leaf_not_after"].to_string(), unix_secs(text(row, "leaf_not_after")));
}

/// Codes that name the reason of a broken document, by a word of the index's reason.
const REASONS: [(&str, &str); 20] = [
    ("root has the AWS subject name", "chain_untrusted"),
    ("next certificate only names it", "chain_untrusted"),
    ("cabundle leaf-first", "chain_untrusted"),
    ("pathLenConstraint", "chain_untrusted"),
    ("CA:TRUE", "chain_untrusted"),
    ("truncated", "cose_malformed"),
    ("DER signature", "cose_malformed"),
    ("unprotected header", "cose_malformed"),
    ("certificate missing", "payload_malformed"),
    ("missing from the map", "payload_malformed"),
    ("over 1024 bytes", "payload_malformed"),
    ("after the payload map", "payload_malformed"),
    ("nested", "payload_malformed"),
    ("PCR index 32", "payload_malformed"),
    ("text keys", "payload_malformed"),
    ("text string", "payload_malformed"),
    ("without break", "payload_malformed"),
    ("altered", "signature_invalid"),
    ("timestamp", "timestamp_invalid"),
    ("notAfter+1s", "certificate_expired"),
];

#[test]
fn derived_documents_get_the_verdict_of_their_index() {
    let Some(folder) = folder("nitro") else { return };
    let home = Home::new();
    for row in rows(&folder, "derived/index.json") {
        let (file, reason) = (folder.join(text(&row, "file")), text(&row, "reason"));
        let root = folder.join(text(&row, "trust_root")).display().to_string();
        let run = verify(&home, &file, &["--at", &unix_secs(text(&row, "verify_at")), "--trust-root", &root]);
        match text(&row, "expect") {
            "reject-without-leeway" => drop(run.refused("certificate_not_yet_valid", 1)),
            "reject" | "reject-recommended" => {
                let named = REASONS.iter().find(|(word, _)| reason.contains(word));
                let (_, code) = named.unwrap_or_else(|| panic!("{}: {reason}", file.display()));
                run.refused(code, 1);
            }
            // Tag 18 and unknown fields are accepted: our reading of what the index leaves open.
            accepted => {
                assert!(accepted.starts_with("accept"), "{accepted}");
                assert_eq!(run.done()["ok"], true, "{}", file.display());
            }
        }
    }
}

#[test]
fn real_announcement_verifies_at_its_time_and_not_now() {
    let Some(folder) = folder("nostr") else { return };
    let home = Home::new();
    for row in rows(&folder, "index.json") {
        let file = folder.join(format!("instance_event_{}.json", &text(&row, "event_id")[..8]));
        let file = file.display().to_string();
        let line = ["instance", "verify", &file, "--json"];
        let then = row["created_at"].to_string();
        let shown = home.run(&[&line[..], &["--at", &then]].concat()).done();
        assert_eq!((&shown["ok"], &shown["service_pubkey"]), (&json!(true), &row["pubkey"]));
        assert_eq!((&shown["pinned"], &shown["env"]), (&json!(false), &json!("dev")));
        home.run(&line).refused("certificate_expired", 1);
        home.run(&[&line[..], &["--at", "now"]].concat()).refused("certificate_expired", 1);
        let stranger = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        home.run(&[&line[..], &["--at", &then, "--maintainer", stranger]].concat())
            .refused("release_missing", 1);
    }
}

#[test]
fn signatures_of_the_older_form_are_nothing_by_themselves() {
    let Some(folder) = folder("nostr") else { return };
    let home = Home::new();
    for name in ["event_kind63795_09826e15.json", "event_kind63796_ba52dbd7.json"] {
        let file = folder.join(name).display().to_string();
        home.run(&["instance", "verify", &file, "--json"]).refused("event_invalid", 1);
        home.run(&["release", "verify", &file, "--json"]).refused("release_invalid", 1);
    }
}

//! Real and broken documents, and a real announcement, each with the verdict that its index states; see
//! the crate `vectors`.

use std::path::Path;

use serde_json::{Value, json};
use vectors::{collected_refusal, derived_verdict, folder, rows, text, unix_millis};

use crate::support::{Home, Run};

fn verify(home: &Home, file: &Path, options: &[&str]) -> Run {
    let file = file.display().to_string();
    home.run(&[&["attestation", "verify", &file, "--json"], options].concat())
}

/// Unix seconds of a date; the fraction is left out.
fn unix_secs(date: &str) -> String {
    (unix_millis(date) / 1_000).to_string()
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
            "reject" => drop(lenient.refused(collected_refusal(&row), 1)),
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

#[test]
fn derived_documents_get_the_verdict_of_their_index() {
    let Some(folder) = folder("nitro") else { return };
    let home = Home::new();
    for row in rows(&folder, "derived/index.json") {
        let file = folder.join(text(&row, "file"));
        let root = folder.join(text(&row, "trust_root")).display().to_string();
        let run = verify(&home, &file, &["--at", &unix_secs(text(&row, "verify_at")), "--trust-root", &root]);
        match derived_verdict(&row) {
            "accepted" => assert_eq!(run.done()["ok"], true, "{}", file.display()),
            code => drop(run.refused(code, 1)),
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

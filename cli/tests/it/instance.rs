//! `encli instance verify`.

use attestation::VerifyAt;
use nostr::event::Kind;
use nostr::key::Keys;
use protocol::event::CheckedEvent;
use protocol::nec::{Env, launcher, root};
use serde_json::json;
use units::UnixSecs;

use crate::stage::{REPO, Stage, debug, other_pcr};
use crate::support::{Run, keys};

const NOW: UnixSecs = UnixSecs(1_750_000_000);

fn verify_text(stage: &Stage, text: &str, options: &[&str]) -> Run {
    let file = stage.home.write("event.json", text);
    let fixed = ["instance", "verify", &file].map(ToOwned::to_owned).to_vec();
    let options = options.iter().map(|o| (*o).to_owned()).collect();
    stage.home.run(&[fixed, stage.trust(), options].concat())
}

fn verify(stage: &Stage, event: &CheckedEvent, options: &[&str]) -> Run {
    let at = NOW.to_string();
    verify_text(stage, &event.as_json(), &[&["--at", &at], options].concat())
}

#[test]
fn good_announcement_is_shown_whole() {
    let stage = Stage::at(NOW);
    let event = stage.announcement(|_| {});
    let maintainers = [stage.maintainer(0), stage.maintainers[1].public_key().to_hex()];
    let options =
        ["--ref", REPO, "--maintainer", &maintainers[0], "--maintainer", &maintainers[1], "--threshold", "2"];
    let value = verify(&stage, &event, &options).done();
    let golden = [
        "announced",
        "builder",
        "env",
        "expires_at",
        "launcher",
        "ok",
        "pcrs",
        "pinned",
        "releasers",
        "service_pubkey",
    ];
    assert_eq!(keys(&value), golden);
    assert_eq!((&value["ok"], &value["pinned"], &value["env"]), (&json!(true), &json!(true), &json!("dev")));
    assert_eq!(value["service_pubkey"], stage.service.public_key().to_hex());
    assert_eq!(value["builder"], stage.builder.public_key().to_hex());
    assert_eq!(value["launcher"], stage.launcher.public_key().to_hex());
    assert_eq!(value["expires_at"], NOW.0 + 3 * 3_600);
    let releasers = value["releasers"].as_array().unwrap();
    let signed = |keys: &Keys| releasers.contains(&json!(keys.public_key().to_hex()));
    assert!(releasers.len() == 2 && stage.maintainers.iter().all(signed), "{releasers:?}");
    let golden =
        ["name", "open", "price", "relays", "repo", "units_free", "units_total", "version", "wallet"];
    assert_eq!(keys(&value["announced"]), golden);
    assert_eq!(value["announced"]["price"], json!({"unit_hour_msat": 5_000, "period_secs": 3_600}));
}

#[test]
fn nobody_pinned_is_said() {
    let stage = Stage::at(NOW);
    let bare = stage.announcement(|parts| {
        (parts.build, parts.instance) = (None, None);
        parts.releases.clear();
    });
    let value = verify(&stage, &bare, &[]).done();
    assert_eq!(
        (&value["pinned"], &value["builder"], &value["launcher"]),
        (&json!(false), &json!(null), &json!(null))
    );
    assert_eq!(value["releasers"], json!([]));
    let pcr = format!("4={}", value["pcrs"]["4"].as_str().unwrap());
    assert_eq!(verify(&stage, &bare, &["--pcr", &pcr]).done()["pinned"], true);
}

#[test]
fn what_the_policy_wants_is_refused_with_its_code() {
    let stage = Stage::at(NOW);
    let event = stage.announcement(|_| {});
    let (known, stranger) = (stage.maintainer(0), Keys::generate().public_key().to_hex());
    let wrong = format!("0={}", other_pcr());
    for (options, code) in [
        (vec!["--ref", "https://example.com/other"], "ref_mismatch"),
        (vec!["--maintainer", &stranger], "release_missing"),
        (vec!["--maintainer", &known, "--threshold", "2"], "release_missing"),
        (vec!["--pcr", &wrong], "pcr_mismatch"),
    ] {
        verify(&stage, &event, &options).refused(code, 1);
    }
    let late = (NOW.0 + 100).to_string();
    verify_text(&stage, &event.as_json(), &["--at", &late, "--max-age", "99"]).refused("too_old", 1);
    verify_text(&stage, &event.as_json(), &["--at", &late, "--max-age", "100"]).done();
}

#[test]
fn what_others_vouch_for_must_be_this_build_on_this_machine() {
    let stage = Stage::at(NOW);
    let refused = |spoil: &dyn Fn(&mut crate::stage::Parts), code| {
        verify(&stage, &stage.announcement(|parts| spoil(parts)), &[]).refused(code, 1);
    };
    let other_build = [other_pcr(); 3];
    refused(
        &|parts| parts.releases = vec![stage.release(&stage.maintainers[0], &other_build, Env::Dev)],
        "release_invalid",
    );
    refused(&|parts| parts.build = Some(stage.build_by(&Keys::generate())), "builder_invalid");
    refused(
        &|parts| {
            let elsewhere = launcher::build(&stage.launcher, "i-elsewhere", Env::Dev, NOW).unwrap();
            parts.instance = Some(elsewhere.into_event());
        },
        "launcher_invalid",
    );
    refused(&|parts| parts.signer = Keys::generate(), "key_mismatch");
    refused(
        &|parts| {
            let other = stage.document(|forge| forge.payload.public_key = Some(vec![7; 32]));
            parts.root = stage.tee_root(&other, Env::Dev);
        },
        "public_key_mismatch",
    );
    refused(&|parts| parts.env = Env::Prod, "event_invalid");
}

#[test]
fn text_that_is_no_announcement_is_refused() {
    let stage = Stage::at(NOW);
    let event = stage.announcement(|_| {});
    let mut forged = event.clone().into_event();
    forged.content = "pay me".to_owned();
    let note = protocol::event::sign(&stage.service, Kind::TextNote, NOW, Vec::new(), "hi".into()).unwrap();
    let tags = event.tags.iter().map(|tag| tag.as_slice().to_vec());
    let rootless = tags.filter(|tag| tag[0] != "tee_root").collect();
    let rootless = protocol::event::sign(&stage.service, event.kind, NOW, rootless, String::new()).unwrap();
    for text in ["", "{}", "[]", "null", &forged.as_json(), &note.as_json(), &rootless.as_json()] {
        verify_text(&stage, text, &["--at", &NOW.to_string()]).refused("event_invalid", 1);
    }
}

#[test]
fn evidence_ends() {
    let stage = Stage::at(NOW);
    let short = stage.announcement(|parts| {
        let until = NOW.plus_secs(100);
        parts.root = root::build(&stage.service, &parts.document, Env::Dev, until, NOW).unwrap();
    });
    let at =
        |event: &CheckedEvent, secs: u64| verify_text(&stage, &event.as_json(), &["--at", &secs.to_string()]);
    assert_eq!(at(&short, NOW.0 + 100).done()["expires_at"], NOW.0 + 100);
    at(&short, NOW.0 + 101).refused("expired", 1);
    let event = stage.announcement(|_| {});
    at(&event, NOW.0 + 3 * 3_600 + 1).refused("certificate_expired", 1);
    at(&event, NOW.0 - 4).refused("certificate_not_yet_valid", 1);
    at(&event, NOW.0 - 3).refused("timestamp_invalid", 1);
    verify_text(&stage, &event.as_json(), &[]).refused("certificate_expired", 1);
}

#[test]
fn trust_comes_from_the_root_alone() {
    let (stage, other) = (Stage::at(NOW), Stage::at(NOW));
    let file = stage.home.write("event.json", stage.announcement(|_| {}).as_json());
    let at = NOW.to_string();
    stage.home.run(&["instance", "verify", &file, "--json", "--at", &at]).refused("chain_untrusted", 1);
    let root = stage.home.write("other.der", other.root.der());
    let run = stage.home.run(&["instance", "verify", &file, "--json", "--at", &at, "--trust-root", &root]);
    run.refused("chain_untrusted", 1);
}

#[test]
fn debug_mode_is_refused_unless_allowed() {
    let stage = Stage::at(NOW);
    let document = stage.document(debug);
    let mut parts = stage.parts_of(document.clone(), Env::Debug);
    // Nobody can sign a release of registers that are zero.
    parts.releases.clear();
    let event = stage.announce(&parts);
    assert!(stage.verified(&document).is_debug() && VerifyAt::from(NOW) == VerifyAt::Millis(NOW.0 * 1_000));
    verify(&stage, &event, &[]).refused("debug_mode", 1);
    assert_eq!(verify(&stage, &event, &["--allow-debug"]).done()["env"], "debug");
}

#[test]
fn text_of_strangers_does_not_command_the_terminal() {
    let stage = Stage::at(NOW);
    let event = stage.announcement(|parts| parts.name = "\u{1b}]0;pwned\u{7}\u{9b}2J\u{202e}".to_owned());
    let file = stage.home.write("event.json", event.as_json());
    let root = stage.home.write("root.der", stage.root.der());
    let at = NOW.to_string();
    let arguments = ["instance", "verify", &file, "--trust-root", &root, "--at", &at];
    let odd = |text: &str| text.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}');
    let shown = stage.home.run(&arguments);
    assert!(shown.stdout.contains("�]0;pwned��2J�") && !odd(&shown.stdout), "{shown:?}");
    let json = stage.home.run(&[&arguments[..], &["--json"]].concat());
    assert!(!odd(&json.stdout), "{json:?}");
    assert_eq!(json.done()["announced"]["name"], "\u{1b}]0;pwned\u{7}\u{9b}2J\u{202e}");
}

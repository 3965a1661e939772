//! `encli container verify` and `verify-answer`, on files.

use nostr::key::Keys;
use protocol::event::CheckedEvent;
use protocol::nec::Env;
use protocol::nec::certificate::{ContainerClaims, for_app, for_container};
use serde_json::json;
use units::UnixSecs;

use crate::stage::{REPO, Stage, other_pcr, set_pcr};
use crate::support::{Run, keys};

const NOW: UnixSecs = UnixSecs(1_750_000_000);

fn run(stage: &Stage, verb: &str, event: &CheckedEvent, options: &[&str]) -> Run {
    let file = stage.home.write("event.json", event.as_json());
    let fixed = ["container", verb, &file].map(ToOwned::to_owned).to_vec();
    let options = options.iter().map(|o| (*o).to_owned()).collect();
    stage.home.run(&[fixed, stage.trust_then(), options].concat())
}

fn good(stage: &Stage) -> CheckedEvent {
    stage.container_event(&stage.certificate(NOW.plus_secs(600)), &stage.image())
}

#[test]
fn good_container_is_shown_whole() {
    let stage = Stage::at(NOW);
    let value =
        run(&stage, "verify", &good(&stage), &["--maintainer", &stage.maintainer(1), "--ref", REPO]).done();
    let golden = [
        "app_pubkey",
        "container_pubkey",
        "endpoints",
        "exec",
        "expires_at",
        "image",
        "instance",
        "manifest_sha256",
        "npub",
        "ok",
        "owner_pubkey",
        "pinned",
        "state",
    ];
    assert_eq!(keys(&value), golden);
    assert_eq!(value["container_pubkey"], stage.container.public_key().to_hex());
    assert_eq!(
        (&value["image"], &value["manifest_sha256"]),
        (&json!(stage.image()), &json!("ab".repeat(32)))
    );
    assert_eq!(value["app_pubkey"], stage.app.public_key().to_hex());
    assert_eq!(value["owner_pubkey"], stage.owner.public_key().to_hex());
    assert_eq!((&value["state"], &value["expires_at"]), (&json!("deployed"), &json!(NOW.0 + 600)));
    assert_eq!(value["endpoints"], json!([{"container_port": 8080, "host": "203.0.113.7", "port": 20001}]));
    assert_eq!((&value["ok"], &value["pinned"]), (&json!(true), &json!(true)));
    assert_eq!(value["exec"], json!(false));
    let instance = &value["instance"];
    let golden = ["builder", "env", "expires_at", "launcher", "pcrs", "releasers", "service_pubkey"];
    assert_eq!(keys(instance), golden);
    assert_eq!(instance["service_pubkey"], stage.service.public_key().to_hex());
    assert_eq!((&instance["builder"], &instance["launcher"]), (&json!(null), &json!(null)));
    assert_eq!(instance["releasers"].as_array().unwrap().len(), 2);
}

#[test]
fn chain_must_hold_link_by_link() {
    let stage = Stage::at(NOW);
    let certificate = stage.certificate(NOW.plus_secs(600));
    let check = |event: &CheckedEvent, options: &[&str], code| {
        run(&stage, "verify", event, options).refused(code, 1);
    };
    let stranger = Keys::generate().public_key().to_hex();
    check(&good(&stage), &["--maintainer", &stranger], "release_missing");
    check(&good(&stage), &["--ref", "https://example.com/other"], "ref_mismatch");
    check(&good(&stage), &["--pcr", &format!("1={}", other_pcr())], "pcr_mismatch");
    let other_image = stage.image().replace("cd", "ef");
    check(&stage.container_event(&certificate, &other_image), &[], "event_invalid");
    let of_other = Stage { container: Keys::generate(), ..Stage::at(NOW) };
    let other_certificate = {
        let claims = ContainerClaims { image: &stage.image(), manifest_sha256: None, exec: false };
        let (to, until) = (of_other.container.public_key(), NOW.plus_secs(600));
        for_container(&stage.service, &to, claims, until, NOW).unwrap()
    };
    check(&stage.container_event(&other_certificate, &stage.image()), &[], "key_mismatch");
    check(
        &stage.container_event(&of_other.certificate(NOW.plus_secs(600)), &stage.image()),
        &[],
        "key_mismatch",
    );
    let ended = stage.certificate(NOW.minus_secs(1));
    check(&stage.container_event(&ended, &stage.image()), &[], "expired");
    let outliving = stage.certificate(NOW.plus_secs(86_400));
    check(&stage.container_event(&outliving, &stage.image()), &[], "event_invalid");
    check(&stage.announcement(|_| {}), &[], "event_invalid");
}

#[test]
fn answer_to_my_nonce_is_shown_whole() {
    let stage = Stage::at(NOW);
    let answer = stage.answer("my nonce", &stage.app_chain());
    let container = stage.container.public_key().to_hex();
    let value =
        run(&stage, "verify-answer", &answer, &["--nonce", "my nonce", "--container", &container]).done();
    let golden = [
        "app_pubkey",
        "container_pubkey",
        "expires_at",
        "image",
        "instance",
        "manifest_sha256",
        "nonce",
        "ok",
        "pinned",
        "signed_at",
    ];
    assert_eq!(keys(&value), golden);
    assert_eq!(value["app_pubkey"], stage.app.public_key().to_hex());
    assert_eq!((&value["container_pubkey"], &value["image"]), (&json!(container), &json!(stage.image())));
    assert_eq!((&value["expires_at"], &value["pinned"]), (&json!(NOW.0 + 600), &json!(false)));
}

#[test]
fn answer_must_be_to_this_nonce_by_this_container() {
    let stage = Stage::at(NOW);
    let chain = stage.app_chain();
    let answer = stage.answer("n", &chain);
    let check = |answer: &CheckedEvent, options: &[&str], code| {
        run(&stage, "verify-answer", answer, options).refused(code, 1);
    };
    check(&answer, &["--nonce", "other"], "nonce_mismatch");
    let stranger = Keys::generate().public_key().to_hex();
    check(&answer, &["--nonce", "n", "--container", &stranger], "key_mismatch");
    check(&stage.answer("n", &chain[..1]), &["--nonce", "n"], "key_mismatch");
    check(&stage.answer("n", &[]), &["--nonce", "n"], "key_mismatch");
    let by_stranger = for_app(&Keys::generate(), &stage.app.public_key(), NOW.plus_secs(60), NOW).unwrap();
    check(&stage.answer("n", &[chain[0].clone(), by_stranger]), &["--nonce", "n"], "key_mismatch");
}

#[test]
fn maintainers_are_looked_for_in_the_announcement() {
    let stage = Stage::at(NOW);
    let answer = stage.answer("n", &stage.app_chain());
    let known = stage.maintainer(0);
    let announcement = stage.home.write("announcement.json", stage.announcement(|_| {}).as_json());
    let pinned = ["--nonce", "n", "--maintainer", &known, "--announcement", &announcement];
    let value = run(&stage, "verify-answer", &answer, &pinned).done();
    assert_eq!(
        (&value["pinned"], &value["instance"]["releasers"].as_array().unwrap().len()),
        (&json!(true), &2)
    );
    assert_eq!(value["instance"]["builder"], stage.builder.public_key().to_hex());
    // Without the announcement nothing says who signed the build: it has to come from somewhere.
    run(&stage, "verify-answer", &answer, &pinned[..4]).refused("relay_missing", 64);
    let unsigned = stage.announcement(|parts| parts.releases.clear());
    stage.home.write("announcement.json", unsigned.as_json());
    run(&stage, "verify-answer", &answer, &pinned).refused("release_missing", 1);
    let foreign = stage.home.write("foreign.json", Stage::at(NOW).announcement(|_| {}).as_json());
    run(&stage, "verify-answer", &answer, &["--nonce", "n", "--announcement", &foreign])
        .refused("chain_untrusted", 1);
}

#[test]
fn announcement_must_be_of_the_server_and_build_that_answered() {
    let mut stage = Stage::at(NOW);
    let answer = stage.answer("n", &stage.app_chain());
    let options = ["--nonce", "n", "--announcement", "announcement.json"];
    let newer = stage.document(|forge| set_pcr(forge, 0, other_pcr()));
    let upgraded = stage.announce(&stage.parts_of(newer, Env::Dev));
    stage.home.write("announcement.json", upgraded.as_json());
    run(&stage, "verify-answer", &answer, &options).refused("release_missing", 1);
    stage.service = Keys::generate();
    stage.home.write("announcement.json", stage.announcement(|_| {}).as_json());
    run(&stage, "verify-answer", &answer, &options).refused("key_mismatch", 1);
}

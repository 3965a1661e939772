//! What people sign with a key of their own: releases, builds, machines; and what it is good for.

use std::path::Path;

use attestation::Pcr;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::event::Event;
use nostr::filter::Filter;
use nostr::key::Keys;
use protocol::event::{CheckedEvent, marked_value, tag_value};
use protocol::nec::{Env, builder};
use serde_json::{Value, json};
use units::{Clock, SystemClock};

use crate::relays::World;
use crate::stage::{INSTANCE_ID, REPO, Stage, VERSION, other_pcr, set_pcr};
use crate::support::{Home, Run, keys};

/// A stage of today, whose people have their keys in files.
fn stage() -> Stage {
    let stage = Stage::at(SystemClock.now());
    for (name, keys) in [
        ("builder", &stage.builder),
        ("launcher", &stage.launcher),
        ("alice", &stage.maintainers[0]),
        ("bob", &stage.maintainers[1]),
    ] {
        stage.home.write(name, keys.secret_key().to_secret_hex());
    }
    // As `nitro-cli build-enclave` prints them.
    let document = stage.verified(&stage.document(|_| {}));
    let pcr = |index| document.pcr(index).unwrap();
    let measured = json!({"Measurements": {"HashAlgorithm": "Sha384 { ... }", "PCR0": pcr(0), "PCR1": pcr(1),
        "PCR2": pcr(2)}});
    stage.home.write("pcrs.json", measured.to_string());
    stage
}

fn run(home: &Home, line: &[&str]) -> Run {
    home.run(&[line, &["--json"]].concat())
}

/// Signs a build with a program that reads the key.
fn build(home: &Home, options: &[&str], command: &[&str]) -> Run {
    let fixed = ["build", "sign", "--ref", REPO, "--version", VERSION, "--certificate", "cert.pem"];
    let after = if command.is_empty() { Vec::new() } else { [&["--"], command].concat() };
    // What follows `--` is the program's.
    home.run(&[&fixed, options, &["--json"], &after].concat())
}

fn release(home: &Home, options: &[&str]) -> Run {
    run(home, &[&["release", "sign", "--version", VERSION], options].concat())
}

/// Signs version 2.0.0 of the measured build.
fn later_release(home: &Home, out: &str) {
    let line = ["release", "sign", "--version", "2.0.0", "--ref", REPO, "--pcrs", "pcrs.json"];
    run(home, &[&line[..], &["--key", "file:alice", "--out", out]].concat()).done();
}

#[track_caller]
fn event(path: &Path) -> CheckedEvent {
    CheckedEvent::parse(std::fs::read_to_string(path).unwrap().trim()).unwrap()
}

/// The event that a run printed, and nothing else.
#[track_caller]
fn printed(run: &Run) -> CheckedEvent {
    let value = run.done();
    assert_eq!(keys(&value), ["content", "created_at", "id", "kind", "pubkey", "sig", "tags"]);
    CheckedEvent::parse(run.stdout.trim()).unwrap()
}

/// The whole way: the builder, the launcher and two maintainers sign; the server shows what the parent
/// was given, as the daemon does; a client verifies it.
#[test]
fn what_people_signed_verifies_in_an_announcement() {
    let mut stage = stage();
    let home = &stage.home;
    let reads_key = ["grep", "-q", "BEGIN PRIVATE KEY"];
    build(home, &["--key", "file:builder", "--out", "build.json"], &reads_key).done();
    run(home, &["instance", "sign", INSTANCE_ID, "--key", "file:launcher", "--out", "instance.json"]).done();
    for (name, out) in [("file:alice", "alice.json"), ("file:bob", "bob.json")] {
        release(home, &["--ref", REPO, "--pcrs", "pcrs.json", "--key", name, "--out", out]).done();
    }
    let [built, machine, alice, bob] = ["build.json", "instance.json", "alice.json", "bob.json"]
        .map(|name| event(&home.path(name)).into_event());
    // The image measures the certificate that was written.
    let pem = std::fs::read_to_string(home.path("cert.pem")).unwrap();
    stage.signing_certificate =
        builder::signing_certificate(&pem, &stage.builder.public_key(), stage.now).unwrap();
    let announce = |spoil: &dyn Fn(&mut Vec<Event>, &mut Event)| {
        let (mut releases, mut built) = (vec![alice.clone(), bob.clone()], built.clone());
        spoil(&mut releases, &mut built);
        let mut parts = stage.parts_of(stage.document(|_| {}), Env::Dev);
        (parts.build, parts.instance, parts.releases) = (Some(built), Some(machine.clone()), releases);
        stage.home.write("event.json", stage.announce(&parts).as_json());
        let maintainers = [stage.maintainer(0), stage.maintainer(1)];
        let policy = ["--ref", REPO, "--maintainer", &maintainers[0], "--maintainer", &maintainers[1]];
        let line = [&["instance", "verify", "event.json", "--threshold", "2"], &policy[..]].concat();
        let line: Vec<_> = line.into_iter().map(ToOwned::to_owned).chain(stage.trust()).collect();
        stage.home.run(&line)
    };
    let verified = announce(&|_, _| {}).done();
    assert_eq!((&verified["pinned"], &verified["env"]), (&json!(true), &json!("dev")));
    assert_eq!(verified["builder"], stage.builder.public_key().to_hex());
    assert_eq!(verified["launcher"], stage.launcher.public_key().to_hex());
    let mut maintainers = [0, 1].map(|index| stage.maintainers[index].public_key().to_hex());
    let mut releasers: Vec<_> =
        verified["releasers"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    maintainers.sort_unstable();
    releasers.sort_unstable();
    assert_eq!(releasers, maintainers);
    // Each of them is needed.
    announce(&|releases, _| releases.truncate(1)).refused("release_missing", 1);
    let other = stage.build_by(&stage.builder);
    announce(&|_, built| *built = other.clone()).refused("builder_invalid", 1);
}

#[test]
fn build_is_signed_by_a_certificate_of_the_builder() {
    let stage = stage();
    let home = &stage.home;
    let signed = printed(&build(home, &["--key", "file:builder", "--env", "prod"], &["cat"]));
    assert_eq!((signed.kind.as_u16(), signed.pubkey), (23_794, stage.builder.public_key()));
    let pem = std::fs::read_to_string(home.path("cert.pem")).unwrap();
    let der = builder::signing_certificate(&pem, &signed.pubkey, stage.now).unwrap();
    assert_eq!(tag_value(&signed, "cert"), Some(STANDARD.encode(&der).as_str()));
    assert_eq!(tag_value(&signed, "PCR8"), Some(builder::pcr8(&der).to_string().as_str()));
    for (name, value) in [("r", REPO), ("v", VERSION), ("t", "prod"), ("-", "")] {
        assert_eq!(tag_value(&signed, name).unwrap_or_default(), value, "{name}");
    }
    // The same certificate, signed for again without the image; for nobody else; and never made twice.
    let again = printed(&build(home, &["--key", "file:builder"], &[]));
    assert_eq!(tag_value(&again, "PCR8"), tag_value(&signed, "PCR8"));
    build(home, &["--key", "file:alice"], &[]).refused("builder_invalid", 1);
    build(home, &["--key", "file:builder"], &["true"]).refused("file_exists", 1);
    assert_eq!(std::fs::read_to_string(home.path("cert.pem")).unwrap(), pem);
}

#[test]
fn key_of_the_certificate_goes_to_the_program_and_nowhere_else() {
    let stage = stage();
    let home = &stage.home;
    // A program that hands the key on, says what it sees, and prints where results are printed.
    let script = "tr A-Za-z N-ZA-Mn-za-m > turned; env > seen; tr '\\0' ' ' < /proc/$PPID/cmdline >> seen; \
                  echo noise";
    let mut command = home.encli();
    let line = ["build", "sign", "--ref", REPO, "--version", VERSION, "--certificate", "cert.pem", "--json"];
    let secret = stage.builder.secret_key().to_secret_hex();
    command.args(line).args(["--key", "env:BUILDER", "--", "sh", "-c", script]);
    command.env("BUILDER", &secret).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let run = Run::from(command.output().unwrap());
    printed(&run);
    assert!(run.stderr.contains("noise"), "{run:?}");
    let turned = std::fs::read_to_string(home.path("turned")).unwrap();
    assert!(turned.starts_with("-----ORTVA CEVINGR XRL-----"), "{turned}");
    let seen = std::fs::read_to_string(home.path("seen")).unwrap();
    assert!(seen.contains("--certificate") && seen.contains("PATH="), "{seen}");
    assert!(!seen.contains(&secret) && !seen.contains("BUILDER="), "{seen}");
    let unturned = |c: char| match c {
        'A'..='M' | 'a'..='m' => char::from(c as u8 + 13),
        'N'..='Z' | 'n'..='z' => char::from(c as u8 - 13),
        other => other,
    };
    let key: String = turned.chars().map(unturned).collect();
    let body = key.lines().nth(1).unwrap();
    for entry in std::fs::read_dir(home.as_ref() as &Path).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(body) && !text.contains("PRIVATE KEY"), "{text}");
    }
    assert!(!run.stdout.contains(body) && !run.stderr.contains(body));
}

#[test]
fn image_that_was_not_signed_has_no_builder() {
    let home = stage().home;
    let out = ["--key", "file:builder", "--out", "build.json"];
    for command in [&["false"][..], &["no-such-program-of-the-tests"]] {
        let message = build(&home, &out, command).refused("command_failed", 1);
        assert!(message.contains(command[0]), "{message}");
        assert!(!home.path("cert.pem").exists() && !home.path("build.json").exists());
    }
    let message = build(&home, &out, &[]).refused("file_unreadable", 1);
    assert!(message.contains("after `--`"), "{message}");
    home.write("cert.pem", "hunter2");
    build(&home, &out, &[]).refused("builder_invalid", 1);
    build(&home, &["--key", "file:builder", "--pcr", &format!("8={}", other_pcr())], &[])
        .refused("usage", 64);
}

#[test]
fn machine_is_signed_by_its_instance_id() {
    let stage = stage();
    let line =
        ["instance", "sign", "i-06fb0bf4e70d5129f", "--key", "file:launcher", "--out", "instance.json"];
    let signed = printed(&run(&stage.home, &line));
    assert_eq!((signed.kind.as_u16(), signed.pubkey), (23_795, stage.launcher.public_key()));
    assert_eq!(event(&stage.home.path("instance.json")), signed);
    // PCR4 of a real document of this machine (mystenlabs/fastcrypto's fixture).
    let pcr4 =
        "fc4a2e95325943566b6344b99d998df9675cb30e32a1eaf7d74767d818e715f1e289d09b9e5dbceb8245607ffe661b46";
    assert_eq!((tag_value(&signed, "PCR4"), tag_value(&signed, "t")), (Some(pcr4), Some("dev")));
    run(&stage.home, &line).refused("file_exists", 1);
    run(&stage.home, &["instance", "sign", "i-1"]).refused("key_missing", 64);
    run(&stage.home, &["instance", "sign", "i-1", "--key", "file:launcher", "--ref", REPO])
        .refused("usage", 64);
}

#[test]
fn release_is_signed_by_its_registers() {
    let stage = stage();
    let home = &stage.home;
    let measured = printed(&release(home, &["--ref", REPO, "--pcrs", "pcrs.json", "--key", "file:alice"]));
    assert_eq!((measured.kind.as_u16(), measured.pubkey), (63_794, stage.maintainers[0].public_key()));
    let pcr = |index| marked_value(&measured, "x", &format!("PCR{index}")).unwrap().to_owned();
    let document = stage.verified(&stage.document(|_| {}));
    for index in 0..3 {
        assert_eq!(pcr(index), document.pcr(index).unwrap().to_string());
    }
    let given: Vec<String> =
        (0..3).flat_map(|index| ["--pcr".to_owned(), format!("{index}={}", pcr(index))]).collect();
    let given: Vec<_> = given.iter().map(String::as_str).collect();
    let options = [&["--ref", REPO, "--key", "file:alice", "--env", "dev"], &given[..]].concat();
    assert_eq!(printed(&release(home, &options)).tags, measured.tags);
    let refused = |options: &[&str], code, exit| {
        release(home, &[options, &["--key", "file:alice", "--out", "none.json"]].concat()).refused(code, exit)
    };
    refused(&["--pcrs", "pcrs.json"], "usage", 64);
    refused(&["--ref", REPO], "usage", 64);
    refused(&[&["--ref", REPO], &given[..4]].concat(), "usage", 64);
    refused(&[&["--ref", REPO, "--pcrs", "pcrs.json"], &given[..2]].concat(), "usage", 64);
    refused(&["--ref", REPO, "--pcr", &format!("4={}", other_pcr())], "usage", 64);
    refused(&["--ref", REPO, "--pcrs", "alice"], "measurements_invalid", 1);
    refused(&["--ref", REPO, "--pcrs", "pcrs.json", "--env", "debug"], "usage", 64);
    let zero = format!("0={}", Pcr::ZERO);
    refused(&[&["--ref", REPO, "--pcr", &zero], &given[2..]].concat(), "debug_mode", 1);
    assert!(!home.path("none.json").exists());
}

#[test]
fn expectations_of_the_configuration_are_not_signed() {
    let home = stage().home;
    let pcr = |index| format!("\"{index}={}\"", other_pcr());
    let text =
        format!("ref = \"{REPO}\"\npcr = [{}, {}, {}]\nkey = \"file:alice\"\n", pcr(0), pcr(1), pcr(2));
    let config = home.write("c.toml", text);
    release(&home, &["--config", &config]).refused("usage", 64);
    release(&home, &["--config", &config, "--ref", REPO]).refused("usage", 64);
    printed(&release(&home, &["--config", &config, "--ref", REPO, "--pcrs", "pcrs.json"]));
}

#[test]
fn releases_are_verified_with_their_codes() {
    let stage = stage();
    let home = &stage.home;
    for (key, out) in [("file:alice", "a.json"), ("file:bob", "b.json")] {
        release(home, &["--ref", REPO, "--pcrs", "pcrs.json", "--key", key, "--out", out]).done();
    }
    let verify =
        |files: &[&str], options: &[&str]| run(home, &[&["release", "verify"], files, options].concat());
    let (alice, bob) = (stage.maintainer(0), stage.maintainer(1));
    let both =
        ["--maintainer", &alice, "--maintainer", &bob, "--threshold", "2", "--ref", REPO, "--env", "dev"];
    let shown = verify(&["a.json", "b.json"], &both).done();
    let golden = ["env", "history", "ok", "pcrs", "pinned", "ref", "releasers", "signed_at", "version"];
    assert_eq!(keys(&shown), golden);
    assert_eq!((&shown["ok"], &shown["pinned"], &shown["ref"]), (&json!(true), &json!(true), &json!(REPO)));
    assert_eq!((&shown["version"], &shown["env"]), (&json!(VERSION), &json!("dev")));
    assert_eq!(shown["releasers"].as_array().unwrap().len(), 2);
    assert_eq!(keys(&shown["pcrs"]), ["0", "1", "2"]);
    assert_eq!(keys(&shown["history"][0]), ["pcrs", "releasers", "signed_at", "version"]);
    assert_eq!(verify(&["a.json"], &[]).done()["pinned"], false);

    verify(&["a.json"], &both).refused("release_missing", 1);
    verify(&["a.json"], &["--maintainer", &bob]).refused("release_missing", 1);
    verify(&["a.json"], &["--ref", "https://example.com/other"]).refused("ref_mismatch", 1);
    verify(&["a.json"], &["--env", "prod"]).refused("release_invalid", 1);
    verify(&["a.json"], &["--pcr", &format!("0={}", other_pcr())]).refused("pcr_mismatch", 1);
    verify(&["a.json"], &["--at", "1750000000"]).refused("timestamp_invalid", 1);
    verify(&["a.json"], &["--pcr", &format!("4={}", other_pcr())]).refused("usage", 64);
    verify(&["a.json"], &["--max-age", "5"]).refused("usage", 64);
    verify(&["a.json"], &["--ref", ""]).refused("usage", 64);
    verify(&["none.json"], &[]).refused("file_unreadable", 1);
}

#[test]
fn what_is_no_release_is_refused() {
    let stage = stage();
    let home = &stage.home;
    let document = stage.document(|forge| set_pcr(forge, 0, other_pcr()));
    let newer = [0, 1, 2].map(|index| stage.verified(&document).pcr(index).unwrap());
    let signed = stage.release(&stage.maintainers[0], &newer, Env::Dev);
    let mut forged = signed.clone();
    forged.content = "approved".to_owned();
    let machine = stage.parts_of(document, Env::Dev).instance.unwrap();
    for text in ["", "{}", &forged.as_json(), &machine.as_json(), &stage.announcement(|_| {}).as_json()] {
        home.write("event.json", text);
        let message = run(home, &["release", "verify", "event.json"]).refused("release_invalid", 1);
        assert!(message.starts_with("event.json: "), "{message}");
    }
    home.write("old.json", signed.as_json());
    later_release(home, "new.json");
    let history = |files: [&str; 2]| run(home, &["release", "verify", files[0], files[1]]);
    assert_eq!(history(["old.json", "new.json"]).done()["version"], "2.0.0");
    let message = history(["new.json", "old.json"]).refused("release_invalid", 1);
    assert!(message.contains("1.2.3 follows 2.0.0"), "{message}");
}

#[test]
fn people_see_what_they_signed() {
    let home = stage().home;
    let line = [
        "release",
        "sign",
        "--version",
        VERSION,
        "--ref",
        REPO,
        "--pcrs",
        "pcrs.json",
        "--key",
        "file:alice",
    ];
    let shown = home.run(&line);
    for part in ["Signed.", "npub1", REPO, VERSION, "PCR2", "release/NAME.json", "\"sig\":"] {
        assert!(shown.code == 0 && shown.stdout.contains(part), "{part}: {shown:?}");
    }
    let json = shown.stdout.lines().find(|line| line.starts_with('{')).unwrap();
    let shown = home.write("copied.json", json);
    let verified = home.run(&["release", "verify", &shown]);
    for part in ["The release signatures verify.", "VERSION", VERSION, "npub1", "Not pinned"] {
        assert!(verified.code == 0 && verified.stdout.contains(part), "{part}: {verified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn release_is_published_relay_by_relay() {
    let world = World::start().await;
    let pcrs: Vec<_> = (0..3).map(|index| format!("{index}={}", other_pcr())).collect();
    let line = ["release", "sign", "--ref", REPO, "--version", VERSION, "--key", "file:key", "--publish"];
    let line = [&line[..], &["--pcr", &pcrs[0], "--pcr", &pcrs[1], "--pcr", &pcrs[2]]].concat();
    let dead = ["--relay", "ws://127.0.0.1:1", "--out", "r.json"];
    let run = world.run_bare(&[&line[..], &dead].concat()).await;
    let printed: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, printed["published"]["accepted"].as_array().unwrap().len()), (0, 1), "{run:?}");
    assert!(printed["published"]["accepted"][0].as_str().unwrap().starts_with(&world.url));
    let refused = &printed["published"]["refused"][0];
    assert!(refused["relay"].as_str().unwrap().starts_with("ws://127.0.0.1:1"), "{refused}");
    assert!(!refused["reason"].as_str().unwrap().is_empty(), "{refused}");
    let stored = world.fetch(Filter::new().author(world.stage.owner.public_key())).await;
    let signed = event(&world.stage.home.path("r.json"));
    assert_eq!(stored, std::slice::from_ref(&signed));
    // With what the relays said it is still the event.
    assert_eq!(CheckedEvent::parse(run.stdout.trim()).unwrap(), signed);
    // Where no relay is, nothing is signed.
    let alone = [&line[..], &["--json", "--timeout", "2", "--relay", "ws://127.0.0.1:1"]].concat();
    let run = world.stage.home.run_async(&alone).await;
    assert_eq!(run.code, 69, "{run:?}");
    let nowhere = world.stage.home.run_async(&[&line[..], &["--json"]].concat()).await;
    nowhere.refused("relay_missing", 64);
}

#[test]
fn stranger_keys_do_not_count() {
    let stage = stage();
    release(&stage.home, &["--ref", REPO, "--pcrs", "pcrs.json", "--key", "file:builder", "--out", "x.json"])
        .done();
    let stranger = Keys::generate().public_key().to_hex();
    for maintainer in [stage.maintainer(0), stranger] {
        run(&stage.home, &["release", "verify", "x.json", "--maintainer", &maintainer])
            .refused("release_missing", 1);
    }
}

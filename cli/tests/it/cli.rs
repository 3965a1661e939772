//! Usage errors, help, keys.

use std::os::unix::fs::PermissionsExt;

use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;

use crate::support::{Home, keys};

const NPUB: &str = "npub10xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqpkge6d";

#[test]
fn usage_errors_are_64_in_both_languages() {
    let home = Home::new();
    for line in [
        &["nonsense"][..],
        &[],
        &["instance"],
        &["instance", "ls", "--unknown"],
        &["attestation", "verify"],
        &["attestation", "verify", "f", "--nonce", ""],
        &["attestation", "verify", "f", "--nonce", "abc"],
        &["attestation", "verify", "f", "--pcr", "99=00"],
        &["instance", "verify", "f", "--ref", ""],
        &["instance", "verify", "f", "--maintainer", ""],
        &["instance", "verify", "f", "--threshold", "1"],
        &["wallet", "pay"],
        &["container", "exec", NPUB],
        &["container", "transfer", NPUB],
        &["container", "transfer", NPUB, "--cancel", "--to", NPUB],
        &["container", "accept"],
        &["container", "logs", NPUB, "--lines", "many"],
        &["deploy", "app", "--registry-user", "me"],
        &["deploy", "app", "--registry-user", "me", "--registry-password", "hunter2"],
    ] {
        let plain = home.run(line);
        assert_eq!((plain.code, plain.stdout.as_str()), (64, ""), "{line:?}");
        assert!(plain.stderr.ends_with("[usage]\n"), "{plain:?}");
        home.run(&[&["--json"], line].concat()).refused("usage", 64);
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let home = Home::new();
    for line in [&["--help"][..], &["deploy", "--help"], &["container", "topup", "--help"]] {
        let run = home.run(line);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        assert!(run.stdout.contains("Example"), "{run:?}");
    }
    let version = home.run(&["--version"]);
    assert!(version.code == 0 && version.stdout.starts_with("encli 0."), "{version:?}");
    // One JSON value for programs, and nothing else.
    let version_of = |line: &[&str]| home.run(line).done()["version"].as_str().unwrap().to_owned();
    assert_eq!(version_of(&["--json", "--version"]), version.stdout.trim_end());
    for line in [&["--json", "--help"][..], &["deploy", "--json", "--help"], &["deploy", "--help", "--json"]]
    {
        let help = home.run(line).done()["help"].as_str().unwrap().to_owned();
        assert!(help.contains("Example") && help.contains("encli deploy"), "{help}");
    }
}

#[test]
fn error_says_what_to_do_in_both_languages() {
    let home = Home::new();
    home.write("bad", "hunter2");
    for (line, code, exit, advice) in [
        (&["instance", "verify", "missing.json"][..], "file_unreadable", 1, "check the path"),
        (&["instance", "verify", "bad"], "event_invalid", 1, "get the event anew"),
        (&["container", "ls", "--key", "file:missing"], "secret_unreadable", 64, "check the place"),
        (&["instance", "ls", "--trust-root", "bad"], "trust_root_invalid", 64, "root certificate in DER"),
    ] {
        let message = home.run(&[&["--json"], line].concat()).refused(code, exit);
        assert!(message.contains(&format!("; {advice}")) || message.contains(advice), "{message}");
        let plain = home.run(line);
        assert!(plain.stderr.contains(advice) && plain.stderr.ends_with(&format!("[{code}]\n")), "{plain:?}");
    }
}

#[test]
fn key_is_made_once_and_kept_private() {
    let home = Home::new();
    let made = home.run(&["key", "create", "--out", "key", "--json"]).done();
    assert_eq!(keys(&made), ["file", "npub", "pubkey"]);
    let nsec = std::fs::read_to_string(home.path("key")).unwrap();
    let key = Keys::parse(nsec.trim()).unwrap();
    assert!(nsec.starts_with("nsec1"));
    assert_eq!(made["pubkey"], key.public_key().to_hex());
    assert_eq!(made["npub"], key.public_key().to_bech32().unwrap());
    let mode = std::fs::metadata(home.path("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    home.run(&["key", "create", "--out", "key", "--json"]).refused("file_exists", 1);
    assert_eq!(std::fs::read_to_string(home.path("key")).unwrap(), nsec);
    let shown = home.run(&["key", "create", "--out", "other"]);
    assert!(shown.stdout.contains("npub1") && !shown.stdout.contains("nsec1"), "{shown:?}");
}

#[test]
fn command_that_needs_a_key_says_how_to_make_one() {
    let home = Home::new();
    for line in [
        &["container", "ls"][..],
        &["container", "status", NPUB],
        &["container", "terminate", NPUB],
        &["deploy", "image"],
    ] {
        let message = home.run(&[line, &["--json"]].concat()).refused("key_missing", 64);
        assert!(message.contains("encli key create"), "{message}");
    }
    let message = home.run(&["wallet", "balance", "--json"]).refused("wallet_missing", 64);
    assert!(message.contains("encli wallet create"), "{message}");
}

#[test]
fn key_that_cannot_be_used_is_not_repeated() {
    let home = Home::new();
    home.write("bad", "hunter2");
    let check = |key: &str, code, exit| {
        let message = home.run(&["container", "ls", "--json", "--key", key]).refused(code, exit);
        assert!(!message.contains("hunter2"), "{message}");
    };
    check("hunter2", "usage", 64);
    check("", "usage", 64);
    check("file:", "usage", 64);
    check("file:bad", "key_invalid", 64);
    check("file:missing", "secret_unreadable", 64);
    check("env:MISSING", "secret_unreadable", 64);
    check("bunker:env:URL", "bunker_unsupported", 1);
    for option in ["--wallet", "--pay"] {
        let line = match option {
            "--pay" => ["container", "topup", "1", NPUB, "--json", "--pay"].to_vec(),
            _ => ["wallet", "balance", "--json", "--wallet"].to_vec(),
        };
        let message =
            home.run(&[&line[..], &["nostr+walletconnect://hunter2"]].concat()).refused("usage", 64);
        assert!(message.contains(option) && !message.contains("hunter2"), "{message}");
        let message = home.run(&[&line[..], &["file:bad"]].concat()).refused("wallet_invalid", 64);
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn key_is_read_as_nsec_or_hex() {
    let home = Home::new();
    let key = Keys::generate();
    for text in [key.secret_key().to_bech32().unwrap(), format!("{}\n", key.secret_key().to_secret_hex())] {
        home.write("key", text);
        // Past the key, what is missing next is a relay.
        home.run(&["container", "ls", "--json", "--key", "file:key"]).refused("relay_missing", 64);
    }
}

#[test]
fn nothing_pinned_is_refused_before_anything_is_sent() {
    let home = Home::new();
    home.write("key", Keys::generate().secret_key().to_secret_hex());
    let message = home.run(&["deploy", "image", "--json", "--key", "file:key"]).refused("unpinned", 1);
    assert!(message.contains("--maintainer") && message.contains("--unpinned"), "{message}");
    home.run(&["deploy", "image", "--json", "--key", "file:key", "--unpinned"]).refused("relay_missing", 64);
    home.run(&["deploy", "image", "--units", "51", "--json", "--key", "file:key"])
        .refused("units_invalid", 64);
}

#[test]
fn invoices_are_read_before_a_wallet_is_asked() {
    let home = Home::new();
    home.run(&["wallet", "pay", "lnbc1nonsense", "--json"]).refused("invoice_invalid", 1);
    home.write("key", Keys::generate().secret_key().to_secret_hex());
    let line = ["container", "withdraw", NPUB, "lnbc1nonsense", "--json", "--key", "file:key"];
    home.run(&line).refused("invoice_invalid", 1);
}

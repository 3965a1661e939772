//! The command line as a whole.

use std::collections::BTreeSet;

use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(|word| OsString::from(if word == "''" { "" } else { word })).collect()
}

fn options(line: &str) -> Options {
    match parse(&words(line)) {
        Ok(Parsed::Run(_, options)) => *options,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn usage_error(line: &str) -> String {
    let failure = parse(&words(line)).unwrap_err();
    assert_eq!((failure.code(), failure.exit().code()), ("usage", 64), "{line}: {failure}");
    failure.message().to_owned()
}

#[test]
fn command_is_well_formed() {
    command().debug_assert();
}

#[test]
fn every_command_has_an_example() {
    fn check(path: &str, command: &clap::Command, said: &mut BTreeSet<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.starts_with("Example"), "{path}: no example");
        assert!(help.contains("encli "), "{path}: {help}");
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && said.insert(about), "{path}: nothing said, or what another says");
        for sub in command.get_subcommands() {
            check(&format!("{path} {}", sub.get_name()), sub, said);
        }
    }
    check("encli", &command(), &mut BTreeSet::new());
}

#[test]
fn shared_options_stand_anywhere_and_lists_are_joined() {
    let pcr = |byte: &str| byte.repeat(48);
    let (one, two) = (pcr("11"), pcr("22"));
    let gathered = options(&format!(
        "encli --relay ws://a --pcr 0={one} instance --json ls --relay ws://b --pcr 1={two} --ref repo"
    ));
    assert_eq!(gathered.relay.len(), 2);
    assert_eq!(gathered.pcr.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1]);
    assert!(gathered.json && !gathered.allow_debug);
    assert_eq!(gathered.repo.as_deref(), Some("repo"));
    usage_error("encli --ref a instance ls --ref b");
    usage_error("encli --timeout 1 instance --timeout 2 ls");
}

#[test]
fn options_given_empty_are_refused() {
    for option in [
        "--relay",
        "--config",
        "--trust-root",
        "--ref",
        "--maintainer",
        "--threshold",
        "--pcr",
        "--max-age",
        "--timeout",
        "--at",
        "--public-key",
        "--nonce",
        "--user-data",
    ] {
        usage_error(&format!("encli attestation verify file {option} ''"));
        usage_error(&format!("encli attestation verify file {option}="));
    }
    usage_error("encli attestation verify ''");
    usage_error("encli deploy ''");
    for option in ["--version", "--pcrs", "--env", "--out"] {
        usage_error(&format!("encli release sign {option} ''"));
    }
    for line in ["release verify", "instance sign", "build sign --version 1.0.0 --certificate"] {
        usage_error(&format!("encli {line} ''"));
    }
    for option in ["--instance", "--units", "--name", "--egress", "--upgrade", "--port", "--volume"] {
        usage_error(&format!("encli deploy image {option} ''"));
    }
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for line in [
        "encli",
        "encli instance",
        "encli nonsense",
        "encli attestation verify",
        "encli attestation verify file --unknown",
        "encli attestation verify file --nonce 0",
        "encli attestation verify file --nonce xy",
        "encli attestation verify file --pcr 0",
        "encli attestation verify file --pcr 32=00",
        "encli attestation verify file --pcr 0=00",
        "encli attestation verify file --at yesterday",
        "encli attestation verify file --at -1",
        "encli attestation verify file --max-age 0",
        "encli instance ls --maintainer npub1x",
        "encli instance ls --threshold 0",
        "encli instance ls --relay http://x",
        "encli container topup 0 79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        "encli container withdraw 79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        "encli wallet create",
        "encli release sign --version 1.0",
        "encli release sign --version v1.0.0",
        "encli release sign --version 1.0.0 --env test",
        "encli release verify",
        "encli build sign --version 1.0.0",
        "encli instance sign",
        "encli instance sign 0123456789abcdef0",
        "encli instance sign i-",
        "encli instance sign i-01234\n",
        "encli instance sign i-ABC",
        "encli wallet history --limit 21",
    ] {
        usage_error(line);
    }
}

#[test]
fn secrets_on_the_command_line_are_not_repeated() {
    for line in [
        "encli wallet pay nsec1hunter2 --wallet x nsec1hunter2",
        "encli container status nsec1hunter2",
        "encli --nsec1hunter2",
    ] {
        let message = usage_error(line);
        assert!(!message.contains("hunter2"), "{message}");
    }
    let Ok(Parsed::Run(cli, options)) = parse(&words("encli deploy image --key hunter2 --env A=hunter2"))
    else {
        panic!("not parsed")
    };
    let shown = format!("{cli:?} {options:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn help_and_version_are_shown_not_refused() {
    for line in ["encli --help", "encli -V", "encli instance ls --help", "encli help deploy"] {
        let Ok(Parsed::Show(_, text)) = parse(&words(line)) else { panic!("{line}") };
        assert!(text.contains("encli"), "{text}");
    }
}

#[test]
fn json_is_seen_even_where_nothing_can_be_read() {
    assert!(wants_json(&words("encli --json nonsense")));
    assert!(!wants_json(&words("encli deploy image -- --json")));
    assert!(!wants_json(&words("encli nonsense")));
}

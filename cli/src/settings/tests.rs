//! Precedence, and what cannot be configured.

use super::*;

const KEY: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

fn merge(options: Options, config: &str) -> Result<Settings, Failure> {
    Settings::merge(options, toml::from_str(config).unwrap(), Path::new("/folder"))
}

#[track_caller]
fn refused(options: Options, config: &str, code: &str) -> String {
    let failure = merge(options, config).unwrap_err();
    assert_eq!((failure.code(), failure.exit().code()), (code, 64), "{failure}");
    failure.message().to_owned()
}

#[test]
fn command_line_counts_before_the_file() {
    let config = r#"
        relay = ["wss://a.example", "wss://a.example/", "wss://b.example"]
        ref = "configured"
        timeout = 7
        max-age = 60
        allow-debug = true
        key = "file:key"
        trust-root = "root.der"
        wallet = "file:wallet"
    "#;
    let settings = merge(Options::default(), config).unwrap();
    assert_eq!(settings.relays, ["wss://a.example", "wss://b.example"]);
    assert_eq!(settings.answer_wait(), Duration::from_secs(7));
    assert_eq!((settings.max_age_secs(), settings.allow_debug()), (Some(60), true));
    assert_eq!(settings.key(), Some(&KeyRef::parse("file:/folder/key").unwrap()));
    assert_eq!(settings.trust_root.as_deref(), Some(Path::new("/folder/root.der")));
    assert_eq!(settings.wallet.as_deref(), Some("file:/folder/wallet"));

    let options = Options {
        relay: vec!["wss://c.example".into()],
        repo: Some("given".into()),
        timeout: Some(3),
        key: Some("env:KEY".into()),
        trust_root: Some("other.der".into()),
        ..Options::default()
    };
    let settings = merge(options, config).unwrap();
    assert_eq!(
        (settings.relays.as_slice(), settings.repo.as_deref()),
        (&["wss://c.example".to_owned()][..], Some("given"))
    );
    assert_eq!(settings.answer_wait(), Duration::from_secs(3));
    assert_eq!(settings.key(), Some(&KeyRef::parse("env:KEY").unwrap()));
    assert_eq!(settings.trust_root.as_deref(), Some(Path::new("other.der")));
}

#[test]
fn one_text_is_a_list_of_one() {
    let settings = merge(Options::default(), &format!("relay = \"ws://a\"\nmaintainer = \"{KEY}\"")).unwrap();
    assert_eq!((settings.relays.len(), settings.maintainers.len()), (1, 1));
}

#[test]
fn faults_name_their_field() {
    let none = Options::default;
    assert!(refused(none(), "relay = \"http://x\"", "config_invalid").contains("`relay`"));
    assert!(refused(none(), "maintainer = [\"\"]", "config_invalid").contains("`maintainer`"));
    assert!(refused(none(), "pcr = [\"0=ab\"]", "config_invalid").contains("`pcr`"));
    assert!(refused(none(), "ref = \"\"", "config_invalid").contains("`ref`"));
    assert!(refused(none(), "timeout = 0", "config_invalid").contains("`timeout`"));
    let message = refused(none(), "key = \"nsec1verysecret\"", "usage");
    assert!(message.contains("--key") && !message.contains("verysecret"), "{message}");
}

#[test]
fn expectations_that_would_be_dropped_are_refused() {
    refused(Options::default(), "threshold = 2", "usage");
    let (one, other) = ("00".repeat(48), "11".repeat(48));
    refused(Options::default(), &format!("pcr = [\"0={one}\", \"0={other}\"]"), "usage");
    let same = merge(Options::default(), &format!("pcr = [\"0={one}\", \"0={one}\"]")).unwrap();
    assert!(same.policy(UnixSecs(0)).unwrap().pins_code());
}

#[test]
fn unreachable_threshold_stays_unreachable() {
    let options = Options {
        maintainer: vec![PublicKey::from_hex(KEY).unwrap()],
        threshold: Some(9),
        ..Options::default()
    };
    assert_eq!(merge(options, "").unwrap().policy(UnixSecs(0)).unwrap().threshold, 9);
}

#[test]
fn unknown_names_are_refused() {
    for bad in ["relays = []", "trust_root = \"x\"", "[relay]", "threshold = -1", "pcr = [0]"] {
        assert!(toml::from_str::<ConfigFile>(bad).is_err(), "{bad}");
    }
}

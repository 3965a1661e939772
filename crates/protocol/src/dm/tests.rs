use nostr::key::Keys;
use nostr::nips::nip19::{Nip19Profile, ToBech32};
use nostr::types::RelayUrl;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn deploy(text: &str) -> Value {
    match parse(text) {
        Ok(Command::Deploy(params)) => serde_json::to_value(params).unwrap(),
        other => panic!("{text}: {other:?}"),
    }
}

#[track_caller]
fn wrong(text: &str, part: &str) {
    match parse(text) {
        Err(ParseError::Wrong(failure)) => assert!(failure.message.contains(part), "{text}: {failure}"),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn launch_is_read_whole() {
    let text = "Deploy ghcr.io/you/app:1 units 3 name \"my blog\" env A=1 B=\"two words\" C='=\"'\n\
                env D= port 80 443 volume /data egress none logs off exec on args serve --name x";
    let launch = deploy(text);
    for (field, expected) in [
        ("docker", json!("ghcr.io/you/app:1")),
        ("units", json!(3)),
        ("name", json!("my blog")),
        ("env", json!({"A": "1", "B": "two words", "C": "=\"", "D": ""})),
        ("ports", json!([80, 443])),
        ("volumes", json!(["/data"])),
        ("egress", json!("none")),
        ("logs", json!(false)),
        ("exec", json!(true)),
        ("args", json!(["serve", "--name", "x"])),
    ] {
        assert_eq!(launch[field], expected, "{field}");
    }
}

#[test]
fn shortest_launch_takes_one_unit() {
    let launch = deploy("/deploy app");
    assert_eq!(
        (&launch["docker"], &launch["units"], &launch["upgrade"]),
        (&json!("app"), &json!(1), &json!("none"))
    );
}

#[test]
fn launches_that_are_wrong_say_how() {
    for (text, part) in [
        ("deploy", "say which image"),
        ("deploy app units", "say what"),
        ("deploy app units two", "not a whole number"),
        ("deploy app units 51", "units must be"),
        ("deploy app units 1 units 2", "given twice"),
        ("deploy app env", "NAME=VALUE"),
        ("deploy app env A=1 A=2", "given twice"),
        ("deploy app env 1A=2", "env: a name"),
        ("deploy app port http", "port: write a number"),
        ("deploy app port 0", "ports must be"),
        ("deploy app volume data", "begins with /"),
        ("deploy app volume /proc", "server's"),
        ("deploy app egress some", "egress must be"),
        ("deploy app exec maybe", "on or off"),
        ("deploy app privileged", "is not a part of a launch"),
        ("deploy app name \"open", "never closed"),
        ("deploy app env ENCLAVED_TOKEN=1", "the server's"),
    ] {
        wrong(text, part);
    }
}

#[test]
fn container_is_named_or_the_only_one() {
    let keys = Keys::generate();
    let npub = keys.public_key().to_bech32().unwrap();
    let named = Target::Named("my blog".into());
    for (text, expected) in [
        ("status".to_owned(), Target::Only),
        ("status blog".into(), Target::Named("blog".into())),
        ("STATUS on \"my blog\"".into(), named),
        (format!("status {npub}"), Target::Key(keys.public_key())),
        (format!("status nostr:{npub}"), Target::Key(keys.public_key())),
        (format!("status {}", keys.public_key()), Target::Key(keys.public_key())),
        ("status on on".into(), Target::Named("on".into())),
    ] {
        match parse(&text) {
            Ok(Command::Status(target)) => assert_eq!(target, expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    wrong("status on", "say which container");
    wrong("status a b", "one word too many");
    wrong(&format!("pause {}", "x".repeat(65)), "neither a name nor a key");
}

#[test]
fn numbers_are_read_where_they_belong() {
    let parsed = |text: &str| format!("{:?}", parse(text).unwrap());
    assert_eq!(parsed("topup 500"), "Topup { sats: 500, target: Only }");
    assert_eq!(parsed("topup 500 sats blog"), "Topup { sats: 500, target: Named(\"blog\") }");
    assert_eq!(parsed("logs"), "Logs { lines: None, target: Only }");
    assert_eq!(parsed("logs 20 blog"), "Logs { lines: Some(20), target: Named(\"blog\") }");
    assert_eq!(parsed("logs on 20"), "Logs { lines: None, target: Named(\"20\") }");
    assert_eq!(parsed("upgrade app:2 on blog"), "Upgrade { image: \"app:2\", target: Named(\"blog\") }");
    for text in [
        "topup",
        "topup x",
        "topup 0",
        "topup -5",
        "topup 1.5",
        "topup 10000001",
        "topup 99999999999999999999",
    ] {
        wrong(text, "satoshi");
    }
    wrong("logs 0", "from 1 to");
    wrong("logs 1001", "from 1 to");
    wrong("upgrade", "say which image");
}

/// What somebody wrote is not sent back to them at its length.
#[test]
fn refusals_are_short_however_long_a_word_is() {
    let long = "x".repeat(30_000);
    for text in
        ["deploy app egress", "deploy app upgrade", "deploy app name", "deploy app volume /", "deploy"]
    {
        match parse(&format!("{text} {long}")) {
            Err(ParseError::Wrong(failure)) => assert!(failure.message.len() < 4_000, "{}", failure.message),
            outcome => assert!(outcome.is_ok(), "{outcome:?}"),
        }
    }
}

#[test]
fn talk_is_not_a_command() {
    for text in ["", "  \n", "hello", "thank you", "deployed", "topup500", "нелзя", "❤️"] {
        assert!(matches!(parse(text), Err(ParseError::NotACommand(_))), "{text}");
    }
    wrong(&"x ".repeat(TEXT_BYTES_MAX), "bytes");
}

#[test]
fn every_command_is_in_the_help() {
    for name in [
        "deploy",
        "price",
        "list",
        "status",
        "topup",
        "logs",
        "pause",
        "resume",
        "upgrade",
        "terminate",
        "verify",
    ] {
        assert!(HELP.contains(name), "{name}");
        let text = format!("{name} {}", if name == "topup" { "5" } else { "" });
        assert!(!matches!(parse(&text), Err(ParseError::NotACommand(_))), "{name}");
    }
}

#[test]
fn mention_is_found_by_name_or_key() {
    let (us, other) = (Keys::generate().public_key(), Keys::generate().public_key());
    let profile = Nip19Profile::new(us, [RelayUrl::parse("wss://r.example").unwrap()]).to_bech32().unwrap();
    let server = MentionKeys { pubkey: &us, name: "enclaved" };
    for (text, expected) in [
        ("@enclaved deploy app".to_owned(), Some("deploy app")),
        ("hey @Enclaved: deploy app units 2 ".into(), Some("deploy app units 2")),
        (format!("nostr:{} deploy app", us.to_bech32().unwrap()), Some("deploy app")),
        (format!("@{} deploy app", us.to_bech32().unwrap()), Some("deploy app")),
        (format!("please nostr:{profile}\ndeploy app"), Some("deploy app")),
        (format!("nostr:{} deploy app", other.to_bech32().unwrap()), None),
        ("enclaved deploy app".into(), None),
        ("@enclavedx deploy app".into(), None),
        (String::new(), None),
    ] {
        assert_eq!(after_mention(&text, &server), expected, "{text}");
    }
}

#[test]
fn launch_that_is_written_is_the_one_that_was_read() {
    let text = "deploy app:1 units 3 name \"my \'blog\'\" env A=1 B=\"two  words\" C=\'=\"\' D= port 80 443 \
                volume /data /more egress none upgrade owner logs off exec on args \"\" serve -- \"a\nb\"";
    let written = deploy_text(&launch_of(text));
    assert_eq!(deploy(&written), deploy(text), "{written}");
    assert_eq!(deploy_text(&launch_of("deploy app")), "deploy app units 1");
}

fn launch_of(text: &str) -> LaunchParams {
    match parse(text) {
        Ok(Command::Deploy(launch)) => *launch,
        other => panic!("{text}: {other:?}"),
    }
}

proptest! {
    /// Whatever arguments and values consist of.
    #[test]
    fn any_launch_is_written_so_that_it_is_read(
        args in proptest::collection::vec("([a\"'“” \n=]|\\PC){0,8}", 0..4),
        value in "([a\"'“” =]|\\PC){0,8}",
        port in 1_u16..,
    ) {
        let mut launch = launch_of("deploy app units 2");
        launch.args = Some(args);
        launch.env.insert("A".to_owned(), value);
        launch.ports.push(port);
        let written = deploy_text(&launch);
        prop_assert_eq!(deploy(&written), serde_json::to_value(&launch).unwrap(), "{}", written);
    }

    /// Whatever is written, it is read or refused; and what is read as a launch passed a launch's checks.
    #[test]
    fn any_text_is_read_or_refused(text in "(deploy|logs|topup|status)?( |\\PC|\"|'|\n|=|[0-9]|env|units|name){0,60}") {
        if let Ok(Command::Deploy(params)) = parse(&text) {
            let value = serde_json::to_value(&params).unwrap();
            prop_assert!(LaunchParams::parse(&value).is_ok());
        }
        let us = Keys::parse("0000000000000000000000000000000000000000000000000000000000000001").unwrap().public_key();
        let found = after_mention(&text, &MentionKeys { pubkey: &us, name: "x" });
        prop_assert!(found.is_none_or(|rest| text.ends_with(rest) || text.trim_end().ends_with(rest)));
    }
}

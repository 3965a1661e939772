use nostr::nips::nip47::NostrWalletConnectUri;

use super::KEY;
use crate::nwc::*;

const SECRET: &str = "71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c";

fn uri(rest: &str) -> String {
    format!("nostr+walletconnect://{KEY}?{rest}")
}

#[test]
fn a_connection_parses_and_prints() {
    let text = uri(&format!(
        "relay=wss%3A%2F%2Frelay.example.com&relay=ws%3A%2F%2F127.0.0.1%3A7000%2Fpath&secret={SECRET}&lud16=a%40b.c"
    ));
    let connection: ConnectionUri = text.parse().unwrap();
    assert_eq!(connection.wallet().to_hex(), KEY);
    assert_eq!(connection.relays().len(), 2);
    assert_eq!(hex::encode(**connection.secret()), SECRET);
    assert_eq!(connection.lud16(), Some("a@b.c"));
    assert_eq!(*connection.reveal(), text);
    assert_eq!(connection.reveal().parse::<ConnectionUri>().as_ref(), Ok(&connection));
}

#[test]
fn other_spellings_of_a_connection_are_read() {
    let canonical = uri(&format!("relay=wss%3A%2F%2Fr.example&secret={SECRET}"));
    let expected: ConnectionUri = canonical.parse().unwrap();
    for text in [
        format!("nostr+walletconnect:{KEY}?relay=wss://r.example&secret={SECRET}"),
        format!("nostr+walletconnect://{KEY}/?secret={SECRET}&relay=wss%3A%2F%2Fr.example%2F"),
        format!("  {canonical}&lud16=&color=blue\n"),
        format!(
            "nostr+walletconnect://{}?relay=wss://r.example&secret={}",
            KEY.to_uppercase(),
            SECRET.to_uppercase()
        ),
    ] {
        assert_eq!(text.parse().as_ref(), Ok(&expected), "{text}");
    }
}

#[test]
fn texts_that_are_no_connection_are_refused_without_repeating_them() {
    let relay = "relay=wss://r.example";
    let relays = vec![relay; 17].join("&");
    for (text, expected) in [
        (String::new(), ConnectionUriError::Scheme),
        (format!("https://{KEY}?{relay}&secret={SECRET}"), ConnectionUriError::Scheme),
        (uri(&format!("{relay}&secret={SECRET}&x={}", "x".repeat(5_000))), ConnectionUriError::Scheme),
        (format!("nostr+walletconnect://{}?{relay}&secret={SECRET}", &KEY[1..]), ConnectionUriError::Wallet),
        (
            format!("nostr+walletconnect://{}?{relay}&secret={SECRET}", "ff".repeat(32)),
            ConnectionUriError::Wallet,
        ),
        (uri(&format!("secret={SECRET}")), ConnectionUriError::Relay),
        (uri(&format!("relay=https://r.example&secret={SECRET}")), ConnectionUriError::Relay),
        (uri(&format!("relay=&secret={SECRET}")), ConnectionUriError::Relay),
        (uri(&format!("{relays}&secret={SECRET}")), ConnectionUriError::Relay),
        (uri(relay), ConnectionUriError::Secret),
        (uri(&format!("{relay}&secret={}", &SECRET[2..])), ConnectionUriError::Secret),
        (uri(&format!("{relay}&secret={}", "00".repeat(32))), ConnectionUriError::Secret),
        (uri(&format!("{relay}&secret={SECRET}&secret={SECRET}")), ConnectionUriError::Secret),
    ] {
        let error = text.parse::<ConnectionUri>().unwrap_err();
        assert_eq!(error, expected, "{text}");
        assert!(!error.to_string().contains(&SECRET[..8]));
    }
}

#[test]
fn a_secret_does_not_print() {
    let connection: ConnectionUri = uri(&format!("relay=wss://r.example&secret={SECRET}")).parse().unwrap();
    let shown = format!("{connection:?}");
    assert!(
        shown.contains("r.example") && !shown.contains(&SECRET[..8]) && !shown.contains("113, 168"),
        "{shown}"
    );
}

#[test]
fn the_nips_own_client_types_read_our_connection() {
    let text = uri(&format!(
        "relay=wss%3A%2F%2Fr.example&relay=ws%3A%2F%2F127.0.0.1%3A7000&secret={SECRET}&lud16=a%40b.c"
    ));
    let ours: ConnectionUri = text.parse().unwrap();
    let theirs = NostrWalletConnectUri::parse(ours.reveal().as_str()).unwrap();
    assert_eq!(theirs.public_key, ours.wallet());
    assert_eq!(theirs.relays, ours.relays());
    assert_eq!(theirs.secret.to_secret_bytes(), **ours.secret());
    assert_eq!(theirs.to_string().parse::<ConnectionUri>(), Ok(ours));
}

use nostr::event::{EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::key::Keys;

use super::*;

struct Case {
    kind: u16,
    tags: Vec<Vec<String>>,
}

const RELAY: &str = "wss://relay.example.com";

fn payee() -> PublicKey {
    Keys::parse(&"02".repeat(32)).unwrap().public_key()
}

fn signer() -> PublicKey {
    Keys::parse(&"03".repeat(32)).unwrap().public_key()
}

fn tag(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

impl Case {
    fn valid() -> Self {
        let tags = vec![tag(&["p", &payee().to_hex()]), tag(&["relays", RELAY]), tag(&["amount", "21000"])];
        Self { kind: ZAP_REQUEST, tags }
    }

    fn with(mut self, values: &[&str]) -> Self {
        self.tags.push(tag(values));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.tags.retain(|tag| tag[0] != name);
        self
    }

    fn raw(&self) -> String {
        let tags = self.tags.iter().map(|tag| Tag::parse(tag.clone()).unwrap());
        let sender = Keys::parse(&"04".repeat(32)).unwrap();
        EventBuilder::new(Kind::from_u16(self.kind), "nice").tags(tags).finalize(&sender).unwrap().as_json()
    }

    #[track_caller]
    fn check(&self, expected: Result<(), ZapError>) {
        assert_eq!(check(&self.raw(), Msat::new(21_000), &payee(), &signer()), expected, "{:?}", self.tags);
    }
}

#[test]
fn a_valid_zap_request_is_taken() {
    let id = "ab".repeat(32);
    Case::valid().check(Ok(()));
    Case::valid().without("amount").check(Ok(()));
    Case::valid().with(&["e", &id]).with(&["P", &signer().to_hex()]).check(Ok(()));
    Case::valid().with(&["a", &format!("30023:{id}:a:b")]).check(Ok(()));
    Case::valid().with(&["a", &format!("30023:{id}:{}", "x".repeat(441))]).check(Ok(()));
    Case::valid().with(&["e", &id]).with(&["k", "65535"]).check(Ok(()));
}

#[test]
fn bug_b_an_invalid_zap_request_is_really_refused() {
    let (id, other) = ("ab".repeat(32), signer().to_hex());
    Case { kind: 1, ..Case::valid() }.check(Err(ZapError::Kind));
    Case::valid().without("p").check(Err(ZapError::Payee));
    Case::valid().with(&["p", &other]).check(Err(ZapError::Payee));
    Case::valid().without("p").with(&["p", &payee().to_hex().to_uppercase()]).check(Err(ZapError::Payee));
    Case::valid().with(&["e", "ab"]).check(Err(ZapError::Event));
    Case::valid().with(&["e", &id]).with(&["e", &id]).check(Err(ZapError::Event));
    Case::valid().with(&["a", "x:y"]).check(Err(ZapError::Address));
    Case::valid().with(&["a", &format!("30023:{id}")]).check(Err(ZapError::Address));
    // So long that a relay would refuse the receipt.
    let long = format!("30023:{id}:{}", "x".repeat(442));
    Case::valid().with(&["a", &long]).check(Err(ZapError::Address));
    for kind in ["", "65536", "01", "note", &"1".repeat(60_000)] {
        Case::valid().with(&["k", kind]).check(Err(ZapError::KindOfTarget));
    }
    Case::valid().with(&["k", "1"]).with(&["k", "1"]).check(Err(ZapError::KindOfTarget));
    Case::valid().without("amount").with(&["amount", "21001"]).check(Err(ZapError::Amount));
    Case::valid().without("amount").with(&["amount", "21000.0"]).check(Err(ZapError::Amount));
    Case::valid().with(&["amount", "21000"]).check(Err(ZapError::Amount));
    Case::valid().with(&["P", &payee().to_hex()]).check(Err(ZapError::Sender));
    Case::valid().without("relays").check(Err(ZapError::Relays));
    Case::valid()
        .without("relays")
        .with(&["relays", "https://relay.example.com"])
        .check(Err(ZapError::Relays));
}

#[test]
fn attack_29_a_zap_for_somebody_else_is_refused() {
    let stranger = Keys::parse(&"05".repeat(32)).unwrap().public_key();
    Case::valid().without("p").with(&["p", &stranger.to_hex()]).check(Err(ZapError::Payee));
}

#[test]
fn bug_b_a_zap_request_that_was_tampered_with_is_refused() {
    let raw = Case::valid().raw();
    let checked = |raw: &str| check(raw, Msat::new(21_000), &payee(), &signer());
    assert_eq!(checked(&raw.replace("nice", "evil")), Err(ZapError::Signature));
    let sig = Event::from_json(&raw).unwrap().sig.to_string();
    let reversed: String = sig.chars().rev().collect();
    assert_eq!(checked(&raw.replace(&sig, &reversed)), Err(ZapError::Signature));
    // One spelling: another reader of the same text might see another event.
    for text in [raw.replace(&sig, &format!("00{sig}")), raw.replace(&sig, &sig.to_uppercase())] {
        assert_eq!(checked(&text), Err(ZapError::Malformed), "{text}");
    }
    for text in ["", "{}", "[]", "zap"] {
        assert_eq!(checked(text), Err(ZapError::Malformed), "{text}");
    }
}

#[test]
fn a_receipt_goes_to_ten_relays_at_most() {
    let mut many = vec!["relays".to_owned(), "nonsense".to_owned()];
    many.extend((0..30).map(|n| format!("wss://r{n}.example.com")));
    let mut case = Case::valid().without("relays");
    case.tags.push(many);
    case.check(Ok(()));
    let relays = relays(&case.raw());
    assert_eq!(relays.len(), RELAYS_MAX);
    assert_eq!(relays[0].as_str().trim_end_matches('/'), "wss://r0.example.com");
}

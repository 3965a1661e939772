//! Lightning addresses and zaps, each test named after the rule that it holds (NIP-57, LUD-06/12/16/21).

mod receipts;

use nostr::event::{EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip19::ToBech32;
use nostr::types::url::form_urlencoded;
use nwc::lightning::Bolt11;
use nwc::service::{Asked, InvoiceQuery, LnurlError, Notice, ZapReceipt};
use protocol::nwc::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use units::UnixSecs;

use crate::support::node::hash_of;
use crate::support::{NOW, SITE, Setup, World, assert_refused, person};

const RELAY: &str = "wss://relay.example.com";
/// When something is paid, so that it is not mistaken for when it was asked for.
const LATER: UnixSecs = UnixSecs(NOW.0 + 77);

fn npub(key: PublicKey) -> String {
    key.to_bech32().unwrap()
}

fn sender() -> Keys {
    Keys::parse(&"0a".repeat(32)).unwrap()
}

/// A zap request to somebody with these tags besides `p`.
fn zap_request(to: PublicKey, tags: &[&[&str]]) -> String {
    let p = Tag::parse(["p", &to.to_hex()]).unwrap();
    let tags = tags.iter().map(|tag| Tag::parse(tag.iter().copied()).unwrap());
    let builder = EventBuilder::new(Kind::ZapRequest, "nice").tags(std::iter::once(p).chain(tags));
    builder.finalize(&sender()).unwrap().as_json()
}

fn plain_zap(to: PublicKey) -> String {
    zap_request(to, &[&["relays", RELAY], &["amount", "21000"]])
}

fn query(parameters: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

impl World {
    fn offer(&self, local: &str) -> Result<Value, LnurlError> {
        let offer = self.wallet().pay_offer(&Asked { local, host: None })?;
        Ok(serde_json::to_value(offer).unwrap())
    }

    fn callback(&self, local: &str, parameters: &[(&str, &str)]) -> Result<Value, LnurlError> {
        let query = InvoiceQuery::parse(&query(parameters))?;
        let made = self.wallet().pay_offer_invoice(&Asked { local, host: None }, &query, NOW)?;
        Ok(serde_json::to_value(made).unwrap())
    }

    fn zap(&self, to: PublicKey, raw: &str) -> Result<Bolt11, LnurlError> {
        let made = self.callback(&npub(to), &[("amount", "21000"), ("nostr", raw)])?;
        Ok(Bolt11::parse(made["pr"].as_str().unwrap()).unwrap())
    }

    fn pay_text(&self, payer: PublicKey, bolt11: &str, now: UnixSecs) -> Vec<Notice> {
        let handled = self.handle(payer, Request::PayInvoice(PayInvoice::of(bolt11)), now);
        crate::support::outcome(handled.clone()).unwrap();
        handled.notices
    }

    fn receipts(&self, now: UnixSecs) -> Vec<ZapReceipt> {
        self.wallet().due_receipts(now, 100).unwrap()
    }
}

#[track_caller]
fn assert_error<T: std::fmt::Debug>(result: Result<T, LnurlError>, says: &str) {
    let error = result.unwrap_err();
    assert!(error.to_string().contains(says), "{error}");
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn committed(bolt11: &Bolt11) -> [u8; 32] {
    *bolt11.description_hash().unwrap().as_bytes()
}

#[test]
fn any_npub_has_an_address_and_asking_stores_nothing() {
    let world = World::new();
    let local = npub(person(9));
    let offer = world.offer(&local).unwrap();
    let metadata = offer["metadata"].as_str().unwrap();
    let fields: Vec<(String, String)> = serde_json::from_str(metadata).unwrap();
    assert_eq!(fields[0], ("text/plain".to_owned(), format!("Sats for {local}@wallet.example:8080")));
    assert_eq!(fields[1], ("text/identifier".to_owned(), format!("{local}@wallet.example:8080")));
    assert_eq!(offer["tag"], "payRequest");
    assert_eq!(offer["callback"], format!("{SITE}/lnurlp/{local}/callback"));
    assert_eq!((&offer["minSendable"], &offer["maxSendable"]), (&json!(1_000), &json!(100_000_000_000_i64)));
    assert_eq!((&offer["commentAllowed"], &offer["allowsNostr"]), (&json!(144), &json!(true)));
    assert_eq!(offer["nostrPubkey"], world.service().to_hex());
    assert_eq!(world.list(person(9), ListTransactions { unpaid: Some(true), ..Default::default() }), []);
}

#[test]
fn nobody_lives_under_a_name_that_nobody_chose() {
    let world = World::new();
    let (user, other) = (npub(person(1)), npub(person(2)));
    for local in ["", "bob", "admin", "npub1", &user[..60], &format!("{user}@{other}"), &"a".repeat(200)] {
        let error = world.offer(local).unwrap_err();
        assert!(error.is_not_found(), "{local}: {error}");
        assert!(world.callback(local, &[("amount", "1000")]).unwrap_err().is_not_found(), "{local}");
    }
}

#[test]
fn reference_form_names_the_wallet_behind_the_user() {
    let world = World::new();
    let (user, wallet) = (npub(person(1)), npub(world.service()));
    let by_path = world.offer(&format!("{user}@{wallet}")).unwrap();
    let host = format!("{wallet}.wallet.example:8080");
    let by_host = world.wallet().pay_offer(&Asked { local: &user, host: Some(&host) }).unwrap();
    assert_eq!(by_path, serde_json::to_value(by_host).unwrap());
    assert!(by_path["metadata"].as_str().unwrap().contains(&format!("{user}@{wallet}.wallet.example:8080")));
    // The callback means the same payee and the same metadata.
    let local = format!("{user}@{wallet}");
    assert_eq!(by_path["callback"], format!("{SITE}/lnurlp/{local}/callback"));
    let made = world.callback(&local, &[("amount", "1000")]).unwrap();
    let bolt11 = Bolt11::parse(made["pr"].as_str().unwrap()).unwrap();
    assert_eq!(committed(&bolt11), sha256(by_path["metadata"].as_str().unwrap()));
    world.pay_text(person(0), bolt11.text(), NOW);
    assert_eq!(world.balance(person(1)), 1_000);
    // A host of another wallet is not ours to answer for.
    let host = format!("{}.wallet.example:8080", npub(person(5)));
    let other = world.wallet().pay_offer(&Asked { local: &user, host: Some(&host) });
    assert!(other.unwrap_err().is_not_found());
}

#[test]
fn bug_i_a_plain_payment_commits_to_the_metadata_that_was_served() {
    let world = World::new();
    let bob = person(2);
    let offer = world.offer(&npub(bob)).unwrap();
    let served = sha256(offer["metadata"].as_str().unwrap());
    for parameters in [vec![("amount", "5001")], vec![("amount", "5001"), ("comment", "for tea")]] {
        let made = world.callback(&npub(bob), &parameters).unwrap();
        let bolt11 = Bolt11::parse(made["pr"].as_str().unwrap()).unwrap();
        assert_eq!((committed(&bolt11), bolt11.description()), (served, None));
        assert_eq!((bolt11.amount().unwrap().msat(), &made["routes"]), (5_001, &json!([])));
        world.pay_text(person(0), bolt11.text(), NOW);
    }
    assert_eq!(world.balance(bob), 10_002);
    let [commented, plain] = world.list(bob, ListTransactions::default()).try_into().unwrap();
    assert_eq!((plain.description, plain.metadata), (None, None));
    assert_eq!(commented.description.as_deref(), Some("for tea"));
    assert_eq!(commented.metadata.unwrap().to_json(), r#"{"comment":"for tea"}"#);
    assert_eq!(world.receipts(NOW), [], "no zap, no receipt");
}

#[test]
fn amount_and_comment_are_held_to_what_was_offered() {
    let world = World::new();
    let bob = npub(person(2));
    for amount in ["", "999", "0", "-1000", "1000.5", "100000000001000", "1e6"] {
        assert_error(
            world.callback(&bob, &[("amount", amount)]),
            "whole number of millisatoshi from 1000 to",
        );
    }
    assert_error(world.callback(&bob, &[]), "amount is missing");
    assert_error(world.callback(&bob, &[("amount", "1000"), ("amount", "9000")]), "once");
    assert_error(
        world.callback(&bob, &[("amount", "1000"), ("comment", &"x".repeat(145))]),
        "144 characters",
    );
    assert_eq!(world.list(person(2), ListTransactions { unpaid: Some(true), ..Default::default() }), []);
}

#[test]
fn zap_commits_to_the_raw_string_also_with_a_comment() {
    let world = World::new();
    let bob = person(2);
    // The same event, spelt as no serialiser of ours would.
    let raw = plain_zap(bob).replacen('{', "{ ", 1).replace("\"nice\"", "\"ni\\u0063e\"");
    for comment in ["", "with a comment"] {
        let parameters = [("amount", "21000"), ("nostr", &raw), ("comment", comment)];
        let made = world.callback(&npub(bob), &parameters).unwrap();
        let bolt11 = Bolt11::parse(made["pr"].as_str().unwrap()).unwrap();
        assert_eq!(committed(&bolt11), sha256(&raw), "{comment:?}");
    }
}

#[test]
fn bug_b_an_invalid_zap_request_gives_no_invoice() {
    let world = World::new();
    let (bob, relays) = (person(2), ["relays", RELAY]);
    let id = "ab".repeat(32);
    let valid = plain_zap(bob);
    let refused: Vec<(String, &str)> = vec![
        (valid.replace("nice", "evil"), "signature"),
        (valid.replacen("9734", "1", 1), "signature"),
        ("{}".to_owned(), "not the JSON"),
        (valid.replacen("\"kind\":9734", "\"kind\":9734,\"kind\":9734", 1), "not the JSON"),
        (zap_request(bob, &[&relays, &["amount", "21001"]]), "amount"),
        (zap_request(bob, &[&relays, &["amount", "21000"], &["amount", "21000"]]), "amount"),
        (zap_request(bob, &[&["amount", "21000"]]), "relays"),
        (zap_request(bob, &[&["relays"]]), "relays"),
        (zap_request(bob, &[&relays, &relays]), "relays"),
        (zap_request(bob, &[&relays, &["e", &id], &["e", &id]]), "e tag"),
        (zap_request(bob, &[&relays, &["e", "x"]]), "e tag"),
        (zap_request(bob, &[&relays, &["a", "30023:x"]]), "a tag"),
        (zap_request(bob, &[&relays, &["P", &person(3).to_hex()]]), "P tag"),
        (zap_request(bob, &[&relays, &["p", &person(3).to_hex()]]), "p tag"),
    ];
    for (raw, says) in refused {
        assert_error(world.zap(bob, &raw), says);
    }
    assert_eq!(world.list(bob, ListTransactions { unpaid: Some(true), ..Default::default() }), []);
    let service = world.service().to_hex();
    let full = zap_request(bob, &[&relays, &["e", &id], &["a", &format!("1:{id}:x")], &["P", &service]]);
    world.zap(bob, &full).unwrap();
}

#[test]
fn attack_29_a_zap_for_a_victim_gets_no_receipt_of_ours() {
    let world = World::new();
    let (attacker, victim) = (person(3), person(4));
    // The attacker's own address, the victim's name: paid to himself, published as the victim's.
    assert_error(world.zap(attacker, &plain_zap(victim)), "p tag");
    let service = world.service();
    let request = MakeInvoiceFor {
        pubkey: attacker,
        invoice: MakeInvoice::of(units::Msat::new(21_000)),
        zap_request: Some(plain_zap(victim)),
    };
    assert_refused(world.call(attacker, &request, NOW), ErrorCode::Other, "p tag");
    // Nor over the wallet's own key, in whose name anonymous invoices are made.
    assert_error(world.zap(service, &plain_zap(victim)), "p tag");
    assert_eq!(world.receipts(LATER), []);
}

#[test]
fn verification_is_for_whoever_was_given_its_url() {
    let world = World::new();
    let bob = person(2);
    let made = world.callback(&npub(bob), &[("amount", "1000")]).unwrap();
    let pr = made["pr"].as_str().unwrap();
    let url = made["verify"].as_str().unwrap().strip_prefix(&format!("{SITE}/lnurlp/verify/")).unwrap();
    let (hash, token) = url.split_once('/').unwrap();
    let verify = |hash: &str, token: &str| {
        world.wallet().pay_offer_verify(hash, token).map(|it| serde_json::to_value(it).unwrap())
    };
    let open = json!({"status": "OK", "settled": false, "preimage": null, "pr": pr});
    assert_eq!(verify(hash, token).unwrap(), open);
    world.pay_text(person(0), pr, NOW);
    let paid = verify(hash, token).unwrap();
    let preimage: Preimage = paid["preimage"].as_str().unwrap().parse().unwrap();
    assert_eq!((hash_of(&preimage).to_hex().as_str(), &paid["settled"]), (hash, &json!(true)));
    // The hash, which everybody who saw the invoice knows, is not enough; nor is another's token.
    let other = world.invoice(bob, 5_000).payment_hash.to_hex();
    for (hash, token) in
        [(hash, ""), (hash, &token[..30]), (hash, &"0".repeat(32)), (&other, token), ("", token)]
    {
        assert!(verify(hash, token).unwrap_err().is_not_found(), "{hash} {token}");
    }
}

#[test]
fn a_paid_key_chooses_a_name_and_is_paid_under_it() {
    let mut world = World::new();
    let (alice, bob) = (person(1), person(2));
    let choose = |world: &World, key, name: &str| world.call(key, &ChooseName { name: name.to_owned() }, NOW);
    assert_refused(choose(&world, alice, "alice"), ErrorCode::Restricted, "paid for the first time");
    world.give(alice, 1);
    world.give(bob, 1);
    let info = |world: &World, key| world.call(key, &GetInfo {}, NOW).unwrap().lud16.unwrap();
    assert_eq!(info(&world, alice), format!("{}@wallet.example:8080", npub(alice)));
    assert_eq!(choose(&world, alice, "alice").unwrap().lud16, "alice@wallet.example:8080");
    assert_eq!(info(&world, alice), "alice@wallet.example:8080");
    for (name, code, says) in [
        ("alice", ErrorCode::Restricted, "taken"),
        ("Alice", ErrorCode::Other, "small letters"),
        ("admin", ErrorCode::Other, "reserved"),
        ("x", ErrorCode::Other, "3 to 30"),
    ] {
        assert_refused(choose(&world, bob, name), code, says);
    }
    for name in ["alice.b", "alice-c"] {
        choose(&world, alice, name).unwrap();
        assert_eq!(info(&world, alice), format!("{name}@wallet.example:8080"));
    }
    assert_refused(choose(&world, alice, "alice-d"), ErrorCode::Restricted, "NWC_MAX_NAMES_PER_KEY");
    // An old name of hers is hers still: shown again if she likes, never another's.
    choose(&world, alice, "alice").unwrap();
    assert_eq!(info(&world, alice), "alice@wallet.example:8080");
    assert_refused(choose(&world, bob, "alice-c"), ErrorCode::Restricted, "taken");
    world.reopen().unwrap();
    for name in ["alice", "alice.b", "ALICE-C"] {
        let made = world.callback(name, &[("amount", "1000")]).unwrap();
        world.pay_text(person(0), made["pr"].as_str().unwrap(), NOW);
    }
    assert_eq!((world.balance(alice), world.balance(bob)), (3_001, 1));
    // A zap to a name is a zap to its key.
    let zap = plain_zap(alice);
    world.callback("alice", &[("amount", "21000"), ("nostr", &zap)]).unwrap();
    assert_error(world.callback("alice", &[("amount", "21000"), ("nostr", &plain_zap(bob))]), "p tag");
}

#[test]
fn name_of_a_repeated_request_does_not_come_back() {
    let world = World::new();
    let alice = person(1);
    world.give(alice, 1);
    let choose = |event: u8, name: &str| {
        let request = Request::ChooseName(ChooseName { name: name.to_owned() });
        world.handle_event(alice, event, request, NOW).text().unwrap()
    };
    let first = choose(1, "alice");
    choose(2, "alice.b");
    assert_eq!(choose(1, "alice"), first);
    let shown = world.call(alice, &GetInfo {}, NOW).unwrap().lud16;
    assert_eq!(shown.as_deref(), Some("alice.b@wallet.example:8080"));
}

#[test]
fn closed_wallet_has_addresses_for_admitted_keys_only() {
    let world = World::with(Setup { admin: Some(person(5)), ..Setup::new() });
    assert!(world.offer(&npub(person(6))).unwrap_err().is_not_found());
    world.ask(person(5), Request::AddPubkey(AddPubkey { pubkey: person(6) })).unwrap();
    world.offer(&npub(person(6))).unwrap();
}

#[test]
fn attack_25_no_more_names_are_given_out_than_allowed() {
    let mut setup = crate::support::Setup::new();
    setup.limits.names_total = 2;
    let world = World::with(setup);
    let choose = |who, name: &str| world.call(person(who), &ChooseName { name: name.to_owned() }, NOW);
    for who in 1..=3 {
        world.give(person(who), 1);
    }
    choose(1, "alice").unwrap();
    choose(2, "bob").unwrap();
    assert_refused(choose(3, "carol"), ErrorCode::Restricted, "all names are given out");
    choose(1, "alice").unwrap();
}

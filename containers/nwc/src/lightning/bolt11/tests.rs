use std::time::Duration;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret, SiPrefix};

use super::*;

/// An invoice whose readable part is changed before it is signed, which no honest wallet would do.
fn signed(currency: Currency, amount: Option<(u64, Option<SiPrefix>)>) -> String {
    let mut raw = InvoiceBuilder::new(currency)
        .description("x".to_owned())
        .payment_hash(sha256::Hash::from_byte_array([7; 32]))
        .payment_secret(PaymentSecret([8; 32]))
        .duration_since_epoch(Duration::from_secs(1_700_000_000))
        .min_final_cltv_expiry_delta(144)
        .build_raw()
        .unwrap();
    raw.hrp.raw_amount = amount.map(|(number, _)| number);
    raw.hrp.si_prefix = amount.and_then(|(_, prefix)| prefix);
    let key = SecretKey::from_slice(&[1; 32]).unwrap();
    raw.sign::<_, ()>(|hash| Ok(Secp256k1::signing_only().sign_ecdsa_recoverable(hash, &key)))
        .unwrap()
        .to_string()
}

#[track_caller]
fn check(text: &str, expected: Result<Option<i64>, fn(&Bolt11Error) -> bool>) {
    match (Bolt11::parse(text), expected) {
        (Ok(invoice), Ok(amount)) => assert_eq!(invoice.amount().map(Msat::msat), amount, "{text}"),
        (Err(error), Err(is_right)) => assert!(is_right(&error), "{text}: {error:?}"),
        (parsed, _) => panic!("{text}: {parsed:?}"),
    }
}

#[test]
fn amounts_are_read_exactly_or_refused() {
    let with = |number, prefix| signed(Currency::Regtest, Some((number, prefix)));
    check(&signed(Currency::Regtest, None), Ok(None));
    check(&with(10, Some(SiPrefix::Pico)), Ok(Some(1)));
    check(&with(25, Some(SiPrefix::Micro)), Ok(Some(2_500_000)));
    check(&with(3, None), Ok(Some(300_000_000_000)));
    check(&with(1, Some(SiPrefix::Pico)), Err(|error| matches!(error, Bolt11Error::Invalid(_))));
    check(&with(0, Some(SiPrefix::Micro)), Err(|error| matches!(error, Bolt11Error::Amount)));
    check(&with(0, None), Err(|error| matches!(error, Bolt11Error::Amount)));
}

#[test]
fn attack_03_an_amount_that_overflows_is_not_an_invoice_without_amount() {
    for bitcoin in [18_446_745, u64::MAX] {
        let text = signed(Currency::Regtest, Some((bitcoin, None)));
        check(&text, Err(|error| matches!(error, Bolt11Error::Amount)));
    }
}

#[test]
fn networks_are_told_apart() {
    for (currency, expected) in [
        (Currency::Bitcoin, Network::Mainnet),
        (Currency::BitcoinTestnet, Network::Testnet),
        (Currency::Signet, Network::Signet),
        (Currency::Regtest, Network::Regtest),
    ] {
        assert_eq!(Bolt11::parse(&signed(currency, None)).unwrap().network(), expected);
    }
    check(&signed(Currency::Simnet, None), Err(|error| matches!(error, Bolt11Error::Network)));
}

#[test]
fn capitals_mean_the_same_invoice() {
    let text = signed(Currency::Regtest, None);
    assert_eq!(Bolt11::parse(&text.to_uppercase()), Bolt11::parse(&text));
    let mixed = format!("{}{}", &text[..20], text[20..].to_uppercase());
    check(&mixed, Err(|error| matches!(error, Bolt11Error::Malformed(_))));
}

#[test]
fn texts_that_are_no_invoice_are_refused() {
    let text = signed(Currency::Regtest, None);
    let broken = text.replacen('7', "8", 1).replacen('q', "p", 1);
    for text in
        ["", "lnbcrt", "lightning:lnbcrt1", "lnbc1é", &text[..text.len() - 1], &broken, &"q".repeat(7_089)]
    {
        check(text, Err(|error| matches!(error, Bolt11Error::Malformed(_))));
    }
}

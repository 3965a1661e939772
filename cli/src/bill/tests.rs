//! Invoices that are real in every way but the money.

use std::time::Duration;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use lightning_invoice::{InvoiceBuilder, PaymentSecret};
use nostr::key::Keys;

use super::*;

const MADE_AT: u64 = 1_750_000_000;
const NOW: UnixSecs = UnixSecs(MADE_AT + 10);

fn node(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).unwrap()
}

fn node_id(byte: u8) -> String {
    node(byte).public_key(&Secp256k1::new()).to_string()
}

fn invoice(description: &str, amount_msat: Option<u64>) -> String {
    let mut builder = InvoiceBuilder::new(Currency::Regtest)
        .description(description.to_owned())
        .payment_hash(sha256::Hash::hash(b"preimage"))
        .payment_secret(PaymentSecret([7; 32]))
        .duration_since_epoch(Duration::from_secs(MADE_AT))
        .expiry_time(Duration::from_secs(600))
        .min_final_cltv_expiry_delta(18);
    if let Some(msat) = amount_msat {
        builder = builder.amount_milli_satoshis(msat);
    }
    builder.build_signed(|hash| Secp256k1::new().sign_ecdsa_recoverable(hash, &node(1))).unwrap().to_string()
}

fn wallet(byte: u8) -> WalletTag {
    WalletTag { service: Keys::generate().public_key(), node: node_id(byte) }
}

#[track_caller]
fn refused(bill: &Bill, due: &Due<'_>, now: UnixSecs, code: &str) {
    assert_eq!(bill.check(due, now).unwrap_err().code(), code);
}

#[test]
fn invoice_is_read_whole() {
    let text = invoice("tea", Some(5_000));
    let bill = Bill::parse(&text).unwrap();
    assert_eq!(bill.amount, Some(Msat::new(5_000)));
    assert_eq!((bill.payee.as_str(), bill.network), (node_id(1).as_str(), "regtest"));
    assert_eq!(bill.description.as_deref(), Some("tea"));
    assert_eq!(bill.expires_at, UnixSecs(MADE_AT + 600));
    assert_eq!(Bill::parse(&format!(" LIGHTNING:{}\n", text.to_uppercase())).unwrap(), bill);
}

#[test]
fn only_what_was_agreed_is_paid() {
    let bill = Bill::parse(&invoice("tea", Some(5_000))).unwrap();
    let wallet = (wallet(1), wallet(2));
    let due = Due { amount: Msat::new(5_000), description: "tea", wallet: Some(&wallet.0) };
    bill.check(&due, NOW).unwrap();
    bill.check(&due, UnixSecs(MADE_AT + 600)).unwrap();
    refused(&bill, &due, UnixSecs(MADE_AT + 601), "invoice_expired");
    refused(&bill, &Due { amount: Msat::new(4_999), ..due }, NOW, "invoice_amount_mismatch");
    refused(&bill, &Due { description: "te", ..due }, NOW, "invoice_description_mismatch");
    refused(&bill, &Due { wallet: None, ..due }, NOW, "wallet_unknown");
    refused(&bill, &Due { wallet: Some(&wallet.1), ..due }, NOW, "invoice_payee_mismatch");
    let open = Bill::parse(&invoice("tea", None)).unwrap();
    refused(&open, &due, NOW, "invoice_amount_mismatch");
}

#[test]
fn text_that_is_no_invoice_is_refused() {
    let good = invoice("tea", Some(5_000));
    let changed = good.replacen("lnbcrt", "lnbc", 1);
    for bad in ["", "lightning:", "lnbc1", "héllo wörld and more", &good[..good.len() - 1], &changed] {
        assert_eq!(Bill::parse(bad).unwrap_err().code(), "invoice_invalid", "{bad}");
    }
}

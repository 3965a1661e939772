//! A server that answers something else than was asked.

use std::time::Duration;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use nostr::key::Keys;
use protocol::manifest::{Egress, Salt};
use protocol::nec::announcement::{PriceTag, WalletTag};
use protocol::rpc::enclaved::Invoice;
use serde_json::json;
use units::ComputeUnits;

use super::*;

const NOW: UnixSecs = UnixSecs(1_750_000_000);

/// A launch that was asked for and answered well.
struct Case {
    asked: LaunchParams,
    hidden: Secrets,
    owner: PublicKey,
    reply: LaunchReply,
    offer: Offer,
}

fn node() -> SecretKey {
    SecretKey::from_slice(&[9; 32]).unwrap()
}

fn invoice(description: &str, msat: u64) -> Invoice {
    let invoice = InvoiceBuilder::new(Currency::Regtest)
        .description(description.to_owned())
        .payment_hash(sha256::Hash::hash(b"preimage"))
        .payment_secret(PaymentSecret([7; 32]))
        .duration_since_epoch(Duration::from_secs(NOW.0))
        .expiry_time(Duration::from_secs(600))
        .min_final_cltv_expiry_delta(18)
        .amount_milli_satoshis(msat)
        .build_signed(|hash| Secp256k1::new().sign_ecdsa_recoverable(hash, &node()))
        .unwrap();
    Invoice {
        direction: "incoming".into(),
        invoice: invoice.to_string(),
        description: None,
        payment_hash: invoice.payment_hash().to_string(),
        amount: Msat::new(i64::try_from(msat).unwrap()),
        created_at: NOW,
        expires_at: NOW.plus_secs(600),
    }
}

fn good() -> Case {
    let asked = LaunchParams::parse(&json!({
        "docker": "r.example/echo:1", "units": 2, "env": {"MODE": "fast", "TOKEN": "secret"},
        "ports": [8080, 80], "volumes": ["/z", "/a"], "args": ["serve"], "salt": Salt::new([5; 32]),
    }))
    .unwrap();
    let owner = Keys::generate().public_key();
    let image = format!("r.example/echo@sha256:{}", "ab".repeat(32));
    let salt = Salt::new([5; 32]);
    // Written out, so that a fault in how the manifest is made here would show.
    let manifest: LaunchManifest = serde_json::from_value(json!({
        "version": 1, "image": image, "args": ["serve"], "units": 2, "ports": [80, 8080],
        "env": {"MODE": salt.hmac("MODE", "fast"), "TOKEN": salt.hmac("TOKEN", "secret")},
        "secrets": {"KEY": salt.hmac("KEY", "hunter2")},
        "volumes": ["/a", "/z"], "egress": "all", "upgrade": "none", "owner": owner, "logs": true, "exec": false,
    }))
    .unwrap();
    let manifest_sha256 = manifest.sha256().unwrap();
    let reply = LaunchReply {
        pubkey: Keys::generate().public_key(),
        invoice: invoice(&format!("enclaved launch {manifest_sha256}"), 10_000),
        image,
        manifest,
        manifest_sha256,
        salt,
        price_msat_per_hour: Msat::new(10_000),
        state: "waiting".into(),
    };
    let wallet = WalletTag {
        service: Keys::generate().public_key(),
        node: node().public_key(&Secp256k1::new()).to_string(),
    };
    let price = PriceTag { unit_hour_msat: Msat::new(5_000), period_secs: 3_600 };
    let hidden = serde_json::from_value(json!({"env": {"KEY": "hunter2"}})).unwrap();
    Case { asked, hidden, owner, reply, offer: Offer { price, wallet: Some(wallet) } }
}

fn verdict(case: &Case) -> Result<Agreed, Failure> {
    check(&case.asked, &case.hidden, &case.owner, &case.reply, &case.offer, NOW)
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Case), code: &str) {
    let mut case = good();
    change(&mut case);
    assert_eq!(verdict(&case).unwrap_err().code(), code);
}

#[test]
fn honest_reply_is_agreed() {
    let case = good();
    let agreed = verdict(&case).unwrap();
    assert_eq!((agreed.resolved, agreed.amount), (Resolved::FromTag, Msat::new(10_000)));
    assert_eq!(agreed.manifest_sha256, case.reply.manifest_sha256);
    assert_eq!(agreed.container, case.reply.pubkey);
}

#[test]
fn another_manifest_than_asked_is_refused() {
    let changes: [fn(&mut LaunchManifest); 14] = [
        |m| m.version = 2,
        |m| m.image = format!("r.example/echo@sha256:{}", "cd".repeat(32)),
        |m| m.args = None,
        |m| drop(m.env.remove("TOKEN")),
        |m| m.units = ComputeUnits::new(1).unwrap(),
        |m| m.ports = vec![80],
        |m| m.volumes = vec![],
        |m| m.egress = Egress::None,
        |m| m.owner = Keys::generate().public_key(),
        |m| m.logs = false,
        |m| m.exec = true,
        |m| drop(m.secrets.remove("KEY")),
        |m| drop(m.secrets.insert("KEY".into(), "00".repeat(32))),
        |m| drop(m.env.insert("EXTRA".into(), "00".repeat(32))),
    ];
    for change in changes {
        // The hash and the invoice agree with the changed manifest, as a lying server would have it.
        refused(
            |case| {
                change(&mut case.reply.manifest);
                case.reply.manifest_sha256 = case.reply.manifest.sha256().unwrap();
                case.reply.invoice =
                    invoice(&format!("enclaved launch {}", case.reply.manifest_sha256), 10_000);
            },
            "manifest_mismatch",
        );
    }
    refused(|case| case.reply.manifest_sha256 = "00".repeat(32), "manifest_mismatch");
    refused(|case| case.reply.salt = Salt::new([6; 32]), "manifest_mismatch");
    refused(|case| case.reply.image = "evil.example/echo:1".into(), "manifest_mismatch");
    refused(|case| case.reply.image = case.reply.image.replace("echo", "other"), "manifest_mismatch");
    refused(|case| case.asked.salt = None, "manifest_mismatch");
}

#[test]
fn another_price_or_invoice_is_refused() {
    let launch = |case: &Case| format!("enclaved launch {}", case.reply.manifest_sha256);
    refused(|case| case.reply.price_msat_per_hour = Msat::new(20_000), "price_mismatch");
    refused(|case| case.reply.invoice = invoice(&launch(case), 10_001), "invoice_amount_mismatch");
    refused(|case| case.offer.price.unit_hour_msat = Msat::new(4_000), "price_mismatch");
    refused(|case| case.reply.invoice = invoice("enclaved launch", 10_000), "invoice_description_mismatch");
    refused(|case| case.reply.invoice.invoice = "lnbc1".into(), "invoice_invalid");
    refused(|case| case.offer.wallet = None, "wallet_unknown");
    refused(
        |case| case.offer.wallet.as_mut().unwrap().node = format!("02{}", "11".repeat(32)),
        "invoice_payee_mismatch",
    );
    let case = good();
    let late = check(&case.asked, &case.hidden, &case.owner, &case.reply, &case.offer, NOW.plus_secs(601));
    assert_eq!(late.unwrap_err().code(), "invoice_expired");
}

#[test]
fn short_periods_may_round_their_hour() {
    // 2 units at 5 sat an hour for 5 s: 13.9 msat, rounded up to 14, which is 10,080 msat an hour.
    let per_period = Msat::new(14);
    for hourly in [10_080, 10_000] {
        check_hourly(Msat::new(hourly), per_period, 5).unwrap();
    }
    assert_eq!(check_hourly(Msat::new(11_000), per_period, 5).unwrap_err().code(), "price_mismatch");
}

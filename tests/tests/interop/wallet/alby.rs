//! Alby's SDK: information, balance, invoices, payments, history, notifications, refusals.

use anyhow::{Context, Result, ensure};
use nostr::key::Keys;
use serde_json::{Value, json};

use super::sdk::{Encryption, Sdk};
use super::stage::{Stage, hash_of};

/// The methods of NIP-47 and of the SDK that every wallet of ours offers.
const METHODS: [&str; 6] =
    ["get_info", "get_balance", "make_invoice", "lookup_invoice", "list_transactions", "pay_invoice"];

#[tokio::test(flavor = "multi_thread")]
async fn alby_sdk_over_nip44() -> Result<()> {
    play(Encryption::Nip44).await
}

/// The SDK takes NIP-04 only from wallets that offer nothing newer; the driver tells it to.
#[tokio::test(flavor = "multi_thread")]
async fn alby_sdk_over_nip04() -> Result<()> {
    play(Encryption::Nip04).await
}

async fn play(encryption: Encryption) -> Result<()> {
    let stage = Stage::start().await?;
    let played = flows(&stage, encryption).await;
    played.with_context(|| stage.log())?;
    stage.stop().await
}

async fn flows(stage: &Stage, encryption: Encryption) -> Result<()> {
    let (alice, bob) = (Keys::generate(), Keys::generate());
    stage.give(&alice, 100_000).await?;
    let mut sdk = Sdk::start()?;
    sdk.open("alice", &stage.uri(&alice)?, encryption).await?;
    sdk.open("bob", &stage.uri(&bob)?, encryption).await?;
    information(&mut sdk).await?;
    for client in ["alice", "bob"] {
        sdk.ok(client, "subscribe", json!({"types": ["payment_received", "payment_sent"]})).await?;
    }
    let hash = payment(&mut sdk).await?;
    history(&mut sdk, &hash).await?;
    refusals(&mut sdk).await
}

async fn information(sdk: &mut Sdk) -> Result<()> {
    let service = sdk.ok("alice", "getWalletServiceInfo", json!({})).await?;
    assert_eq!(service["encryptions"], json!(["nip44_v2", "nip04"]));
    let info = sdk.ok("alice", "getInfo", json!({})).await?;
    for method in METHODS {
        ensure!(list(&info["methods"]).contains(&method), "{method} is missing: {info}");
        ensure!(list(&service["capabilities"]).contains(&method), "{method} is missing: {service}");
    }
    for notification in ["payment_received", "payment_sent"] {
        ensure!(list(&service["notifications"]).contains(&notification), "{service}");
        ensure!(list(&info["notifications"]).contains(&notification), "{info}");
    }
    assert_eq!(info["network"], "regtest");
    ensure!(info["lud16"].as_str().is_some_and(|address| address.starts_with("npub1")), "{info}");
    assert_eq!(sdk.ok("alice", "getBalance", json!({})).await?, json!({"balance": 100_000}));
    assert_eq!(sdk.ok("bob", "getBalance", json!({})).await?, json!({"balance": 0}));
    // A connection without a budget has an empty one.
    assert_eq!(sdk.ok("alice", "getBudget", json!({})).await?, json!({}));
    Ok(())
}

async fn payment(sdk: &mut Sdk) -> Result<String> {
    let metadata = json!({"comment": "for tea", "nested": {"n": 1}});
    let terms = json!({"amount": 30_001, "description": "tea", "expiry": 60, "metadata": metadata});
    let made = sdk.ok("bob", "makeInvoice", terms).await?;
    assert_eq!((&made["type"], &made["state"]), (&json!("incoming"), &json!("pending")));
    assert_eq!((&made["amount"], &made["description"]), (&json!(30_001), &json!("tea")));
    assert_eq!(made["expires_at"].as_u64(), made["created_at"].as_u64().map(|at| at + 60));
    let (invoice, hash) = (made["invoice"].clone(), made["payment_hash"].clone());
    let open = sdk.ok("bob", "lookupInvoice", json!({"payment_hash": hash})).await?;
    assert_eq!((&open["state"], open.get("preimage")), (&json!("pending"), None));

    let paid = sdk.ok("alice", "payInvoice", json!({"invoice": invoice})).await?;
    let fees = paid["fees_paid"].as_i64().context("no fees")?;
    assert_eq!(hash_of(&paid["preimage"])?, hash.as_str().unwrap());
    let again = sdk.ok("alice", "payInvoice", json!({"invoice": invoice})).await?;
    assert_eq!(again, paid, "paying again returns the proof and pays nothing");
    assert_eq!(sdk.ok("alice", "getBalance", json!({})).await?["balance"], 100_000 - 30_001 - fees);
    assert_eq!(sdk.ok("bob", "getBalance", json!({})).await?["balance"], 30_001);

    let sent = sdk.heard("alice", "payment_sent").await?;
    let received = sdk.heard("bob", "payment_received").await?;
    for (told, direction) in [(&sent, "outgoing"), (&received, "incoming")] {
        assert_eq!((&told["type"], &told["state"]), (&json!(direction), &json!("settled")));
        assert_eq!((&told["payment_hash"], &told["preimage"]), (&hash, &paid["preimage"]));
        assert_eq!((&told["invoice"], &told["amount"]), (&invoice, &json!(30_001)));
    }
    assert_eq!(received["metadata"], metadata);
    for (client, by) in [("alice", json!({"invoice": invoice})), ("bob", json!({"payment_hash": hash}))] {
        let found = sdk.ok(client, "lookupInvoice", by).await?;
        assert_eq!((&found["state"], &found["preimage"]), (&json!("settled"), &paid["preimage"]), "{client}");
    }
    Ok(hash.as_str().unwrap_or_default().to_owned())
}

async fn history(sdk: &mut Sdk, hash: &str) -> Result<()> {
    let unpaid = sdk.ok("alice", "makeInvoice", json!({"amount": 5_000})).await?;
    let listed = sdk.ok("alice", "listTransactions", json!({})).await?;
    assert_eq!(hashes(&listed).first(), Some(&hash.to_owned()), "newest first, and paid only: {listed}");
    assert_eq!(hashes(&listed).len(), 2);
    let all = sdk.ok("alice", "listTransactions", json!({"unpaid": true})).await?;
    ensure!(hashes(&all).contains(&unpaid["payment_hash"].as_str().unwrap_or_default().to_owned()));
    let outgoing = sdk.ok("alice", "listTransactions", json!({"type": "outgoing"})).await?;
    assert_eq!(hashes(&outgoing), [hash]);
    let second = sdk.ok("alice", "listTransactions", json!({"limit": 1, "offset": 1})).await?;
    assert_eq!(hashes(&second), hashes(&listed)[1..]);
    let from = listed["transactions"][0]["created_at"].as_u64().context("no time")? + 1;
    assert_eq!(hashes(&sdk.ok("alice", "listTransactions", json!({"from": from})).await?), [""; 0]);
    Ok(())
}

async fn refusals(sdk: &mut Sdk) -> Result<()> {
    let large = sdk.ok("bob", "makeInvoice", json!({"amount": 900_000})).await?["invoice"].take();
    let paying = json!({"invoice": large});
    assert_eq!(sdk.refusal("alice", "payInvoice", paying).await?, "INSUFFICIENT_BALANCE");
    let nothing = json!({"payment_hash": "ab".repeat(32)});
    assert_eq!(sdk.refusal("alice", "lookupInvoice", nothing).await?, "NOT_FOUND");
    let other = json!({"invoice": large, "amount": 5});
    assert_eq!(sdk.refusal("alice", "payInvoice", other).await?, "OTHER", "an amount is not overridden");
    // What NIP-47 dropped, what nobody can receive here, and what is not of a wallet.
    let keysend = json!({"amount": 1_000, "pubkey": "02".repeat(33)});
    assert_eq!(sdk.refusal("alice", "payKeysend", keysend).await?, "NOT_IMPLEMENTED");
    assert_eq!(sdk.refusal("alice", "signMessage", json!({"message": "m"})).await?, "NOT_IMPLEMENTED");
    // Of several payments the SDK expects one reply each, and calls a refusal of all unexpected.
    let multi = sdk.ask("alice", "multiPayInvoice", json!({"invoices": [{"invoice": large}]})).await?;
    let refused = sdk.answer(&multi).await?.err().context("paid")?;
    assert_eq!(
        (&refused["code"], &refused["name"]),
        (&json!("NOT_IMPLEMENTED"), &json!("Nip47UnexpectedResponseError"))
    );
    // The SDK itself stops an invoice over nothing; the wallet would too.
    let asked = sdk.ask("alice", "makeInvoice", json!({"amount": 0})).await?;
    assert_eq!(sdk.answer(&asked).await?.unwrap_err()["message"], "No amount specified");
    let none = json!({"method": "make_invoice", "params": {"amount": 0}});
    assert_eq!(sdk.refusal("alice", "raw", none).await?, "OTHER");
    Ok(())
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().map(|all| all.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn hashes(listed: &Value) -> Vec<String> {
    let all = listed["transactions"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|one| Some(one["payment_hash"].as_str()?.to_owned())).collect()
}

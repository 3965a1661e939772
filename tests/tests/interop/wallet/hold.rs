//! Hold invoices and budgets, as Alby's SDK uses them.

use anyhow::{Context, Result, ensure};
use nostr::key::Keys;
use protocol::nwc::ConnectionUri;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::sdk::{Encryption, Sdk};
use super::stage::{Stage, hash_of};

#[tokio::test(flavor = "multi_thread")]
async fn alby_sdk_hold_invoices_over_nip44() -> Result<()> {
    play(Encryption::Nip44).await
}

#[tokio::test(flavor = "multi_thread")]
async fn alby_sdk_hold_invoices_over_nip04() -> Result<()> {
    play(Encryption::Nip04).await
}

async fn play(encryption: Encryption) -> Result<()> {
    let stage = Stage::start().await?;
    flows(&stage, encryption).await.with_context(|| stage.log())?;
    stage.stop().await
}

async fn flows(stage: &Stage, encryption: Encryption) -> Result<()> {
    let (payer, payee) = (Keys::generate(), Keys::generate());
    stage.give(&payer, 100_000).await?;
    let mut sdk = Sdk::start()?;
    sdk.open("payer", &stage.uri(&payer)?, encryption).await?;
    sdk.open("payee", &stage.uri(&payee)?, encryption).await?;
    let info = sdk.ok("payee", "getInfo", json!({})).await?;
    for method in ["make_hold_invoice", "settle_hold_invoice", "cancel_hold_invoice"] {
        ensure!(info["methods"].as_array().is_some_and(|all| all.contains(&json!(method))), "{info}");
    }
    sdk.ok("payee", "subscribe", json!({})).await?;
    settled(&mut sdk).await?;
    cancelled(&mut sdk).await?;
    let nothing = json!({"preimage": "cd".repeat(32)});
    assert_eq!(sdk.refusal("payee", "settleHoldInvoice", nothing).await?, "NOT_FOUND");
    Ok(())
}

async fn hold_invoice(sdk: &mut Sdk, preimage: &str) -> Result<(Value, Value)> {
    let hash = hash_of(&json!(preimage))?;
    let made = sdk.ok("payee", "makeHoldInvoice", json!({"amount": 21_000, "payment_hash": hash})).await?;
    assert_eq!(made["payment_hash"], json!(hash));
    Ok((made["invoice"].clone(), json!(hash)))
}

/// The money is locked in until its payee gives the preimage, and the payer hears nothing before.
async fn settled(sdk: &mut Sdk) -> Result<()> {
    let preimage = "17".repeat(32);
    let (invoice, hash) = hold_invoice(sdk, &preimage).await?;
    let paying = sdk.ask("payer", "payInvoice", json!({"invoice": invoice})).await?;
    let accepted = sdk.heard("payee", "hold_invoice_accepted").await?;
    assert_eq!((&accepted["payment_hash"], &accepted["state"]), (&hash, &json!("accepted")));
    ensure!(accepted["settle_deadline"].is_u64(), "{accepted}");
    let found = sdk.ok("payee", "lookupInvoice", json!({"payment_hash": hash})).await?;
    assert_eq!(found["state"], "accepted");
    assert_eq!(sdk.ok("payee", "getBalance", json!({})).await?["balance"], 0);
    ensure!(!sdk.is_answered(&paying), "the payer has a proof that the payee has not given");
    assert_eq!(sdk.ok("payee", "settleHoldInvoice", json!({"preimage": preimage})).await?, json!({}));
    let paid = sdk.answer(&paying).await?.map_err(|error| anyhow::anyhow!("{error}"))?;
    assert_eq!(paid["preimage"], json!(preimage));
    assert_eq!(sdk.heard("payee", "payment_received").await?["payment_hash"], hash);
    assert_eq!(sdk.ok("payee", "getBalance", json!({})).await?["balance"], 21_000);
    Ok(())
}

/// What its payee sends back is the payer's again.
async fn cancelled(sdk: &mut Sdk) -> Result<()> {
    let before = sdk.ok("payer", "getBalance", json!({})).await?;
    let (invoice, hash) = hold_invoice(sdk, &"18".repeat(32)).await?;
    let paying = sdk.ask("payer", "payInvoice", json!({"invoice": invoice})).await?;
    sdk.heard("payee", "hold_invoice_accepted").await?;
    assert_eq!(sdk.ok("payee", "cancelHoldInvoice", json!({"payment_hash": hash})).await?, json!({}));
    let refused = sdk.answer(&paying).await?.err().context("it was paid")?;
    assert_eq!(refused["code"], "PAYMENT_FAILED");
    assert_eq!(sdk.ok("payer", "getBalance", json!({})).await?, before);
    let settling = json!({"preimage": "18".repeat(32)});
    let late = sdk.ask("payee", "settleHoldInvoice", settling).await?;
    ensure!(sdk.answer(&late).await?.is_err(), "settled after it was cancelled");
    assert_eq!(sdk.ok("payee", "getBalance", json!({})).await?["balance"], 21_000);
    Ok(())
}

/// `create_connection` and `get_budget` are the SDK's own; the wallet understands its shapes.
#[tokio::test(flavor = "multi_thread")]
async fn alby_sdk_connection_with_a_budget() -> Result<()> {
    let stage = Stage::start().await?;
    budget(&stage).await.with_context(|| stage.log())?;
    stage.stop().await
}

async fn budget(stage: &Stage) -> Result<()> {
    let (owner, app) = (Keys::generate(), Keys::generate());
    stage.give(&owner, 100_000).await?;
    let mut sdk = Sdk::start()?;
    sdk.open("owner", &stage.uri(&owner)?, Encryption::Nip44).await?;
    let terms = json!({
        "pubkey": app.public_key().to_hex(),
        "name": "an app",
        "request_methods": ["get_info", "get_balance", "get_budget", "pay_invoice"],
        "max_amount": 10_000,
        "budget_renewal": "daily",
    });
    // A wallet of its own is not what a connection is; that is said, not ignored.
    let mut isolated = terms.clone();
    isolated["isolated"] = true.into();
    assert_eq!(sdk.refusal("owner", "createConnection", isolated).await?, "OTHER");
    let connected = sdk.ok("owner", "createConnection", terms).await?;
    let service = connected["wallet_pubkey"].as_str().context("no wallet_pubkey")?;
    let uri = ConnectionUri::new(
        nostr::key::PublicKey::from_hex(service)?,
        vec![nostr::types::RelayUrl::parse(&stage.relay_url)?],
        Zeroizing::new(app.secret_key().to_secret_bytes()),
        None,
    )?;
    sdk.open("app", &uri.reveal(), Encryption::Nip44).await?;
    let before = sdk.ok("app", "getBudget", json!({})).await?;
    assert_eq!((&before["used_budget"], &before["total_budget"]), (&json!(0), &json!(10_000)));
    assert_eq!(before["renewal_period"], "daily");
    let (small, large) = (invoice(stage, 4_000).await?, invoice(stage, 9_000).await?);
    sdk.ok("app", "payInvoice", json!({"invoice": small})).await?;
    let used = sdk.ok("app", "getBudget", json!({})).await?["used_budget"].as_i64();
    ensure!(used.is_some_and(|used| (4_000..=10_000).contains(&used)), "{used:?}");
    assert_eq!(sdk.refusal("app", "payInvoice", json!({"invoice": large})).await?, "QUOTA_EXCEEDED");
    assert_eq!(sdk.refusal("app", "makeInvoice", json!({"amount": 1_000})).await?, "RESTRICTED");
    // The owner has no budget, and pays.
    sdk.ok("owner", "payInvoice", json!({"invoice": large})).await?;
    Ok(())
}

/// Somebody else's invoice.
async fn invoice(stage: &Stage, msat: i64) -> Result<String> {
    let keys = Keys::generate();
    let call = protocol::nwc::MakeInvoice::of(units::Msat::new(msat));
    let made = stage.client(&keys).await?.call(&keys, &call, super::stage::DEADLINE).await?;
    made.invoice.context("no invoice")
}

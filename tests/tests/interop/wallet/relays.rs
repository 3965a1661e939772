//! Alby's SDK with two relays in its connection string, and with connections that end.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nostr::key::{Keys, PublicKey};
use nostr::types::RelayUrl;
use protocol::nwc::ConnectionUri;
use serde_json::{Value, json};
use tokio::time::sleep;
use units::{Clock, SystemClock};
use zeroize::Zeroizing;

use super::sdk::{Encryption, Sdk};
use super::stage::{DEADLINE, Stage};

/// How long a connection lives here: long enough to be used on a busy machine.
const LIFE_SECS: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn alby_sdk_goes_on_over_one_of_its_two_relays() -> Result<()> {
    let mut stage = Stage::start_on(2).await?;
    let (alice, bob) = (Keys::generate(), Keys::generate());
    stage.give(&alice, 100_000).await?;
    let uri = stage.uri(&alice)?;
    assert_eq!(uri.matches("relay=").count(), 2, "{uri}");
    let mut sdk = Sdk::start()?;
    sdk.open("alice", &uri, Encryption::Nip44).await?;
    sdk.open("bob", &stage.uri(&bob)?, Encryption::Nip44).await?;
    sdk.ok("bob", "subscribe", json!({"types": ["payment_received"]})).await?;
    let balance = |msat: i64| json!({"balance": msat});
    pay(&mut sdk, 20_000).await?;
    assert_eq!(sdk.ok("alice", "getBalance", json!({})).await?, balance(80_000), "paid once, over both");
    // The second relay has nothing of what was said before, and does all that is said from now on.
    stage.stop_first_relay().await?;
    pay(&mut sdk, 30_000).await?;
    assert_eq!(sdk.ok("alice", "getBalance", json!({})).await?, balance(50_000));
    assert_eq!(sdk.ok("bob", "getBalance", json!({})).await?, balance(50_000));
    stage.stop().await
}

/// Alice pays Bob, who hears of it.
async fn pay(sdk: &mut Sdk, msat: i64) -> Result<()> {
    let made = sdk.ok("bob", "makeInvoice", json!({"amount": msat})).await?;
    sdk.ok("alice", "payInvoice", json!({"invoice": made["invoice"]})).await?;
    let heard = sdk.heard("bob", "payment_received").await?;
    assert_eq!((&heard["payment_hash"], &heard["amount"]), (&made["payment_hash"], &json!(msat)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn alby_sdk_makes_a_connection_that_ends() -> Result<()> {
    let stage = Stage::start().await?;
    let (alice, app) = (Keys::generate(), Keys::generate());
    stage.give(&alice, 100_000).await?;
    let mut sdk = Sdk::start()?;
    sdk.open("alice", &stage.uri(&alice)?, Encryption::Nip44).await?;
    let wanted = |expires_at: u64| {
        json!({
            "pubkey": app.public_key().to_hex(), "name": "app", "expires_at": expires_at,
            "request_methods": ["get_balance"],
        })
    };
    let past = SystemClock.now().0 - 1;
    assert_eq!(sdk.refusal("alice", "createConnection", wanted(past)).await?, "OTHER");
    let until = SystemClock.now().0 + LIFE_SECS;
    let made = sdk.ok("alice", "createConnection", wanted(until)).await?;
    let service = made["wallet_pubkey"].as_str().context("no key")?;
    sdk.open("app", &uri_of(&stage, &app, service)?, Encryption::Nip44).await?;
    assert_eq!(sdk.ok("app", "getBalance", json!({})).await?, json!({"balance": 100_000}));
    ended(&mut sdk, until).await?;
    // Its owner goes on.
    assert_eq!(sdk.ok("alice", "getBalance", json!({})).await?, json!({"balance": 100_000}));
    stage.stop().await
}

/// Waits until the connection does not work any more: it is refused, and a little later nobody listens to it, which the
/// package takes for a wallet that is silent.
async fn ended(sdk: &mut Sdk, until: u64) -> Result<()> {
    let ask = json!({"method": "get_balance", "params": {}, "timeouts": {"replyTimeout": 2_000}});
    while SystemClock.now().0 < until + DEADLINE.as_secs() {
        let asked_at = SystemClock.now().0;
        let asked = sdk.ask("app", "raw", ask.clone()).await?;
        match sdk.answer(&asked).await? {
            Ok(_) => ensure!(asked_at <= until, "it was answered after its end"),
            Err(error) => {
                ensure!(SystemClock.now().0 > until, "refused before its end: {error}");
                return is_refusal(&error);
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
    bail!("it never ended")
}

fn is_refusal(error: &Value) -> Result<()> {
    let refused = error["name"] == "Nip47WalletError" && error["code"] == "UNAUTHORIZED";
    ensure!(refused || error["name"] == "Nip47ReplyTimeoutError", "{error}");
    Ok(())
}

/// The connection string of an app.
fn uri_of(stage: &Stage, app: &Keys, service: &str) -> Result<String> {
    let secret = Zeroizing::new(app.secret_key().to_secret_bytes());
    let relays = vec![RelayUrl::parse(&stage.relay_url)?];
    Ok(ConnectionUri::new(PublicKey::from_hex(service)?, relays, secret, None)?.reveal().to_string())
}

//! The reference's client (`nwc-enclaved`, `NWCClient` of `src/modules/nwc-client.ts`): its messages, word
//! for word, over NIP-04 and without an `encryption` tag. The npm package `nwc-enclaved-utils` has no
//! message of its own besides them: it looks for wallets on fixed public relays.

use anyhow::{Context, Result, ensure};
use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::Keys;
use nostr::nips::nip04;
use protocol::event::{sign, tag_value};
use protocol::tag;
use serde_json::{Value, json};
use units::{Clock, SystemClock};

use super::stage::{DEADLINE, Stage, hash_of};

/// `NWCClient.send`.
async fn send(stage: &Stage, keys: &Keys, method: &str, params: Value) -> Result<Value> {
    let pool = stage.pool().await?;
    let filter =
        Filter::new().kind(Kind::WalletConnectResponse).author(stage.service).pubkey(keys.public_key());
    let mut replies = pool.subscribe(filter).await?;
    let text = json!({"method": method, "params": params}).to_string();
    let content = nip04::encrypt(keys.secret_key(), &stage.service, text)?;
    let tags = vec![tag!["p", stage.service.to_hex()]];
    let request = sign(keys, Kind::WalletConnectRequest, SystemClock.now(), tags, content)?;
    ensure!(pool.publish(&request).await.is_published(), "the relay refused the request");
    loop {
        let reply = tokio::time::timeout(DEADLINE, replies.next()).await?.context("no relay")?;
        if tag_value(&reply, "e") != Some(request.id.to_hex().as_str()) {
            continue;
        }
        return Ok(serde_json::from_str(&nip04::decrypt(
            keys.secret_key(),
            &stage.service,
            &reply.content,
        )?)?);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_messages_are_understood() -> Result<()> {
    let stage = Stage::start().await?;
    flows(&stage).await.with_context(|| stage.log())?;
    stage.stop().await
}

async fn flows(stage: &Stage) -> Result<()> {
    let (anyone, payee) = (Keys::generate(), Keys::generate());
    let terms = json!({
        "pubkey": payee.public_key().to_hex(),
        "amount": 10_000,
        "description": "for you",
        "expiry": 300,
    });
    let reply = send(stage, &anyone, "make_invoice_for", terms).await?;
    let made = &reply["result"];
    assert_eq!((&reply["result_type"], &reply["error"]), (&json!("make_invoice_for"), &Value::Null));
    assert_eq!(
        (&made["type"], &made["amount"], &made["description"]),
        (&json!("incoming"), &json!(10_000), &json!("for you"))
    );
    stage.pay(made["invoice"].as_str().context("no invoice")?).await?;
    let balance = send(stage, &payee, "get_balance", json!({})).await?;
    assert_eq!(balance["result"], json!({"balance": 10_000}));

    // A zap: the request as a text, its receipt on the relay.
    let relays = vec!["relays".to_owned(), stage.relay_url.clone()];
    let tags = vec![tag!["p", payee.public_key().to_hex()], relays, tag!["amount", 21_000]];
    let request = sign(&anyone, Kind::ZapRequest, SystemClock.now(), tags, "zap".into())?.as_json();
    let pool = stage.pool().await?;
    let mut receipts = pool.subscribe(Filter::new().kind(Kind::ZapReceipt).author(stage.service)).await?;
    let terms = json!({"pubkey": payee.public_key().to_hex(), "amount": 21_000, "zap_request": request});
    let reply = send(stage, &anyone, "make_invoice_for", terms).await?;
    stage.pay(reply["result"]["invoice"].as_str().with_context(|| format!("no invoice: {reply}"))?).await?;
    let receipt = tokio::time::timeout(DEADLINE, receipts.next()).await?.context("no receipt")?;
    assert_eq!(tag_value(&receipt, "description"), Some(request.as_str()));
    let preimage = tag_value(&receipt, "preimage").context("no preimage")?;
    assert_eq!(json!(hash_of(&json!(preimage))?), reply["result"]["payment_hash"]);

    // This wallet is open to all; the reference's admission has nothing to do, and says so.
    let reply = send(stage, &anyone, "add_pubkey", json!({"pubkey": payee.public_key().to_hex()})).await?;
    assert_eq!((&reply["result"], &reply["error"]["code"]), (&Value::Null, &json!("RESTRICTED")));
    Ok(())
}

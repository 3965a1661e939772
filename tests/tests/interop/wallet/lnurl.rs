//! Alby's lightning-tools pays and zaps a Lightning address of ours.

use anyhow::{Context, Result, ensure};
use nostr::event::{Event, Kind};
use nostr::filter::Filter;
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use protocol::event::tag_value;
use serde_json::{Value, json};

use super::sdk::Sdk;
use super::stage::{DEADLINE, Stage, hash_of};

#[tokio::test(flavor = "multi_thread")]
async fn lightning_tools_pay_and_zap_an_address() -> Result<()> {
    let stage = Stage::start().await?;
    flows(&stage).await.with_context(|| stage.log())?;
    stage.stop().await
}

async fn flows(stage: &Stage) -> Result<()> {
    let payee = Keys::generate();
    let address = format!("{}@{}", payee.public_key().to_bech32()?, stage.web);
    let mut sdk = Sdk::start()?;

    let asking = json!({"address": address, "satoshi": 21, "comment": "thank you"});
    let made = sdk.ok("nobody", "address", asking).await?;
    assert_eq!(made["lnurlpData"]["identifier"], json!(address));
    assert_eq!((&made["lnurlpData"]["allowsNostr"], &made["satoshi"]), (&json!(true), &json!(21)));
    let invoice = made["paymentRequest"].as_str().context("no invoice")?.to_owned();
    let verifying = json!({"pr": invoice, "verify": made["verify"]});
    let open = sdk.ok("nobody", "paid", verifying.clone()).await?;
    assert_eq!(open, json!({"paid": false, "preimage": null}));
    stage.pay(&invoice).await?;
    let paid = sdk.ok("nobody", "paid", verifying).await?;
    assert_eq!((&paid["paid"], hash_of(&paid["preimage"])?), (&json!(true), text(&made["paymentHash"])?));

    let zapper = Keys::generate();
    let zap = json!({
        "payee": payee.public_key().to_hex(),
        "secret": zapper.secret_key().to_secret_hex(),
        "relays": [stage.relay_url],
    });
    let asking = json!({"address": address, "satoshi": 5, "comment": "great post", "zap": zap});
    let made = sdk.ok("nobody", "address", asking).await?;
    let invoice = text(&made["paymentRequest"])?;
    let mut receipts =
        stage.pool().await?.subscribe(Filter::new().kind(Kind::ZapReceipt).author(stage.service)).await?;
    stage.pay(&invoice).await?;
    let receipt = tokio::time::timeout(DEADLINE, receipts.next()).await?.context("no receipt")?;
    assert_eq!(tag_value(&receipt, "bolt11"), Some(invoice.as_str()));
    assert_eq!(tag_value(&receipt, "P"), Some(zapper.public_key().to_hex().as_str()));
    let request = Event::from_json(tag_value(&receipt, "description").context("no description")?)?;
    ensure!(request.content == "great post" && request.pubkey == zapper.public_key(), "{request:?}");
    Ok(())
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().with_context(|| format!("no text: {value}"))?.to_owned())
}

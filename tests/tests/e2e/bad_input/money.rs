//! Payments that cannot be made, and amounts that make no sense.

use anyhow::Result;
use devnet::world::World;
use nostr::key::PublicKey;
use protocol::nwc::MakeInvoice;
use protocol::rpc::enclaved::{TopupReply, Withdrawal};
use serde_json::{Value, json};
use units::{Clock, Msat, SystemClock};

use super::{check, expiry};
use crate::facts::Facts;
use crate::stranger::{LOOK_EVERY, SOON, Stranger};

/// An invoice of another network: the example of BOLT11 for mainnet.
const MAINNET: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzq\
    fqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9v\
    dx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3r\
    h";
/// The same with no amount, to be given by the payer.
const WITHOUT_AMOUNT: &str = "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqs\
    yqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun\
    0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r\
    9zqt8r2t7mlcwspyetp5h2tztugp9lfyql";

pub(super) async fn amounts(world: &World, owner: &Stranger, pubkey: &PublicKey) -> Result<()> {
    for amount in [i64::MIN, -1_000, 0, 1, 999, 10_000_000_001, i64::MAX] {
        let params = json!({"pubkey": pubkey, "amount_msat": amount});
        check(world, owner, &["topup"], &params, "amount_invalid").await?;
    }
    for amount in [json!(1_u64 << 63), json!(1e3), json!("5000")] {
        let params = json!({"pubkey": pubkey, "amount_msat": amount});
        check(world, owner, &["topup"], &params, "params_invalid").await?;
    }
    Ok(())
}

/// The container's balance is `balance_msat`, and stays it.
pub(super) async fn withdrawals(
    world: &World,
    owner: &Stranger,
    pubkey: &PublicKey,
    balance_msat: i64,
) -> Result<()> {
    let of = |invoice: &str| json!({"pubkey": pubkey, "invoice": invoice});
    for text in ["", "lnbcrt1", "lnurl1dp68gurn8ghj7", &MAINNET[1..], &"x".repeat(4_000), WITHOUT_AMOUNT] {
        check(world, owner, &["withdraw"], &of(text), "invoice_invalid").await?;
    }
    let own: TopupReply = owner.call("topup", json!({"pubkey": pubkey, "amount_msat": 1_000})).await?;
    let brief = MakeInvoice { expiry_secs: Some(1), ..MakeInvoice::of(Msat::new(1_000)) };
    let brief = owner.wallet.call(&owner.keys, &brief, SOON).await?;
    let expired = brief.invoice.unwrap();
    // What the wallet answers must not make the test wait for long.
    let expires_at = brief.expires_at.unwrap();
    assert!(expires_at <= SystemClock.now().plus_secs(2), "{expires_at:?}");
    while SystemClock.now() <= expires_at {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let foreign = paid_by_another(world, owner).await?;
    for invoice in [MAINNET, &own.invoice.invoice, &expired, &foreign] {
        check(world, owner, &["withdraw"], &of(invoice), "payment_failed").await?;
    }
    expiry::late_payment_is_refused(world, owner, &expired).await?;
    let too_much = owner.invoice(balance_msat + 1).await?;
    check(world, owner, &["withdraw"], &of(&too_much), "insufficient_balance").await?;
    once(world, owner, pubkey, balance_msat).await
}

/// An invoice that somebody else paid already.
async fn paid_by_another(world: &World, owner: &Stranger) -> Result<String> {
    let invoice = owner.invoice(1_000).await?;
    world.pay_from_faucet(&invoice).await?;
    Ok(invoice)
}

/// Many commands at once to pay one invoice, or all of the balance, move the money once.
async fn once(world: &World, owner: &Stranger, pubkey: &PublicKey, balance_msat: i64) -> Result<()> {
    let had = Facts::of(world).await?.balance_msat(&owner.keys.public_key());
    let invoice = owner.invoice(1_000).await?;
    let same =
        (0..8).map(|_| owner.call::<Withdrawal>("withdraw", json!({"pubkey": pubkey, "invoice": invoice})));
    for paid in futures_util::future::join_all(same).await {
        assert_eq!(paid?.amount_msat.msat(), 1_000);
    }
    let rest = balance_msat - 1_000;
    let invoices = futures_util::future::try_join_all((0..8).map(|_| owner.invoice(rest))).await?;
    let all = invoices
        .iter()
        .map(|invoice| owner.call::<Value>("withdraw", json!({"pubkey": pubkey, "invoice": invoice})));
    let won = futures_util::future::join_all(all).await.iter().filter(|paid| paid.is_ok()).count();
    assert_eq!(won, 1, "withdrawals of the whole balance");
    let after = Facts::of(world).await?;
    assert_eq!(after.balance_msat(pubkey), 0);
    assert_eq!(after.balance_msat(&owner.keys.public_key()), had + balance_msat);
    Ok(())
}

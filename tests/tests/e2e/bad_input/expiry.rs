//! Invoices that are paid after they expired.

use anyhow::Result;
use devnet::world::{World, WorldOptions};
use nostr::key::PublicKey;
use protocol::nwc::PayInvoice;
use protocol::rpc::enclaved::{Quote, Withdrawal};
use relay::nwc::NwcError;
use serde_json::json;
use units::{Clock, SystemClock};

use super::check;
use crate::facts::Facts;
use crate::in_world::{calm, in_world};
use crate::stranger::{SOON, Stranger};

const PRICE_MSAT: i64 = 5_000;

/// A wallet that still takes an expired invoice, as payments over Lightning may be under way for long.
#[tokio::test(flavor = "multi_thread")]
async fn late_payment_of_a_launch_becomes_credit() -> Result<()> {
    let options = WorldOptions { invoice_secs: 2, late_accept_secs: 600, ..calm()? };
    in_world(options, async |world| {
        let image = world.push_echo().await?;
        let owner = Stranger::with(world, 100).await?;
        let free: Quote = owner.call("quote", json!({"docker": image, "units": 1})).await?;
        let launched = owner.launch(&image, json!({"ports": [8080], "volumes": ["/data"]})).await?;
        let pubkey = launched.pubkey;
        let reserved: Quote = owner.call("quote", json!({"docker": image, "units": 1})).await?;
        assert_eq!(reserved.units_free, free.units_free - 1);
        owner.wait_for(&pubkey, "expired").await?;
        assert!(SystemClock.now() > launched.invoice.expires_at, "given up while the invoice could be paid");
        let again: Quote = owner.call("quote", json!({"docker": image, "units": 1})).await?;
        assert_eq!(again.units_free, free.units_free);

        let before = Facts::at_rest(world).await?;
        owner.pay(&launched.invoice.invoice).await?;
        let after = Facts::of(world).await?;
        assert_eq!(after.balance_msat(&pubkey), PRICE_MSAT);
        assert_eq!((&after.containers, after.charges), (&before.containers, before.charges));
        assert_eq!((&after.engine, &after.volumes), (&before.engine, &before.volumes));
        for method in ["pause", "resume", "terminate"] {
            check(world, &owner, &[method], &json!({"pubkey": pubkey}), "state_refused").await?;
        }
        let topup = json!({"pubkey": pubkey, "amount_msat": 5_000});
        check(world, &owner, &["topup"], &topup, "state_refused").await?;
        credit_comes_back(world, &owner, &pubkey, PRICE_MSAT).await?;
        assert_eq!(owner.status(&pubkey).await?.info.state, "expired");
        // Who was late once may launch again.
        owner.launch(&image, json!({})).await?;
        Ok(())
    })
    .await
}

/// Withdraws a container's whole balance; not more, and not twice.
pub(super) async fn credit_comes_back(
    world: &World,
    owner: &Stranger,
    pubkey: &PublicKey,
    balance_msat: i64,
) -> Result<()> {
    let had = Facts::of(world).await?.balance_msat(&owner.keys.public_key());
    let withdraw = |invoice: String| json!({"pubkey": pubkey, "invoice": invoice});
    let too_much = withdraw(owner.invoice(balance_msat + 1).await?);
    check(world, owner, &["withdraw"], &too_much, "insufficient_balance").await?;
    let all = owner.invoice(balance_msat).await?;
    let paid: Withdrawal = owner.call("withdraw", withdraw(all)).await?;
    assert_eq!(
        (paid.amount_msat.msat(), paid.fees_msat.msat(), paid.balance_msat.msat()),
        (balance_msat, 0, 0)
    );
    let after = Facts::of(world).await?;
    assert_eq!(after.balance_msat(&owner.keys.public_key()), had + balance_msat);
    assert_eq!(after.balance_msat(pubkey), 0);
    let nothing = withdraw(owner.invoice(1).await?);
    check(world, owner, &["withdraw"], &nothing, "insufficient_balance").await
}

/// The usual wallet refuses an expired invoice: the payer keeps the money, and nobody has a container.
pub(super) async fn late_payment_is_refused(world: &World, owner: &Stranger, invoice: &str) -> Result<()> {
    let before = Facts::of(world).await?;
    match owner.wallet.call(&owner.keys, &PayInvoice::of(invoice), SOON).await {
        Err(NwcError::Wallet(refusal)) => assert!(refusal.message.contains("expired"), "{refusal:?}"),
        other => panic!("an expired invoice was paid: {other:?}"),
    }
    assert_eq!(Facts::of(world).await?, before);
    Ok(())
}

//! Charges that were paid between the last snapshot and the loss of the machine are known by what is on their
//! invoices. An owner may write the same on invoices of the server's account, and pay next to nothing.

use anyhow::{Context, Result};
use devnet::helper::HelperBinary;
use devnet::world::{SealingOptions, WorldOptions};
use protocol::nwc::{MakeInvoice, MakeInvoiceFor};
use protocol::rpc::enclaved::TopupReply;
use serde_json::json;
use units::Msat;

use super::stores::snapshots_pass;
use crate::in_world::in_world;
use crate::stranger::{SOON, Stranger};

/// A container with one period paid for runs for two of these after the restore at most.
const PERIOD_SECS: u32 = 8;
/// Further than the container gets.
const PERIODS: u32 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn forged_receipts_of_charges_buy_nothing_after_a_restore() -> Result<()> {
    let sealing = SealingOptions { interval_secs: 2, ..SealingOptions::default() };
    let options = WorldOptions::hasty(HelperBinary::find()?, PERIOD_SECS).sealed(sealing);
    in_world(options, async |world| {
        let (owner, pubkey, _) = Stranger::keeper(world, 100).await?;
        let server = world.service()?;
        for period in 0..PERIODS {
            let description = Some(format!("period {period} of {pubkey}"));
            let invoice = MakeInvoice { description, ..MakeInvoice::of(Msat::new(1)) };
            let forged = MakeInvoiceFor { pubkey: server, invoice, zap_request: None };
            let made = owner.wallet.call(&owner.keys, &forged, SOON).await?;
            owner.pay(&made.invoice.context("an invoice")?).await?;
        }
        let topup: TopupReply = owner.call("topup", json!({"pubkey": pubkey, "amount_msat": 5_000})).await?;
        owner.pay(&topup.invoice.invoice).await?;
        snapshots_pass(world).await?;
        world.lose_enclave().await?;
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        // What was paid for is used up, and so is the balance.
        let starved = owner.wait_for(&pubkey, "paused").await?;
        assert_eq!((starved.balance_msat, starved.owner_paused), (Msat::ZERO, false));
        Ok(())
    })
    .await
}

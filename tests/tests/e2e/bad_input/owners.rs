//! Commands about containers of others, of nobody, and of the server itself.

use anyhow::Result;
use devnet::world::World;
use nostr::key::{Keys, PublicKey};
use protocol::rpc::enclaved::{ContainerInfo, ContainerList, TopupReply};
use serde_json::{Value, json};

use super::check;
use crate::facts::wallet_container;
use crate::stranger::Stranger;

fn params(method: &str, pubkey: &PublicKey, invoice: &str) -> Value {
    match method {
        "topup" => json!({"pubkey": pubkey, "amount_msat": 5_000}),
        "withdraw" => json!({"pubkey": pubkey, "invoice": invoice}),
        _ => json!({"pubkey": pubkey}),
    }
}

/// Everybody may look at a container and pay for it; the rest is its owner's.
pub(super) async fn of_another(world: &World, pubkey: &PublicKey) -> Result<()> {
    let eve = Stranger::with(world, 100).await?;
    let invoice = eve.invoice(1_000).await?;
    for method in ["status", "pause", "resume", "terminate", "withdraw"] {
        check(world, &eve, &[method], &params(method, pubkey, &invoice), "not_owner").await?;
    }
    let info: ContainerInfo = eve.call("info", json!({"pubkey": pubkey})).await?;
    assert_eq!((info.pubkey, info.state.as_str()), (*pubkey, "deployed"));
    let topup: TopupReply = eve.call("topup", params("topup", pubkey, "")).await?;
    assert_eq!(topup.invoice.amount.msat(), 5_000);
    let list: ContainerList = eve.call("list", json!({})).await?;
    assert_eq!(list.containers, []);
    Ok(())
}

/// There is nothing to say of a key without a container, and built-ins are nobody's.
pub(super) async fn of_nobody(world: &World, who: &Stranger) -> Result<()> {
    let invoice = who.invoice(1_000).await?;
    for pubkey in [Keys::generate().public_key(), world.service()?, wallet_container(world)?] {
        for method in [
            "info",
            "status",
            "pause",
            "resume",
            "terminate",
            "topup",
            "withdraw",
            "upgrades",
            "pin",
            "unpin",
        ] {
            check(world, who, &[method], &params(method, &pubkey, &invoice), "not_found").await?;
        }
    }
    Ok(())
}

pub(super) async fn unknown_methods(world: &World, who: &Stranger) -> Result<()> {
    for method in ["execute", "upgrade_all", "", "PING", "ping ", "../ping", "ping\0"] {
        check(world, who, &[method], &json!({}), "method_unknown").await?;
    }
    Ok(())
}

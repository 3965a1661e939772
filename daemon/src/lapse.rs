//! Holds the server's own containers still while nobody knows whether it may act: the wallet pays in its
//! name, and takes orders from others than the daemon, too.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nostr::key::PublicKey;

use crate::context::Context;
use crate::runtime::Why;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What is under way when the end of a lease comes near must be over by then. A lease is renewed at a third
/// of it, so this much is left only if nothing renews it.
const SHARE_OF_LEASE: u32 = 6;
/// How often it is said that the record is orphaned, in looks.
const SAY_ORPHANED_EVERY: u32 = 600;

/// Holds the built-ins still whenever the lease is about to end, until it is renewed; until the future is
/// dropped. One that does not run yet is held from its start on.
pub async fn watch(ctx: Arc<Context>) {
    let Some(keycrux) = &ctx.config.keycrux else { return std::future::pending().await };
    let margin = keycrux.lease() / SHARE_OF_LEASE;
    let (mut lapsed, mut held) = (false, BTreeSet::new());
    let mut look = 0_u32;
    metrics::gauge!("record_orphaned").set(0.0);
    loop {
        if ctx.hold.is_orphaned() && look.is_multiple_of(SAY_ORPHANED_EVERY) {
            say_orphaned(&ctx);
        }
        look = look.wrapping_add(1);
        let lasts = ctx.hold.lasts(margin);
        if !lasts && !lapsed {
            tracing::error!(
                "the key stores do not answer: the wallet is held still, and nothing is done until they do"
            );
            metrics::gauge!("holding").set(0.0);
            lapsed = true;
        }
        if !lasts {
            freeze(&ctx, &mut held).await;
        } else if lapsed {
            thaw(&ctx, &mut held).await;
            lapsed = !held.is_empty();
            if !lapsed {
                metrics::gauge!("holding").set(1.0);
                tracing::info!("the key stores answer: going on");
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The worst that key stores can do to a server that runs: nothing here ends by itself after it.
fn say_orphaned(ctx: &Context) {
    metrics::gauge!("record_orphaned").set(1.0);
    let text = "record_orphaned: the key stores lost the record and founded a new group; this server has the \
                only copy of its secret, is held still for good, and must not be ended before its data is given up";
    tracing::error!("{text}");
    ctx.parent_log.line(text.to_owned());
}

/// Holds every built-in that is not held yet.
async fn freeze(ctx: &Context, held: &mut BTreeSet<PublicKey>) {
    let containers = ctx.store.containers().unwrap_or_else(|e| {
        tracing::error!("containers not read: {e}");
        Vec::new()
    });
    for builtin in containers.iter().filter(|container| container.is_builtin()) {
        let pubkey = builtin.pubkey();
        if held.contains(&pubkey) {
            continue;
        }
        match ctx.runtime.freeze(&pubkey, Why::Lapse).await {
            Ok(()) => drop(held.insert(pubkey)),
            Err(e) => tracing::error!(container = %pubkey, "not held still: {e}; trying again"),
        }
    }
}

/// Lets go on what is held, but for those with which it fails.
async fn thaw(ctx: &Context, held: &mut BTreeSet<PublicKey>) {
    for pubkey in std::mem::take(held) {
        if let Err(e) = ctx.runtime.thaw(&pubkey, Why::Lapse).await {
            tracing::error!(container = %pubkey, "not let go on: {e}; trying again");
            held.insert(pubkey);
        }
    }
}

//! The info event, kind 13194: what this wallet can do. Clients look for it before anything else, and
//! relays forget it. And the service event, kind 13196, by which the reference's clients find wallets and
//! what they cost. And, where it has one, a profile with its Lightning address.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use nostr::event::Kind;
use nostr::key::{Keys, PublicKey};
use protocol::event::{CheckedEvent, SignError, sign};
use protocol::kinds::{NWC_INFO, WALLET_ANNOUNCEMENT};
use protocol::nwc::{Method, Notification};
use protocol::tag;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::cipher::ENCRYPTION;
use super::{CONNECT_WAIT, RELOAD_EVERY, Transport};
use crate::service::ALIAS;

/// Relays forget; some clients cache for two days.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(3_600);
/// Until every relay has taken it once.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(2);
/// Millionths as the fraction that the service event has.
const MILLION: f64 = 1_000_000.0;

/// Announces the wallet until the task is aborted: every hour, after each reconnect (a relay that was
/// restarted may have forgotten everything), and when a connection was made.
pub(super) async fn keep_announced(transport: Arc<Transport>) {
    let mut reconnected = transport.pool.connected();
    let mut reconnected_inside = transport.house.as_ref().map(|house| house.pool.connected());
    let mut connections = transport.wallet.connections();
    if !transport.pool.wait_connected(CONNECT_WAIT).await {
        tracing::warn!("no relay answers yet");
    }
    let mut pace = tokio::time::interval(RELOAD_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Keys that every relay has the info event of.
    let mut told = HashSet::new();
    loop {
        pace.tick().await;
        // What changes from here on is announced in the next round.
        reconnected.mark_unchanged();
        if let Some(inside) = &mut reconnected_inside {
            inside.mark_unchanged();
        }
        // Whoever reads requests has heard of the same change, but perhaps not yet.
        transport.set_connections(&connections.borrow_and_update());
        let wait = if announce(&transport, &mut told).await { ANNOUNCE_EVERY } else { ANNOUNCE_AGAIN };
        tokio::select! {
            () = tokio::time::sleep(wait) => {
                if wait == ANNOUNCE_EVERY {
                    told.clear();
                }
            }
            Ok(()) = reconnected.changed() => told.clear(),
            Ok(()) = changed(&mut reconnected_inside) => told.clear(),
            // Only what is new.
            Ok(()) = connections.changed() => {}
        }
    }
}

/// Waits for a connection to the internal relay; for ever if there is none.
async fn changed(connected: &mut Option<watch::Receiver<u64>>) -> Result<(), watch::error::RecvError> {
    match connected {
        Some(connected) => connected.changed().await,
        None => std::future::pending().await,
    }
}

/// True if every relay took everything: every relay of a connection string must have the info event,
/// because a client may look at one only.
async fn announce(transport: &Transport, told: &mut HashSet<PublicKey>) -> bool {
    let announced = transport.keyring.announced();
    told.retain(|key| announced.iter().any(|(keys, _)| keys.public_key() == *key));
    // The main key, which comes first, stands for the wallet's other announcements.
    let own = [service(transport)].into_iter().chain(profile(transport));
    let own: Vec<_> = if told.contains(&transport.keys.public_key()) { Vec::new() } else { own.collect() };
    let mut own_taken = true;
    for event in own {
        own_taken &= publish(transport, event).await;
    }
    let mut taken = own_taken;
    for (keys, methods) in announced {
        if told.contains(&keys.public_key()) {
            continue;
        }
        let is_main = keys.public_key() == transport.keys.public_key();
        let is_told = publish(transport, info(transport, &keys, &methods)).await && (own_taken || !is_main);
        if is_told {
            told.insert(keys.public_key());
        }
        taken &= is_told;
    }
    taken
}

/// True if every relay took it.
async fn publish(transport: &Transport, event: Result<CheckedEvent, SignError>) -> bool {
    match event {
        Ok(event) => {
            let report = transport.announce(&event).await;
            report.is_published() && report.refused.is_empty()
        }
        Err(e) => {
            tracing::error!("an announcement could not be made: {e}");
            false
        }
    }
}

fn info(transport: &Transport, keys: &Keys, methods: &[Method]) -> Result<CheckedEvent, SignError> {
    let mut words: Vec<_> = methods.iter().map(Method::as_str).collect();
    words.push("notifications");
    let tags = vec![tag!["encryption", ENCRYPTION], tag!["notifications", Notification::TYPES.join(" ")]];
    sign(keys, NWC_INFO, transport.clock.now(), tags, words.join(" "))
}

/// The wallet's own profile (kind 0), so that it can be paid by its key alone; none where it serves no
/// addresses.
fn profile(transport: &Transport) -> Option<Result<CheckedEvent, SignError>> {
    let address = match transport.wallet.lightning_address(&transport.keys.public_key()) {
        Ok(address) => address?,
        Err(e) => {
            tracing::error!("the wallet's own address could not be read: {e}");
            return None;
        }
    };
    let about = "A wallet for any Nostr key, over Nostr Wallet Connect.";
    let content =
        serde_json::json!({"name": ALIAS, "about": about, "lud16": address, "bot": true}).to_string();
    Some(sign(&transport.keys, Kind::Metadata, transport.clock.now(), Vec::new(), content))
}

/// What the reference's clients read of a wallet: where it listens, its bounds, its fees.
fn service(transport: &Transport) -> Result<CheckedEvent, SignError> {
    let (limits, fees) = (transport.wallet.limits(), transport.wallet.fees());
    let internal = transport.host.is_some();
    let comment = if internal { "Internal enclaved wallet" } else { "Open for new wallets" };
    let rate = f64::from(fees.payment.share_ppm.saturating_add(fees.reserve.share_ppm)) / MILLION;
    let base = fees.payment.base.msat().saturating_add(fees.reserve.min.msat());
    let (holding, period) = fees.holding.map_or((0, 0), |fee| (fee.amount.msat(), fee.period_secs));
    let mut tags = vec![tag!["o", if internal { "false" } else { "true" }], tag!["comment", comment]];
    tags.extend(transport.relays.iter().map(|relay| tag!["relay", relay.as_str_without_trailing_slash()]));
    tags.extend([
        tag!["minSendable", 1],
        tag!["maxSendable", limits.invoice_max.msat()],
        tag!["maxBalance", limits.balance_max.msat()],
        tag!["liquidityFeeRate", "0.0000"],
        tag!["paymentFeeRate", format!("{rate:.4}")],
        tag!["paymentFeeBase", base],
        tag!["walletFeeBase", holding],
        tag!["walletFeePeriod", period],
        tag!["t", "dev"],
    ]);
    sign(&transport.keys, WALLET_ANNOUNCEMENT, transport.clock.now(), tags, String::new())
}

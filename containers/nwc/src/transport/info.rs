//! The info event, kind 13194: what this wallet can do. Clients look for it before anything else, and
//! relays forget it. And the service event, kind 13196, by which the reference's clients find wallets and
//! what they cost. And, where it has one, a profile with its Lightning address.

mod schedule;

use std::sync::Arc;

use nostr::event::Kind;
use nostr::key::{Keys, PublicKey};
use protocol::event::{CheckedEvent, SignError, sign};
use protocol::kinds::{NWC_INFO, WALLET_ANNOUNCEMENT};
use protocol::nwc::Method;
use protocol::tag;
use relay::Pool;

use super::cipher::ENCRYPTION;
use super::keyring::Announced;
use super::{CONNECT_WAIT, Transport};
use crate::service::{ALIAS, Connection};
use schedule::Signals;

/// Millionths as the fraction that the service event has.
const MILLION: f64 = 1_000_000.0;

/// Announces the wallet until the task is aborted: every hour, after each reconnect (a relay that was
/// restarted may have forgotten everything), and when a connection was made.
pub(super) async fn keep_announced(transport: Arc<Transport>) {
    let house = transport.house.as_ref();
    let signals = Signals {
        reconnected: [&transport.pool]
            .into_iter()
            .chain(house.map(|house| &house.pool))
            .map(Pool::connected)
            .collect(),
        connections: transport.wallet.connections(),
    };
    if !transport.pool.wait_connected(CONNECT_WAIT).await {
        tracing::warn!("no relay answers yet");
    }
    let keys = |connections: &Arc<Vec<Connection>>| {
        // Whoever reads requests has heard of the same change, but perhaps not yet.
        transport.set_connections(connections);
        transport.keyring.public_keys()
    };
    schedule::keep(signals, keys, |key| {
        let transport = Arc::clone(&transport);
        async move { announce(&transport, &key).await }
    })
    .await;
}

/// Announces one service key. True if every relay took everything: every relay of a connection string must have
/// the info event, because a client may look at one only.
async fn announce(transport: &Transport, key: &PublicKey) -> bool {
    // One that was revoked meanwhile needs it no more.
    let Some((keys, says)) = transport.keyring.announced(key) else { return true };
    let mut taken = true;
    // The main key stands for the wallet's other announcements.
    if *key == transport.keys.public_key() {
        for event in [service(transport)].into_iter().chain(profile(transport)) {
            taken &= publish(transport, event).await;
        }
    }
    taken & publish(transport, info(transport, &keys, &says)).await
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

fn info(transport: &Transport, keys: &Keys, says: &Announced) -> Result<CheckedEvent, SignError> {
    let mut words: Vec<_> = says.methods.iter().map(Method::as_str).collect();
    let mut tags = vec![tag!["encryption", ENCRYPTION]];
    // Word and tag only where there is something to hear.
    if !says.notifications.is_empty() {
        words.push("notifications");
        tags.push(tag!["notifications", says.notifications.join(" ")]);
    }
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

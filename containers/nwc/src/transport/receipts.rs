//! Publishes zap receipts from the outbox, apart from everything that somebody waits for.
//!
//! The relays of a receipt are named by a stranger: each passes the address guard, they are few, and one
//! that does not answer is tried again later without holding up another.

use std::sync::Arc;
use std::time::Duration;

use guard::{AddressGuard, GuardError};
use nostr::types::Url;
use nostr::types::url::RelayUrl;
use protocol::event::{CheckedEvent, sign};
use protocol::kinds::ZAP_RECEIPT;
use relay::Pool;
use tokio::task::JoinSet;

use super::Transport;
use crate::service::ZapReceipt;
use crate::store::StoreError;

/// Receipts on their way at once.
const BATCH: u32 = 8;
/// Connections to relays that strangers named, at once: each takes buffers, of TLS and of messages.
pub(super) const CONNECTIONS_MAX: usize = 8;
/// How long a relay may take to accept a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(8);
/// The longest wait between two looks into the outbox: clocks jump.
const LOOK_EVERY_MAX_SECS: u64 = 60;
/// After a failure of the database.
const AGAIN: Duration = Duration::from_secs(5);

/// What came of one relay.
enum Outcome {
    /// It has the receipt.
    Taken,
    /// It must never be connected to.
    Refused,
    /// It may answer later.
    Later,
}

/// Publishes receipts until the task is aborted.
pub(super) async fn keep_published(transport: Arc<Transport>) {
    loop {
        match round(&transport).await {
            Ok(true) => {}
            Ok(false) => wait(&transport).await,
            Err(e) => {
                tracing::error!("the outbox of zap receipts: {e}");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Waits until a zap is paid, or a receipt is due again.
async fn wait(transport: &Transport) {
    let now = transport.clock.now();
    let due = transport.wallet.next_receipt_at().ok().flatten();
    let secs = due.map_or(LOOK_EVERY_MAX_SECS, |due| due.secs_since(now).clamp(1, LOOK_EVERY_MAX_SECS));
    // A zap that was paid since we looked has left its mark.
    drop(tokio::time::timeout(Duration::from_secs(secs), transport.zapped.notified()).await);
}

/// Publishes what is due, a few at a time. False if nothing was.
async fn round(transport: &Arc<Transport>) -> Result<bool, StoreError> {
    metrics::gauge!("wallet_zap_receipts_waiting").set(f64::from(transport.wallet.receipts_waiting()?));
    let due = transport.wallet.due_receipts(transport.clock.now(), BATCH)?;
    let mut publishing = JoinSet::new();
    for receipt in due {
        publishing.spawn(publish(Arc::clone(transport), receipt));
    }
    let any = !publishing.is_empty();
    while let Some(published) = publishing.join_next().await {
        if let Ok(written) = published {
            written?;
        }
    }
    Ok(any)
}

async fn publish(transport: Arc<Transport>, receipt: ZapReceipt) -> Result<(), StoreError> {
    // Before anything is dialled: what ends the program is not tried again at its start.
    let (wallet, begun, now) = (Arc::clone(&transport.wallet), receipt.clone(), transport.clock.now());
    tokio::task::spawn_blocking(move || wallet.receipt_begun(&begun, now))
        .await
        .unwrap_or(Err(StoreError::Stopped))?;
    let event = receipt.tags().and_then(|tags| {
        sign(&transport.keys, ZAP_RECEIPT, receipt.paid_at, tags, String::new())
            .inspect_err(|e| tracing::error!("a zap receipt could not be made: {e}"))
            .ok()
    });
    let settled = match event {
        Some(event) => deliver(&transport, &receipt.relays, &event).await,
        // It never can be; nothing is left to try.
        None => receipt.relays.clone(),
    };
    tokio::task::spawn_blocking(move || transport.wallet.receipt_tried(&receipt, settled))
        .await
        .unwrap_or(Err(StoreError::Stopped))
}

/// Sends the event to every relay; returns those that need it no more.
async fn deliver(transport: &Arc<Transport>, relays: &[RelayUrl], event: &CheckedEvent) -> Vec<RelayUrl> {
    let mut sending = JoinSet::new();
    for relay in relays {
        let (transport, relay, event) = (Arc::clone(transport), relay.clone(), event.clone());
        sending.spawn(async move { (send(&transport, &relay, &event).await, relay) });
    }
    let mut settled = Vec::new();
    while let Some(sent) = sending.join_next().await {
        let Ok((outcome, relay)) = sent else { continue };
        let word = match outcome {
            Outcome::Taken => "taken",
            Outcome::Refused => "refused",
            Outcome::Later => "later",
        };
        metrics::counter!("wallet_zap_receipts_total", "outcome" => word).increment(1);
        match outcome {
            Outcome::Taken | Outcome::Refused => settled.push(relay),
            Outcome::Later => {}
        }
    }
    settled
}

async fn send(transport: &Transport, relay: &RelayUrl, event: &CheckedEvent) -> Outcome {
    // The operator named these relays, and we are connected to them.
    let same =
        |ours: &&RelayUrl| ours.as_str_without_trailing_slash() == relay.as_str_without_trailing_slash();
    if let Some(ours) = transport.relays.iter().find(same) {
        return outcome_of(&transport.pool.publish_to(&[ours.to_string()], event).await);
    }
    // It is closed never.
    let Ok(_place) = transport.strangers.acquire().await else { return Outcome::Later };
    if let Err(e) = admit(&transport.guard, relay).await {
        tracing::info!("the relay of a zap request is not connected to: {e}");
        return match e {
            GuardError::Refused { .. } | GuardError::OddAddress { .. } | GuardError::NotAName { .. } => {
                Outcome::Refused
            }
            GuardError::NotResolved { .. } | GuardError::TimedOut { .. } => Outcome::Later,
        };
    }
    let builder = Pool::builder().publishes_only().guard(transport.guard.clone()).relays([relay.to_string()]);
    let Ok(pool) = builder.build().await else { return Outcome::Refused };
    if !pool.wait_connected(CONNECT_WAIT).await {
        return Outcome::Later;
    }
    outcome_of(&pool.publish(event).await)
}

/// Asks the guard first, to tell what can never be from what cannot be now. The connection asks it again.
async fn admit(guard: &AddressGuard, relay: &RelayUrl) -> Result<(), GuardError> {
    let url = Url::parse(relay.as_str()).ok();
    let target = url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    let (host, port) = target.ok_or_else(|| GuardError::NotAName { host: relay.to_string() })?;
    guard.resolve(host, port).await.map(drop)
}

fn outcome_of(report: &relay::PublishReport) -> Outcome {
    if report.is_published() { Outcome::Taken } else { Outcome::Later }
}

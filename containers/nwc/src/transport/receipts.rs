//! Publishes zap receipts from the outbox, apart from everything that somebody waits for.
//!
//! The relays of a receipt are named by a stranger: each passes the address guard, they are few, and one
//! that does not answer is tried again later without holding up another. Payees take turns, and relays that are
//! known to answer have places that silent ones cannot take.

mod record;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use guard::{AddressGuard, GuardError};
use nostr::key::PublicKey;
use nostr::types::Url;
use nostr::types::url::RelayUrl;
use protocol::event::{CheckedEvent, sign};
use protocol::kinds::ZAP_RECEIPT;
use relay::Pool;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use units::UnixSecs;

use super::Transport;
use crate::service::ZapReceipt;
use crate::store::StoreError;
use record::SILENT_SECS;
pub(super) use record::{Record, Standing};

/// Places for connections to relays of either kind.
pub(super) fn places() -> Semaphore {
    Semaphore::new(CONNECTIONS_MAX)
}

/// Receipts on their way at once to relays that answered last time, and to all others. The first take moments, the
/// others may wait for silence: each have places of their own.
const PROVEN_MAX: usize = 16;
const UNPROVEN_MAX: usize = 16;
/// Of these, those of one payee.
const PER_PAYEE_MAX: usize = 2;
/// Receipts that are looked at for the next to go.
const LOOKED_AT: u32 = 256;
/// Connections to relays that strangers named, at once, to either kind: each takes buffers, of TLS and of messages.
const CONNECTIONS_MAX: usize = 4;
/// How long to wait for one of these places.
const PLACE_WAIT: Duration = Duration::from_secs(10);
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

/// The part of a receipt that goes to relays of one kind.
struct Sending {
    receipt: ZapReceipt,
    relays: Vec<RelayUrl>,
    standing: Standing,
}

/// What is to be done with a receipt now.
enum Now {
    Send(Sending),
    /// Every relay that lacks it was silent lately.
    Wait(ZapReceipt),
}

/// What is on its way.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<(i64, Result<(), StoreError>)>,
    receipts: HashMap<i64, (PublicKey, Standing)>,
}

/// Publishes receipts until the task is aborted.
pub(super) async fn keep_published(transport: Arc<Transport>) {
    let mut under_way = UnderWay::default();
    loop {
        if let Err(e) = under_way.fill(&transport).await {
            tracing::error!("the outbox of zap receipts: {e}");
            tokio::time::sleep(AGAIN).await;
        }
        tokio::select! {
            Some(done) = under_way.tasks.join_next() => {
                if let Err(e) = under_way.end(done) {
                    tracing::error!("the outbox of zap receipts: {e}");
                    tokio::time::sleep(AGAIN).await;
                }
            }
            () = wait(&transport) => {}
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

impl UnderWay {
    /// Begins what is due, as far as there are places.
    async fn fill(&mut self, transport: &Arc<Transport>) -> Result<(), StoreError> {
        metrics::gauge!("wallet_zap_receipts_waiting").set(f64::from(transport.wallet.receipts_waiting()?));
        let (now, mut to_wait) = (transport.clock.now(), Vec::new());
        for receipt in transport.wallet.due_receipts(now, LOOKED_AT)? {
            if self.receipts.contains_key(&receipt.invoice_id) {
                continue;
            }
            let sending = match split(transport, receipt, now) {
                Now::Send(sending) => sending,
                Now::Wait(receipt) => {
                    to_wait.push(receipt);
                    continue;
                }
            };
            let (id, payee) = (sending.receipt.invoice_id, sending.receipt.payee);
            if !self.has_place(&payee, sending.standing) {
                continue;
            }
            self.receipts.insert(id, (payee, sending.standing));
            let transport = Arc::clone(transport);
            self.tasks.spawn(async move { (id, publish(transport, sending).await) });
        }
        if to_wait.is_empty() {
            return Ok(());
        }
        let (wallet, until) = (Arc::clone(&transport.wallet), now.plus_secs(SILENT_SECS));
        tokio::task::spawn_blocking(move || wallet.receipts_postponed(&to_wait, until, now))
            .await
            .unwrap_or(Err(StoreError::Stopped))
    }

    fn has_place(&self, payee: &PublicKey, standing: Standing) -> bool {
        let alike = self.receipts.values().filter(|(_, other)| *other == standing);
        let of_payee = alike.clone().filter(|(other, _)| other == payee).count();
        let max = if standing == Standing::Proven { PROVEN_MAX } else { UNPROVEN_MAX };
        alike.count() < max && of_payee < PER_PAYEE_MAX
    }

    fn end(&mut self, done: Result<(i64, Result<(), StoreError>), JoinError>) -> Result<(), StoreError> {
        match done {
            Ok((id, written)) => {
                self.receipts.remove(&id);
                written
            }
            Err(e) => {
                // Whichever it was: the next look finds it in the outbox again.
                tracing::error!("a zap receipt's task ended: {e}");
                self.receipts.clear();
                self.tasks.abort_all();
                Ok(())
            }
        }
    }
}

/// Relays that answered last time come first; the others when those have it, except those that were silent lately:
/// an attempt at them would be one for nothing.
fn split(transport: &Transport, receipt: ZapReceipt, now: UnixSecs) -> Now {
    let record = transport.record();
    let is_proven =
        |relay: &&RelayUrl| ours(transport, relay).is_some() || record.standing(relay) == Standing::Proven;
    let proven: Vec<_> = receipt.relays.iter().filter(is_proven).cloned().collect();
    if !proven.is_empty() {
        return Now::Send(Sending { receipt, relays: proven, standing: Standing::Proven });
    }
    let relays: Vec<_> =
        receipt.relays.iter().filter(|relay| !record.is_silent(relay, now)).cloned().collect();
    // One without any relay left has nothing to wait for.
    if relays.is_empty() && !receipt.relays.is_empty() {
        return Now::Wait(receipt);
    }
    Now::Send(Sending { receipt, relays, standing: Standing::Unproven })
}

async fn publish(transport: Arc<Transport>, sending: Sending) -> Result<(), StoreError> {
    let Sending { receipt, relays, standing } = sending;
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
        Some(event) => deliver(&transport, &relays, standing, &event).await,
        // It never can be; nothing is left to try.
        None => receipt.relays.clone(),
    };
    tokio::task::spawn_blocking(move || transport.wallet.receipt_tried(&receipt, settled))
        .await
        .unwrap_or(Err(StoreError::Stopped))
}

/// Sends the event to every relay; returns those that need it no more.
async fn deliver(
    transport: &Arc<Transport>,
    relays: &[RelayUrl],
    standing: Standing,
    event: &CheckedEvent,
) -> Vec<RelayUrl> {
    let mut sending = JoinSet::new();
    for relay in relays {
        let (transport, relay, event) = (Arc::clone(transport), relay.clone(), event.clone());
        sending.spawn(async move { (send(&transport, &relay, standing, &event).await, relay) });
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

async fn send(transport: &Transport, relay: &RelayUrl, standing: Standing, event: &CheckedEvent) -> Outcome {
    // The operator named these relays, and we are connected to them.
    if let Some(ours) = ours(transport, relay) {
        return outcome_of(&transport.pool.publish_to(&[ours.to_string()], event).await);
    }
    if transport.record().is_silent(relay, transport.clock.now()) {
        return Outcome::Later;
    }
    let places = match standing {
        Standing::Proven => &transport.proven,
        Standing::Unproven => &transport.unproven,
    };
    // It is closed never.
    let Ok(Ok(_place)) = tokio::time::timeout(PLACE_WAIT, places.acquire()).await else {
        return Outcome::Later;
    };
    let (outcome, has_answered) = connect_and_send(transport, relay, event).await;
    if let Some(has_answered) = has_answered {
        transport.record().note(relay, has_answered, transport.clock.now());
    }
    outcome
}

/// What came of it, and whether the relay said anything, if it was asked. One that does not take this receipt may
/// take the next: what a stranger has it refuse must not be held against it.
async fn connect_and_send(
    transport: &Transport,
    relay: &RelayUrl,
    event: &CheckedEvent,
) -> (Outcome, Option<bool>) {
    if let Err(e) = admit(&transport.guard, relay).await {
        tracing::info!("the relay of a zap request is not connected to: {e}");
        return match e {
            GuardError::Refused { .. } | GuardError::OddAddress { .. } | GuardError::NotAName { .. } => {
                (Outcome::Refused, None)
            }
            GuardError::NotResolved { .. } | GuardError::TimedOut { .. } => (Outcome::Later, Some(false)),
        };
    }
    let builder = Pool::builder().publishes_only().guard(transport.guard.clone()).relays([relay.to_string()]);
    let Ok(pool) = builder.build().await else { return (Outcome::Refused, None) };
    if !pool.wait_connected(CONNECT_WAIT).await {
        return (Outcome::Later, Some(false));
    }
    let report = pool.publish(event).await;
    (outcome_of(&report), Some(report.silent.is_empty()))
}

/// The relay of ours that this is, if it is one.
fn ours<'t>(transport: &'t Transport, relay: &RelayUrl) -> Option<&'t RelayUrl> {
    let same =
        |ours: &&RelayUrl| ours.as_str_without_trailing_slash() == relay.as_str_without_trailing_slash();
    transport.relays.iter().find(same)
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

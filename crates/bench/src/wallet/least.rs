//! The least that a payment over a relay can be: its six events, encrypted and signed as they are, around a
//! service without books. With these clients and this relay, no wallet is faster.

use anyhow::{Result, anyhow};
use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::Keys;
use nostr::nips::{nip04, nip44};
use protocol::event::{CheckedEvent, sign};
use protocol::kinds::{NWC_NOTIFICATION, NWC_NOTIFICATION_NIP04, NWC_REPLY, NWC_REQUEST};
use protocol::nwc::{Balance, Response, ResultBody};
use protocol::tag;
use relay::Pool;
use units::{Clock, Msat, SystemClock};

/// What figures call it.
pub(super) const PEER: &str = "six events, no books, 1/s";
/// As long as that of a payment.
const NOTIFICATION_CHARS: usize = 900;

/// Answers requests for balances as if they were payments, until it is aborted.
pub(super) async fn serve(pool: Pool, keys: Keys) -> Result<()> {
    let mut requests = pool.subscribe(Filter::new().kind(NWC_REQUEST).pubkey(keys.public_key())).await?;
    while let Some(request) = requests.next().await {
        let (pool, keys) = (pool.clone(), keys.clone());
        tokio::spawn(async move {
            for event in answer(&keys, &request)? {
                let pool = pool.clone();
                tokio::spawn(async move { pool.publish(&event).await });
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    Ok(())
}

/// The reply, and as many notifications as a payment has.
fn answer(keys: &Keys, request: &CheckedEvent) -> Result<Vec<CheckedEvent>> {
    let (secret, client) = (keys.secret_key(), &request.pubkey);
    nip44::decrypt(secret, client, &request.content).map_err(|e| anyhow!("{e}"))?;
    let reply = Response::done(ResultBody::GetBalance(Balance { balance: Msat::ZERO })).to_json();
    let news = "x".repeat(NOTIFICATION_CHARS);
    let new =
        |text: &str| nip44::encrypt(secret, client, text, nip44::Version::V2).map_err(|e| anyhow!("{e}"));
    let old = |text: &str| nip04::encrypt(secret, client, text).map_err(|e| anyhow!("{e}"));
    let event = |kind: Kind, content: String| -> Result<CheckedEvent> {
        let tags = vec![tag!["p", client.to_hex()], tag!["e", request.id.to_hex()]];
        Ok(sign(keys, kind, SystemClock.now(), tags, content)?)
    };
    let mut events = vec![event(NWC_REPLY, new(&reply)?)?];
    for _party in 0..2 {
        events.push(event(NWC_NOTIFICATION, new(&news)?)?);
        events.push(event(NWC_NOTIFICATION_NIP04, old(&news)?)?);
    }
    Ok(events)
}

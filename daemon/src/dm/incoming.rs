//! What comes in: a subscription that moves on with the time.
//!
//! A relay is told since when events are wanted, and told the same after each reconnect. If that moment stayed, a
//! server that runs for months would be sent all of those months again, and drop what is new behind them.

use std::sync::Arc;
use std::time::Duration;

use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::PublicKey;
use nostr::types::Timestamp;
use protocol::event::CheckedEvent;
use relay::{Pool, PoolError, Subscription};
use tokio::time::{Interval, MissedTickBehavior, interval};
use units::{Clock, UnixSecs};

/// How often the subscription is made anew: what was stored within [`Wanted::age_secs`] then comes again, and is
/// known.
const RENEW_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// Which events are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) kinds: [Kind; 2],
    /// Whom they are to.
    pub(crate) to: PublicKey,
    /// How old they may be.
    pub(crate) age_secs: u64,
}

impl Wanted {
    fn filter(&self, now: UnixSecs) -> Filter {
        let since = Timestamp::from_secs(now.minus_secs(self.age_secs).0);
        Filter::new().kinds(self.kinds).pubkey(self.to).since(since)
    }
}

/// Events of the last while, and those that come.
#[derive(Debug)]
pub(crate) struct Incoming {
    pool: Pool,
    clock: Arc<dyn Clock>,
    wanted: Wanted,
    events: Subscription,
    /// The subscription before this one, for what it still has.
    before: Option<Subscription>,
    renewing: Interval,
    is_due: bool,
}

impl Incoming {
    /// Subscribes.
    ///
    /// # Errors
    /// [`PoolError`].
    pub(crate) async fn open(pool: Pool, clock: Arc<dyn Clock>, wanted: Wanted) -> Result<Self, PoolError> {
        let events = pool.subscribe(wanted.filter(clock.now())).await?;
        let mut renewing = interval(RENEW_EVERY);
        renewing.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renewing.reset();
        Ok(Self { pool, clock, wanted, events, before: None, renewing, is_due: false })
    }

    /// The next event; `None` once the pool is shut down.
    ///
    /// Cancel-safe: no event is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<CheckedEvent> {
        loop {
            if let Some(before) = &mut self.before {
                // What relays do not keep comes once.
                match tokio::time::timeout(Duration::ZERO, before.next()).await {
                    Ok(Some(event)) => return Some(event),
                    Ok(None) | Err(_) => self.before = None,
                }
            }
            if self.is_due {
                self.renew().await;
                continue;
            }
            tokio::select! {
                event = self.events.next() => return event,
                _ = self.renewing.tick() => self.is_due = true,
            }
        }
    }

    async fn renew(&mut self) {
        match self.pool.subscribe(self.wanted.filter(self.clock.now())).await {
            Ok(events) => self.before = Some(std::mem::replace(&mut self.events, events)),
            Err(e) => tracing::warn!("a subscription was not renewed: {e}"),
        }
        self.is_due = false;
    }
}

#[cfg(test)]
mod tests;

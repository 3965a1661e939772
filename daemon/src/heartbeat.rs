//! Being alive, on record: time that the server was down is given back to who had paid for it.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::Event;

use crate::context::Context;
use crate::store::StoreError;

/// An outage is known this exactly; it is rounded in the containers' favour.
const BEAT_EVERY: Duration = Duration::from_secs(5);

/// What every container is told at start.
///
/// # Errors
/// [`StoreError`].
pub fn events_at_start(ctx: &Context) -> Result<Vec<Event>, StoreError> {
    let now = ctx.clock.now();
    let down_secs = ctx.store.last_beat()?.map_or(0, |last| now.secs_since(last));
    if down_secs > BEAT_EVERY.as_secs() {
        tracing::warn!(down_secs, "the server was down; its time is given back");
    }
    ctx.store.beat(now)?;
    Ok(vec![Event::ServerWasDown { secs: down_secs }, Event::ServerStarted])
}

/// Beats until the future is dropped.
pub async fn beat(ctx: Arc<Context>) {
    loop {
        tokio::time::sleep(BEAT_EVERY).await;
        if let Err(e) = ctx.store.beat(ctx.clock.now()) {
            tracing::error!("heartbeat: {e}");
        }
    }
}

//! Being alive, on record: time that the server was down is given back to who had paid for it.

use std::sync::Arc;
use std::time::Duration;

use crate::context::Context;
use crate::store::StoreError;

/// An outage is known this exactly; it is rounded in the containers' favour.
const BEAT_EVERY: Duration = Duration::from_secs(5);

/// Gives the time of an outage back. To be called once nothing can keep the server from starting its containers:
/// from here on time counts again.
///
/// # Errors
/// [`StoreError`]; nothing is given, and nothing is lost.
pub fn give_back(ctx: &Context) -> Result<(), StoreError> {
    let down_secs = ctx.store.give_back(ctx.clock.now(), &ctx.config.policy())?;
    if down_secs > BEAT_EVERY.as_secs() {
        tracing::warn!(down_secs, "the server was down; its time is given back");
    }
    Ok(())
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

//! Tells the server around us which key is the wallet's.

use std::sync::Arc;
use std::time::Duration;

use super::{Host, Transport};

/// Between two attempts to tell a server that restarts.
const AGAIN: Duration = Duration::from_millis(500);
/// How long the internal relay may take after the server is back.
const RELAY_WAIT: Duration = Duration::from_secs(10);

/// Tells the daemon our key, again after each of its restarts, until the task is aborted.
pub(super) async fn keep_told(transport: Arc<Transport>, host: Host) {
    let key = transport.keys.public_key();
    loop {
        // It will ask us over its relay as soon as it knows.
        if !internal_is_up(&transport).await {
            tracing::warn!("the server's internal relay does not answer");
        }
        if let Err(e) = host.guest.set_info_and_stay(key).await {
            tracing::warn!("the server could not be told the wallet's key: {e}");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn internal_is_up(transport: &Transport) -> bool {
    match &transport.house {
        Some(house) => house.pool.wait_connected(RELAY_WAIT).await,
        None => false,
    }
}

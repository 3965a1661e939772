//! The info event, kind 13194: what this wallet can do. Clients look for it before anything else, and
//! relays forget it.

use std::sync::Arc;
use std::time::Duration;

use protocol::event::{CheckedEvent, SignError, sign};
use protocol::kinds::NWC_INFO;
use protocol::nwc::{Method, Notification};
use protocol::tag;

use super::Transport;
use super::cipher::ENCRYPTION;

/// Relays forget; some clients cache for two days.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(3_600);
/// Until a relay has taken it once.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(2);

/// Announces the wallet until the task is aborted.
pub(super) async fn keep_announced(transport: Arc<Transport>) {
    loop {
        let taken = match event(&transport) {
            Ok(event) => {
                let report = transport.pool.publish(&event).await;
                // Every relay of a connection string must have it: a client looks at one only.
                report.is_published() && report.refused.is_empty()
            }
            Err(e) => {
                tracing::error!("the info event could not be made: {e}");
                false
            }
        };
        tokio::time::sleep(if taken { ANNOUNCE_EVERY } else { ANNOUNCE_AGAIN }).await;
    }
}

fn event(transport: &Transport) -> Result<CheckedEvent, SignError> {
    let mut words: Vec<_> = Method::NIP.iter().chain(&Method::EXTENSIONS).map(Method::as_str).collect();
    words.push("notifications");
    let tags = vec![tag!["encryption", ENCRYPTION], tag!["notifications", Notification::TYPES.join(" ")]];
    sign(&transport.keys, NWC_INFO, transport.clock.now(), tags, words.join(" "))
}

//! Reaching a parent that starts beside us.

use std::time::Duration;

use protocol::parent::Push;
use thiserror::Error;
use tokio::sync::mpsc;
use transport::{ParentClient, StreamAddress};

/// How long to wait for it.
const WAIT: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_millis(200);

/// The parent cannot be reached.
#[derive(Clone, Debug, Error)]
#[error("the parent at {0} does not answer")]
pub struct ParentError(StreamAddress);

/// Connects to the parent, again and again for a minute.
///
/// # Errors
/// [`ParentError`].
pub async fn connect_parent(
    address: &StreamAddress,
) -> Result<(ParentClient, mpsc::Receiver<Push>), ParentError> {
    let connected = async {
        loop {
            match ParentClient::connect(address).await {
                Ok(connected) => return connected,
                Err(e) => tracing::debug!("{e}"),
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::time::timeout(WAIT, connected).await.map_err(|_| ParentError(address.clone()))
}

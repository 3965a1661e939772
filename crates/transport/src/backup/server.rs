//! The parent's end of the backup channel.

use std::sync::Arc;

use protocol::parent::backup::{Generation, Head, InstanceId, ObjectId, RefusalCode};
use tokio::sync::Semaphore;

use super::connection::{BUDGET_KIB, serve_connection};
use crate::Listener;

/// Streams at once: one enclave's, and those of its predecessor that have not ended yet.
const CONNECTIONS_MAX: usize = 4;

/// Why something was not done. Nothing was changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people: why, and what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Knows where each instance's objects are.
pub trait BackupHost: Send + Sync + 'static {
    /// What keeps the objects of one instance.
    type Vault: BackupVault;

    /// Opens an instance's vault.
    fn open(&self, instance: InstanceId) -> impl Future<Output = Result<Arc<Self::Vault>, Refusal>> + Send;
}

/// Keeps the objects of one instance. See [`protocol::parent::backup::Request`] for what each does.
pub trait BackupVault: Send + Sync + 'static {
    /// Which of these objects are not there.
    fn lacking(&self, objects: Vec<ObjectId>) -> impl Future<Output = Result<Vec<ObjectId>, Refusal>> + Send;

    /// Keeps an object; it is durable when this returns.
    fn put(&self, object: ObjectId, bytes: Vec<u8>) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Makes a generation; it is durable when this returns.
    fn commit(&self, head: Head, objects: Vec<ObjectId>) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Removes what `head` makes dispensable; tells how many generations that were.
    fn confirm(&self, head: Head) -> impl Future<Output = Result<u32, Refusal>> + Send;

    /// The bytes of an object.
    fn get(&self, object: ObjectId) -> impl Future<Output = Result<Vec<u8>, Refusal>> + Send;

    /// The newest generations, the newest last.
    fn list(&self) -> impl Future<Output = Result<Vec<Generation>, Refusal>> + Send;

    /// Forgets objects that a stream put and did not commit before it ended.
    fn abandon(&self, objects: Vec<ObjectId>) -> impl Future<Output = ()> + Send;
}

/// Serves backup streams until the listener breaks.
///
/// # Errors
/// What `accept` says, unless it is a matter of this connection or of the moment.
pub async fn serve_backups<H: BackupHost>(listener: Listener, host: Arc<H>) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let budget = Arc::new(Semaphore::new(BUDGET_KIB));
    loop {
        let stream = listener.accept_next().await?;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!("more than {CONNECTIONS_MAX} backup streams; one was refused");
            continue;
        };
        let (host, budget) = (Arc::clone(&host), Arc::clone(&budget));
        tokio::spawn(async move {
            serve_connection(stream, host, budget).await;
            drop(place);
        });
    }
}

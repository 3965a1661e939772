//! What the daemon drives.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use protocol::parent::backup::{BackupStore, Head, InstanceId, StoreError};
use units::UnixSecs;

use crate::error::{RestoreError, SnapshotError};
use crate::manifest::{Chunk, Manifest};
use crate::restore;
use crate::seal::ChunkName;
use crate::secret::{DeriveError, DiskSecret, Keys};
use crate::snapshot;
use crate::source::{Source, SourceName};

/// Threads that seal or open: more would only hold more memory, each about 6 MiB.
const WORKERS_MAX: usize = 4;

/// Makes and restores snapshots of one instance. It remembers what the newest acknowledged snapshot
/// holds; whether the key stores really name it is the caller's to find out.
///
/// The order of a snapshot: [`Engine::snapshot`] (the store has it) → the key stores take
/// [`Snapshot::head`] → [`Engine::acknowledge`]. Only then does it count, and only then may the store let
/// go of older ones. If the outcome of the second step is unknown, ask the key stores before the next.
pub struct Engine {
    keys: Arc<Keys>,
    base: Option<Base>,
    workers: usize,
    bytes_max: u64,
}

/// What the newest acknowledged snapshot holds.
pub(crate) struct Base {
    pub(crate) head: Head,
    pub(crate) chunks: HashMap<ChunkName, Chunk>,
}

/// A snapshot that is in the store, and that nobody counts on yet.
#[must_use = "it counts once the key stores have its head and the engine was told"]
pub struct Snapshot {
    pub(crate) base: Base,
    pub(crate) stats: SnapshotStats,
}

/// What a snapshot was made of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SnapshotStats {
    /// Size of the sources in bytes, holes included.
    pub plain_bytes: u64,
    /// Chunks that hold something.
    pub chunks: u64,
    /// Objects that were sent, the manifest included.
    pub sent_objects: u64,
    /// Sealed bytes that were sent.
    pub sent_bytes: u64,
}

/// What was restored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restored {
    /// When the snapshot was made, by the clock of who made it.
    pub created: UnixSecs,
    /// Size of the sources in bytes, holes included.
    pub bytes: u64,
    /// The files, relative to the folder.
    pub sources: Vec<SourceName>,
}

/// How far a restore is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// Objects fetched.
    pub objects: u64,
    /// Objects to be fetched in all.
    pub objects_total: u64,
    /// Sealed bytes fetched.
    pub bytes: u64,
    /// Sealed bytes to be fetched in all.
    pub bytes_total: u64,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.base.as_ref().map(|base| base.head);
        f.debug_struct("Engine").field("keys", &self.keys).field("head", &head).finish_non_exhaustive()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("head", &self.base.head).field("stats", &self.stats).finish()
    }
}

impl Snapshot {
    /// What the key stores are to remember.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.base.head
    }

    /// What it was made of.
    #[must_use]
    pub const fn stats(&self) -> SnapshotStats {
        self.stats
    }
}

impl Engine {
    /// An engine that knows of no snapshot: the first one sends everything, as generation 1.
    ///
    /// # Errors
    /// [`DeriveError`].
    pub fn new(secret: &DiskSecret) -> Result<Self, DeriveError> {
        let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let keys = Arc::new(Keys::derive(secret)?);
        Ok(Self { keys, base: None, workers: workers.min(WORKERS_MAX), bytes_max: u64::MAX })
    }

    /// The same, which refuses a snapshot of more than `bytes_max` bytes, holes included: what no restore
    /// would take must not count.
    #[must_use]
    pub fn limited(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    /// Whose backups these are: what a stream to the parent is opened for.
    #[must_use]
    pub fn instance(&self) -> InstanceId {
        self.keys.instance()
    }

    /// The newest acknowledged snapshot that the engine knows of.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.base.as_ref().map(|base| base.head)
    }

    /// Puts the sources into the store as the generation after the newest acknowledged one, and sends
    /// only what that one does not hold. The sources must not change meanwhile.
    ///
    /// # Errors
    /// [`SnapshotError`]; the store then has nothing new that counts.
    pub async fn snapshot(
        &self,
        store: &mut impl BackupStore,
        sources: Vec<Source>,
        created: UnixSecs,
    ) -> Result<Snapshot, SnapshotError> {
        let made = snapshot::Making { sources, created, bytes_max: self.bytes_max };
        snapshot::make(&self.keys, self.workers, self.base.as_ref(), store, made).await
    }

    /// The key stores have taken the snapshot's head: the next snapshot builds on it, and the store may
    /// let go of older ones.
    ///
    /// # Errors
    /// [`StoreError`] if the store could not be told. The snapshot counts nevertheless.
    pub async fn acknowledge(
        &mut self,
        store: &mut impl BackupStore,
        snapshot: Snapshot,
    ) -> Result<(), StoreError> {
        let head = snapshot.head();
        self.base = Some(snapshot.base);
        store.confirm(head).await
    }

    /// Learns what the snapshot of `head` holds without restoring it, so that the next one sends only
    /// what changed: for a daemon that restarts over a disk that is still there.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub async fn adopt(&mut self, store: &mut impl BackupStore, head: Head) -> Result<(), RestoreError> {
        let manifest = restore::fetch_manifest(&self.keys, store, head).await?;
        self.base = Some(Base::of(head, &manifest));
        store.confirm(head).await.map_err(RestoreError::Store)
    }

    /// Goes on from `head` without knowing what it holds: the next snapshot is the generation after it, and
    /// sends everything. For a daemon whose disk is whole while the store has lost the snapshot.
    pub fn follow(&mut self, head: Head) {
        self.base = Some(Base { head, chunks: HashMap::new() });
    }

    /// Restores exactly the snapshot that `head` names into the new folder `into`. The folder appears
    /// whole and durable, or not at all. At most `bytes_max` bytes, holes included, are restored.
    ///
    /// # Errors
    /// [`RestoreError`], whose code says what the store did.
    pub async fn restore(
        &mut self,
        store: &mut impl BackupStore,
        head: Head,
        into: &Path,
        bytes_max: u64,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Restored, RestoreError> {
        let manifest = restore::fetch_manifest(&self.keys, store, head).await?;
        if manifest.bytes() > bytes_max {
            return Err(RestoreError::TooLarge { bytes: manifest.bytes(), max: bytes_max });
        }
        let base = Base::of(head, &manifest);
        let restored = restore::restore(&self.keys, self.workers, store, manifest, into, progress).await?;
        self.base = Some(base);
        // The parent may have missed that this is the head. If it cannot be told now, the next
        // snapshot will find out that it is gone.
        if let Err(e) = store.confirm(head).await {
            tracing::warn!(code = e.code(), "the parent was not told which backup counts: {e}");
        }
        Ok(restored)
    }
}

impl Base {
    fn of(head: Head, manifest: &Manifest) -> Self {
        Self { head, chunks: manifest.chunks().map(|chunk| (chunk.name, *chunk)).collect() }
    }
}

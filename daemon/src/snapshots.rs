//! Snapshots of everything that this server keeps, so that it outlives the machine.
//!
//! The databases come first, then the wallet, then the other volumes: whatever the databases say was paid,
//! the wallet knows. A snapshot counts once the key stores have its head; our own disk says so before they
//! are asked and after they have answered, so that a restart knows on which side of it it is.

mod copies;
mod watched;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::backup::{Engine, NameError, SnapshotError, SnapshotStats};
use keyholder::{HoldError, Keyholder};
use protocol::parent::backup::StoreError;
use thiserror::Error;
use tokio::sync::{Mutex, Notify};
use units::{Clock, Stopwatch, UnixSecs};

use crate::checkpoint::{Checkpoints, Step};
use crate::config::{Backup, Config};
use crate::context::Context;
use crate::runtime::RuntimeError;
use crate::sealed::standing::Standing;
use crate::sealed::{Placed, kept};
use crate::store::StoreError as DatabaseError;
pub(crate) use copies::{MESSAGES_DB, REQUESTS_DB, STATE_DB};
pub(crate) use watched::Watched;

/// How often the age of the newest snapshot is told.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How soon the first snapshot is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Folder of the copies that are being sent.
const COPIES: &str = "copies";

/// Why there is no new snapshot. The state is not harmed, and the last one counts as before.
#[derive(Debug, Error)]
pub enum TakeError {
    /// A file failed.
    #[error("a copy could not be made")]
    Copy(#[source] std::io::Error),
    /// A database could not be copied.
    #[error("a database could not be copied")]
    Database(#[from] rusqlite::Error),
    /// The list of containers could not be read.
    #[error(transparent)]
    Containers(#[from] DatabaseError),
    /// The engine failed on a container.
    #[error(transparent)]
    Engine(#[from] RuntimeError),
    /// A name is none: a fault of ours.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The parent's backup port cannot be used.
    #[error("the parent's backup port cannot be used")]
    Store(#[from] StoreError),
    /// The snapshot could not be made.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The key stores did not take its head.
    #[error("the key stores did not acknowledge it")]
    Hold(#[from] HoldError),
    /// A thread ended early.
    #[error("a part of the snapshot ended early")]
    Task,
}

impl TakeError {
    /// A stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Copy(_) => "snapshot_copy_failed",
            Self::Database(_) | Self::Containers(_) => "snapshot_database_failed",
            Self::Engine(_) => "engine_failed",
            Self::Name(_) => "snapshot_names",
            Self::Store(error) => error.code(),
            Self::Snapshot(error) => error.code(),
            Self::Hold(_) => "head_not_acknowledged",
            Self::Task => "internal",
        }
    }
}

/// Makes snapshots, one at a time.
#[derive(Debug)]
pub struct Snapshots {
    state_dir: PathBuf,
    data_dir: PathBuf,
    backup: Backup,
    every: Duration,
    holder: Arc<Keyholder>,
    clock: Arc<dyn Clock>,
    checkpoints: Checkpoints,
    maker: Mutex<Maker>,
    /// When the newest that counts was begun; what happened before is in it.
    newest_made: AtomicU64,
    nudged: Notify,
    is_new: bool,
}

#[derive(Debug)]
struct Maker {
    engine: Engine,
    standing: Standing,
}

impl Snapshots {
    pub(crate) fn new(
        config: &Config,
        backup: &Backup,
        placed: Placed,
        holder: Arc<Keyholder>,
        clock: Arc<dyn Clock>,
        checkpoints: Checkpoints,
    ) -> Self {
        let Placed { engine, standing, is_new } = placed;
        let engine = engine.limited(backup.bytes_max);
        Self {
            state_dir: config.state_dir.clone(),
            data_dir: config.data_dir(),
            backup: backup.clone(),
            every: Duration::from_secs(backup.interval_secs),
            holder,
            clock,
            checkpoints,
            maker: Mutex::new(Maker { engine, standing }),
            newest_made: AtomicU64::new(0),
            nudged: Notify::new(),
            is_new,
        }
    }

    /// Makes one soon: something came into being that must not be lost.
    pub fn nudge(&self) {
        self.nudged.notify_one();
    }

    /// Returns once the state can be relied on: that of a fresh start or of a restore not before it is in a
    /// snapshot that counts.
    pub async fn settle(&self, ctx: &Context) {
        while self.is_new && !self.take_or_say(ctx).await {
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    /// Makes snapshots at the configured interval, until the future is dropped.
    pub async fn run(&self, ctx: &Context) {
        let mut since = Stopwatch::start();
        loop {
            let nudged =
                tokio::time::timeout(TELL_EVERY.min(self.every), self.nudged.notified()).await.is_ok();
            self.tell_age();
            if nudged || since.elapsed() >= self.every {
                since = Stopwatch::start();
                self.take_or_say(ctx).await;
            }
        }
    }

    /// Makes one; if there is none, says why. True if it counts.
    pub async fn take_or_say(&self, ctx: &Context) -> bool {
        match self.take(ctx).await {
            Ok(()) => true,
            Err(e) => {
                metrics::counter!("snapshot_failures_total", "code" => e.code()).increment(1);
                let causes = causes(&e);
                tracing::error!(
                    code = e.code(),
                    "no new snapshot, the last one counts as before: {e}{causes}"
                );
                false
            }
        }
    }

    /// Makes one, and returns once the key stores have its head.
    ///
    /// # Errors
    /// [`TakeError`].
    pub async fn take(&self, ctx: &Context) -> Result<(), TakeError> {
        let mut maker = self.maker.lock().await;
        let copies = self.state_dir.join(COPIES);
        let made = self.make(ctx, &mut maker, &copies).await;
        // They are clear text beside what is sealed.
        if let Err(e) = copies::remove(&copies) {
            tracing::error!("copies of a snapshot were not removed: {e}");
        }
        made
    }

    async fn make(
        &self,
        ctx: &Context,
        maker: &mut Maker,
        copies: &std::path::Path,
    ) -> Result<(), TakeError> {
        let (took, began) = (Stopwatch::start(), self.clock.now());
        let generation = maker.engine.head().map_or(1, |head| head.generation + 1);
        let subject = generation.to_string();
        self.checkpoints.reach(Step::SnapshotDue, &subject).await;
        let sources = copies::make(ctx, &self.data_dir, copies, &subject).await?;
        self.checkpoints.reach(Step::SnapshotCopied, &subject).await;
        let client = self.backup.connect(maker.engine.instance()).await?;
        let mut store = Watched::new(client, &self.checkpoints, generation);
        let snapshot = maker.engine.snapshot(&mut store, sources, began).await?;
        self.checkpoints.reach(Step::SnapshotUploaded, &subject).await;
        let (head, stats) = (kept(snapshot.head()), snapshot.stats());
        maker.standing.pending = Some(head);
        maker.standing.save(&self.state_dir).map_err(TakeError::Copy)?;
        self.checkpoints.reach(Step::SnapshotPending, &subject).await;
        // Asks for as long as it takes: whether it counts must be known before the next one is made.
        self.holder.advance(head).await?;
        self.checkpoints.reach(Step::SnapshotAdvanced, &subject).await;
        // It counts, whether or not the store hears that it may let go of older ones.
        if let Err(e) = maker.engine.acknowledge(&mut store, snapshot).await {
            tracing::warn!(code = e.code(), "the parent was not told which backup counts: {e}");
        }
        self.checkpoints.reach(Step::SnapshotConfirmed, &subject).await;
        maker.standing.acknowledged = Some(head);
        maker.standing.pending = None;
        maker.standing.save(&self.state_dir).map_err(TakeError::Copy)?;
        self.newest_made.store(began.0, Ordering::SeqCst);
        self.tell(generation, stats, took.elapsed());
        self.checkpoints.reach(Step::SnapshotAcknowledged, &subject).await;
        Ok(())
    }

    fn tell(&self, generation: u64, stats: SnapshotStats, took: Duration) {
        metrics::histogram!("snapshot_seconds").record(took.as_secs_f64());
        metrics::counter!("snapshot_sent_bytes_total").increment(stats.sent_bytes);
        // Exact up to 2^32 snapshots.
        metrics::gauge!("snapshot_generation").set(f64::from(u32::try_from(generation).unwrap_or(u32::MAX)));
        self.tell_age();
        tracing::info!(
            generation,
            sent_bytes = stats.sent_bytes,
            plain_bytes = stats.plain_bytes,
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "snapshot acknowledged"
        );
    }

    fn tell_age(&self) {
        let made = UnixSecs(self.newest_made.load(Ordering::SeqCst));
        if made.0 > 0 {
            let age_secs = u32::try_from(self.clock.now().secs_since(made)).unwrap_or(u32::MAX);
            metrics::gauge!("snapshot_age_seconds").set(f64::from(age_secs));
        }
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

//! Puts the state in its place: what is there already, what the key stores' head names, or nothing.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ::backup::{DiskSecret, Engine, Progress};
use quorum::{Head, RecordId};
use units::Clock;

use super::disk::{self, Verdict};
use super::standing::{Recovered, Standing};
use super::{SealedError, stored};
use crate::checkpoint::{Checkpoints, Step};
use crate::config::Backup;
use crate::runtime::{Leftovers, VOLUMES_DIR};
use crate::snapshots::Watched;

/// Where a snapshot is restored to before it takes its place.
const INCOMING: &str = "incoming";
/// Progress is said so often, in percent.
const SAY_EVERY_PERCENT: u64 = 10;

/// Where the state goes.
pub(super) struct Place<'p> {
    pub(super) state_dir: &'p Path,
    pub(super) data_dir: &'p Path,
    pub(super) backup: &'p Backup,
    pub(super) clock: &'p dyn Clock,
    pub(super) checkpoints: &'p Checkpoints,
    pub(super) leftovers: &'p Leftovers,
    pub(super) record: RecordId,
}

/// State in its place.
pub(crate) struct Placed {
    /// What the disk knows of itself now.
    pub(crate) standing: Standing,
    /// What makes its snapshots, knowing the newest.
    pub(crate) engine: Engine,
    /// Nobody may rely on it before it is in a snapshot: no disk of before may pass for the newest.
    pub(crate) is_new: bool,
}

impl Place<'_> {
    /// Has the state in its place, given the head that the key stores have.
    pub(super) async fn settle(
        &self,
        secret: &DiskSecret,
        head: Option<Head>,
    ) -> Result<Placed, SealedError> {
        self.clear_partial()?;
        let standing = Standing::load(self.state_dir).map_err(disk_error)?;
        let mut engine = Engine::new(secret)?;
        match disk::decide(standing.as_ref(), self.data_dir.is_dir(), self.record, head) {
            Verdict::GoOn { head } => {
                tracing::info!("the state on this disk is ours, and the newest: going on with it");
                let recovered = standing.and_then(|standing| standing.recovered);
                if let Some(head) = head {
                    self.adopt(&mut engine, head).await;
                }
                self.whole(engine, head, recovered, head.is_none())
            }
            Verdict::Begin => {
                tracing::info!("there is no state yet: beginning with none");
                self.clear().await?;
                std::fs::create_dir_all(self.data_dir).map_err(disk_error)?;
                self.whole(engine, None, None, true)
            }
            Verdict::Restore(head) => {
                let recovered = self.restore(&mut engine, head).await?;
                self.whole(engine, Some(head), Some(recovered), true)
            }
            Verdict::HeadLost(head) => Err(SealedError::HeadLost(head.generation)),
        }
    }

    fn whole(
        &self,
        engine: Engine,
        head: Option<Head>,
        recovered: Option<Recovered>,
        is_new: bool,
    ) -> Result<Placed, SealedError> {
        let standing = Standing::whole(self.record, head, recovered);
        standing.save(self.state_dir).map_err(disk_error)?;
        Ok(Placed { standing, engine, is_new })
    }

    /// Learns what the newest snapshot holds. A store that has lost it costs us nothing but that the next
    /// one is sent whole.
    async fn adopt(&self, engine: &mut Engine, head: Head) {
        let adopted = async {
            let mut store = self.backup.connect(engine.instance()).await?;
            engine.adopt(&mut store, stored(head)).await
        };
        if let Err(e) = adopted.await {
            tracing::error!(
                code = e.code(),
                "the parent's store lacks the newest snapshot; the next is sent whole: {e}"
            );
            engine.follow(stored(head));
        }
    }

    /// Restores beside what is there, and only then puts it in its place.
    async fn restore(&self, engine: &mut Engine, head: Head) -> Result<Recovered, SealedError> {
        tracing::info!(generation = head.generation, "restoring the newest snapshot");
        let incoming = self.incoming();
        let client = self.backup.connect(engine.instance()).await?;
        let mut store = Watched::new(client, self.checkpoints, head.generation);
        let progress = say_progress();
        let bytes_max = self.backup.bytes_max;
        let restored = engine.restore(&mut store, stored(head), &incoming, bytes_max, progress).await?;
        let subject = head.generation.to_string();
        self.checkpoints.reach(Step::RestoreFetched, &subject).await;
        self.clear().await?;
        self.checkpoints.reach(Step::RestoreCleared, &subject).await;
        std::fs::rename(&incoming, self.data_dir).map_err(disk_error)?;
        sync(self.state_dir).map_err(disk_error)?;
        self.checkpoints.reach(Step::RestorePlaced, &subject).await;
        let now = self.clock.now();
        let lost_secs = now.secs_since(restored.created);
        tracing::warn!(
            generation = head.generation,
            bytes = restored.bytes,
            lost_secs,
            "restored; what happened since is lost: {lost_secs} s at most, the time in which nothing ran included"
        );
        Ok(Recovered { at: now, snapshot_made: restored.created })
    }

    /// Removes what an interrupted restore left beside the state.
    fn clear_partial(&self) -> Result<(), SealedError> {
        std::fs::create_dir_all(self.state_dir).map_err(disk_error)?;
        remove(&self.incoming()).map_err(disk_error)?;
        for entry in std::fs::read_dir(self.state_dir).map_err(disk_error)? {
            let entry = entry.map_err(disk_error)?;
            if entry.file_name().to_string_lossy().starts_with(".restore-") {
                remove(&entry.path()).map_err(disk_error)?;
            }
        }
        Ok(())
    }

    /// Removes the state that is in place, with whatever runs on it.
    async fn clear(&self) -> Result<(), SealedError> {
        Standing::replacing(self.record).save(self.state_dir).map_err(disk_error)?;
        self.leftovers.remove(&self.data_dir.join(VOLUMES_DIR)).await?;
        remove(self.data_dir).map_err(disk_error)
    }

    fn incoming(&self) -> PathBuf {
        self.state_dir.join(INCOMING)
    }
}

fn disk_error(error: io::Error) -> SealedError {
    SealedError::Disk("state_dir", error)
}

fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn say_progress() -> impl FnMut(Progress) + Send {
    let mut said = 0;
    move |progress| {
        let percent = progress.bytes.saturating_mul(100) / progress.bytes_total.max(1);
        if percent >= said + SAY_EVERY_PERCENT || (percent == 100 && said < 100) {
            said = percent;
            tracing::info!(percent, bytes = progress.bytes, objects = progress.objects, "restoring");
        }
    }
}

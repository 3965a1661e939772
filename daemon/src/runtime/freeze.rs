//! Processes that are held still for a moment: while their volume is copied, or while nobody may act.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use nostr::key::PublicKey;
use tokio::sync::{Mutex, OwnedMutexGuard};
use units::Stopwatch;

use super::error::is_status;
use super::volume::flush;
use super::{Runtime, RuntimeError, VolumeError, plan};
use crate::store::Container;

/// Why a process is held still. It goes on when no reason is left.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Why {
    /// Its volume is being copied.
    Copy,
    /// This server may not act, and so its wallet may not pay.
    Lapse,
}

/// What is known of each container that may have to be held still.
#[derive(Debug, Default)]
pub(super) struct Freezer(std::sync::Mutex<HashMap<PublicKey, One>>);

/// Why it is held still. Whoever starts, holds or lets go a container has its reasons locked meanwhile.
type Reasons = Arc<Mutex<BTreeSet<Why>>>;

#[derive(Debug, Default)]
struct One {
    turn: Arc<Mutex<()>>,
    reasons: Reasons,
}

impl Freezer {
    /// Waits until nobody starts, stops, wipes or copies this container, mounting included, and keeps
    /// everybody else from it. Of its own for each: a process may take long to end, and no neighbour waits.
    pub(super) async fn turn(&self, pubkey: &PublicKey) -> OwnedMutexGuard<()> {
        let turn = Arc::clone(&self.lock().entry(*pubkey).or_default().turn);
        turn.lock_owned().await
    }

    pub(super) fn reasons(&self, pubkey: &PublicKey) -> Reasons {
        Arc::clone(&self.lock().entry(*pubkey).or_default().reasons)
    }

    pub(super) fn forget(&self, pubkey: &PublicKey) {
        self.lock().remove(pubkey);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PublicKey, One>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Holds a container's process still, if it runs.
pub(super) async fn pause(docker: &Docker, name: &str) -> Result<(), RuntimeError> {
    match docker.pause_container(name).await {
        Ok(()) => Ok(()),
        // It does not run, it is paused already, or there is none.
        Err(e) if is_status(&e, 409) || is_status(&e, 404) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Lets a container's process go on.
pub(super) async fn unpause(docker: &Docker, name: &str) -> Result<(), RuntimeError> {
    match docker.unpause_container(name).await {
        Ok(()) => Ok(()),
        // It is not paused, or it is gone.
        Err(e) if is_status(&e, 409) || is_status(&e, 404) => Ok(()),
        // How the engine answers for one that is not paused.
        Err(e) if is_status(&e, 500) => {
            tracing::debug!(name, "not let go on: {e}");
            Ok(())
        }
        Err(e) => Err(e.into()),
    }
}

impl Runtime {
    /// Holds a container's process still: at once, or from its start on.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn freeze(&self, pubkey: &PublicKey, why: Why) -> Result<(), RuntimeError> {
        let reasons = self.freezer.reasons(pubkey);
        let mut reasons = reasons.lock().await;
        if reasons.is_empty() {
            pause(&self.docker, &plan::container_name(pubkey)).await?;
        }
        reasons.insert(why);
        Ok(())
    }

    /// Lets a container's process go on, unless another reason is left.
    ///
    /// # Errors
    /// [`RuntimeError`]; it is still held then.
    pub async fn thaw(&self, pubkey: &PublicKey, why: Why) -> Result<(), RuntimeError> {
        let reasons = self.freezer.reasons(pubkey);
        let mut reasons = reasons.lock().await;
        if reasons.len() == 1 && reasons.contains(&why) {
            unpause(&self.docker, &plan::container_name(pubkey)).await?;
        }
        reasons.remove(&why);
        Ok(())
    }

    /// Lets go on what an older life of the server held still, unless there is a reason of this one.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn thaw_leftover(&self, pubkey: &PublicKey) -> Result<(), RuntimeError> {
        let reasons = self.freezer.reasons(pubkey);
        let reasons = reasons.lock().await;
        if reasons.is_empty() { unpause(&self.docker, &plan::container_name(pubkey)).await } else { Ok(()) }
    }

    /// Copies a container's volume to the new file `to`, if it has one, with its process held still and
    /// everything that it wrote on the file; and with it the copy from before an upgrade, named by the
    /// upgrade, to another. `held` runs while the process is held.
    ///
    /// # Errors
    /// [`RuntimeError`]; the process goes on all the same.
    pub(crate) async fn copy_volume(
        &self,
        container: &Container,
        to: &Path,
        before_upgrade: Option<(i64, &Path)>,
        held: impl Future<Output = ()>,
    ) -> Result<Option<Copied>, RuntimeError> {
        let pubkey = container.pubkey();
        // It is not started or wiped meanwhile: if it runs it is held, and it does not begin to.
        let _alone = self.freezer.turn(&pubkey).await;
        let Some((file, mounted)) = self.volumes.source(&pubkey)? else { return Ok(None) };
        let took = Stopwatch::start();
        self.freeze(&pubkey, Why::Copy).await?;
        let copied = copy(file, mounted, to.to_owned()).await;
        held.await;
        self.thaw(&pubkey, Why::Copy).await?;
        copied?;
        let paused = took.elapsed();
        // Nobody writes into this one; it can only be renamed or removed, and not now.
        let saved =
            before_upgrade.and_then(|(upgrade, to)| Some((self.volumes.saved(&pubkey, upgrade)?, to)));
        let has_saved = saved.is_some();
        if let Some((file, to)) = saved {
            copy(file, None, to.to_owned()).await?;
        }
        Ok(Some(Copied { paused, has_saved }))
    }
}

/// What was copied of a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied {
    /// For how long its process was held still.
    pub(crate) paused: Duration,
    /// There was a copy of the volume from before the upgrade, too.
    pub(crate) has_saved: bool,
}

async fn copy(file: PathBuf, mounted: Option<PathBuf>, to: PathBuf) -> Result<(), VolumeError> {
    let path = file.clone();
    let copying = tokio::task::spawn_blocking(move || {
        if let Some(point) = mounted {
            flush(&point)?;
        }
        backup::copy_frozen(&file, &to).map(drop)
    });
    let copied = copying.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    copied.map_err(|source| VolumeError::Io { path, source })
}

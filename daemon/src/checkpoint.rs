//! Named steps of the work on money, containers and snapshots, at which a test can kill.
//!
//! Where configuration names a socket (development only), each step is announced on it and waits for
//! the answer; so a test can kill the daemon, the wallet or the engine at exactly this moment. Without
//! a socket a step costs nothing.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

macro_rules! steps {
    ($($(#[doc = $list_doc:literal])+ $list:ident {
        $($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+
    })+) => {
        /// A named step.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Step { $($($(#[doc = $doc])+ $variant,)+)+ }

        impl Step {
            $(
                $(#[doc = $list_doc])+
                pub const $list: &'static [Self] = &[$(Self::$variant),+];
            )+

            /// The step's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$variant => $name,)+)+ }
            }
        }
    };
}

steps! {
    /// The steps of a container's life.
    LIFE {
        /// A launch is on record; its invoice is not.
        LaunchReserved = "launch.reserved",
        /// A launch and its invoice are on record; the owner has not heard.
        LaunchInvoiced = "launch.invoiced",
        /// A launch is known to be paid; nothing is prepared.
        LaunchPaid = "launch.paid",
        /// The image is in the engine.
        LaunchFetched = "launch.fetched",
        /// The container is created and not started.
        LaunchCreated = "launch.created",
        /// The container runs; the state does not say so.
        LaunchStarted = "launch.started",
        /// A charge is intended; it has no invoice.
        ChargeIntended = "charge.intended",
        /// A charge has its invoice; it is not paid.
        ChargeInvoiced = "charge.invoiced",
        /// A charge is paid; our books do not say so.
        ChargePaid = "charge.paid",
        /// A charge is paid on our books; the container's paid time has not moved.
        ChargeRecorded = "charge.recorded",
        /// A container is paused on record; its process runs.
        PauseRecorded = "pause.recorded",
        /// A container's process is stopped.
        PauseStopped = "pause.stopped",
    }
    /// The steps of an upgrade of a container.
    UPGRADE {
        /// An upgrade is on record; nothing is fetched.
        UpgradeIntended = "upgrade.intended",
        /// The new image is in the engine; the old one runs.
        UpgradeFetched = "upgrade.fetched",
        /// The old process is stopped and its volume copied; the old image is on record.
        UpgradeSaved = "upgrade.saved",
        /// The new image is on record; nothing runs.
        UpgradeSwitched = "upgrade.switched",
        /// The new image runs on trial.
        UpgradeStarted = "upgrade.started",
        /// The new image is healthy; the record does not say so.
        UpgradeHealthy = "upgrade.healthy",
        /// An upgrade goes back on record; nothing is undone.
        UpgradeFailed = "upgrade.failed",
        /// The old volume is back in its place; the new image is on record.
        UpgradeRestored = "upgrade.restored",
    }
    /// The steps of a snapshot.
    SNAPSHOT {
        /// A snapshot is due; nothing is copied.
        SnapshotDue = "snapshot.due",
        /// The databases are copied; the volumes are not.
        SnapshotDatabases = "snapshot.databases",
        /// A container is held still, and its volume copied.
        SnapshotFrozen = "snapshot.frozen",
        /// Everything is copied; nothing is sent.
        SnapshotCopied = "snapshot.copied",
        /// The first object is about to be sent.
        SnapshotUploading = "snapshot.uploading",
        /// The store has the snapshot; our disk does not say so.
        SnapshotUploaded = "snapshot.uploaded",
        /// Our disk says that it may count; the key stores have not heard of it.
        SnapshotPending = "snapshot.pending",
        /// The key stores have it; the store was not told.
        SnapshotAdvanced = "snapshot.advanced",
        /// The store was told; our disk does not say so.
        SnapshotConfirmed = "snapshot.confirmed",
        /// It counts everywhere.
        SnapshotAcknowledged = "snapshot.acknowledged",
    }
    /// The steps of a restore.
    RESTORE {
        /// The first object is there.
        RestoreFetching = "restore.fetching",
        /// The state is whole, beside its place.
        RestoreFetched = "restore.fetched",
        /// What was in its place is gone.
        RestoreCleared = "restore.cleared",
        /// It is in its place; our disk does not say so.
        RestorePlaced = "restore.placed",
    }
}

/// Where steps are announced.
#[derive(Clone, Debug, Default)]
pub struct Checkpoints {
    socket: Option<PathBuf>,
}

impl Checkpoints {
    /// Announces steps on `socket`, if there is one.
    #[must_use]
    pub const fn new(socket: Option<PathBuf>) -> Self {
        Self { socket }
    }

    /// Announces that `step` is reached for `subject` and waits to be let on.
    pub async fn reach(&self, step: Step, subject: &str) {
        let Some(socket) = &self.socket else { return };
        // A test that has gone away lets everything on.
        let asked = async {
            let mut stream = UnixStream::connect(socket).await?;
            stream.write_all(format!("{} {subject}\n", step.name()).as_bytes()).await?;
            stream.read_u8().await
        };
        if let Err(e) = asked.await {
            tracing::debug!("nobody watches {}: {e}", step.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let all = || Step::LIFE.iter().chain(Step::UPGRADE).chain(Step::SNAPSHOT).chain(Step::RESTORE);
        let mut names: Vec<_> = all().map(|step| step.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
    }

    #[tokio::test]
    async fn step_waits_for_the_watcher() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("steps");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let reached = tokio::spawn(async move {
            Checkpoints::new(Some(path)).reach(Step::ChargePaid, "abc").await;
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut line = [0; 16];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"charge.paid abc\n");
        assert!(!reached.is_finished());
        stream.write_all(b".").await.unwrap();
        reached.await.unwrap();
    }
}

//! Why there is no snapshot, or no restored state.

use std::io;
use std::path::PathBuf;

use protocol::parent::backup::{Head, InstanceId, ObjectId, StoreError};
use thiserror::Error;

use crate::CHUNKS_MAX;
use crate::manifest::ManifestError;
use crate::source::{NameError, SourceName};

/// Why no snapshot was made. What the store held before, it still holds.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The sources' names cannot be used.
    #[error("the sources cannot be named so")]
    Names(#[from] NameError),
    /// A source cannot be read.
    #[error("the source {0} cannot be read")]
    Read(SourceName, #[source] io::Error),
    /// More than one snapshot may hold.
    #[error("more than {CHUNKS_MAX} chunks of data; remove something or raise the bound")]
    TooLarge,
    /// More than a restore would take.
    #[error(
        "the sources have {bytes} bytes, holes included; a restore takes {max}: remove something, or start a build \
         with a higher backup.bytes_max"
    )]
    AboveBound {
        /// What they have.
        bytes: u64,
        /// What is allowed.
        max: u64,
    },
    /// A chunk cannot be sealed: a fault of a library, or no memory.
    #[error("a chunk cannot be sealed")]
    Seal(#[source] io::Error),
    /// The manifest cannot be written.
    #[error("the manifest cannot be written")]
    Manifest(#[source] ManifestError),
    /// The store did not take it.
    #[error("the snapshot was not stored")]
    Store(#[from] StoreError),
    /// A worker ended without a result.
    #[error("a worker of the snapshot ended early")]
    Worker,
}

impl SnapshotError {
    /// A stable code for logs and answers.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Names(_) => "snapshot_names",
            Self::Read(..) => "snapshot_source_unreadable",
            Self::TooLarge | Self::AboveBound { .. } => "snapshot_too_large",
            Self::Seal(_) => "snapshot_seal_failed",
            Self::Manifest(_) => "snapshot_manifest_failed",
            Self::Store(error) => error.code(),
            Self::Worker => "snapshot_worker_failed",
        }
    }
}

/// Why nothing was restored. Nothing was overwritten, and nothing half restored is left behind.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The store did not give it.
    #[error("the store did not give what the head names")]
    Store(#[from] StoreError),
    /// The manifest is not the one that the head names: older, another's, or damaged.
    #[error("the manifest that the store gave is not that of {head}, but {found}")]
    ManifestDigest {
        /// What the key stores remember.
        head: Head,
        /// What came.
        found: ObjectId,
    },
    /// The head names it, but it cannot be opened with this secret.
    #[error("the manifest of {0} was not sealed with this instance's secret")]
    ManifestSealed(Head),
    /// It opens, but was not written by a holder of the secret, or not for this build.
    #[error("the manifest of {head} cannot be used")]
    Manifest {
        /// What the key stores remember.
        head: Head,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// It counts another generation than the head.
    #[error("the manifest of {head} says that it is generation {found}")]
    Generation {
        /// What the key stores remember.
        head: Head,
        /// What it says.
        found: u64,
    },
    /// It belongs to somebody else.
    #[error("the manifest of {head} belongs to instance {found}")]
    Owner {
        /// What the key stores remember.
        head: Head,
        /// What it says.
        found: InstanceId,
    },
    /// More than the caller has room for.
    #[error("the backup has {bytes} bytes; there is room for {max}")]
    TooLarge {
        /// What it has.
        bytes: u64,
        /// What is allowed.
        max: u64,
    },
    /// An object is not as long as the manifest says.
    #[error("the object {object} has {found} bytes instead of {wanted}")]
    ObjectSize {
        /// Which.
        object: ObjectId,
        /// What the manifest says.
        wanted: u32,
        /// What came.
        found: u64,
    },
    /// An object is another, or damaged.
    #[error("the object {0} is damaged, or another was given in its place")]
    ObjectDigest(ObjectId),
    /// An object cannot be opened with this secret.
    #[error("the object {0} was not sealed with this instance's secret")]
    ObjectSealed(ObjectId),
    /// An object opens, but holds another content than the manifest names.
    #[error("the object {0} holds another chunk than the manifest says")]
    ObjectName(ObjectId),
    /// There is something where the restored state would go.
    #[error("{} exists already and is not overwritten; move it away", .0.display())]
    TargetExists(PathBuf),
    /// Files cannot be written.
    #[error("{} cannot be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// A library failed.
    #[error("an object cannot be opened")]
    Open(#[source] io::Error),
    /// A worker ended without a result.
    #[error("a worker of the restore ended early")]
    Worker,
}

impl RestoreError {
    /// A stable code for logs and answers.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::ManifestDigest { .. } => "backup_manifest_mismatch",
            Self::ManifestSealed(_) => "backup_manifest_sealed_for_another",
            Self::Manifest { .. } => "backup_manifest_invalid",
            Self::Generation { .. } => "backup_generation_mismatch",
            Self::Owner { .. } => "backup_owner_mismatch",
            Self::TooLarge { .. } => "backup_too_large",
            Self::ObjectSize { .. } => "backup_object_size",
            Self::ObjectDigest(_) => "backup_object_mismatch",
            Self::ObjectSealed(_) => "backup_object_sealed_for_another",
            Self::ObjectName(_) => "backup_object_misplaced",
            Self::TargetExists(_) => "restore_target_exists",
            Self::Write(..) => "restore_write_failed",
            Self::Open(_) => "restore_open_failed",
            Self::Worker => "restore_worker_failed",
        }
    }
}

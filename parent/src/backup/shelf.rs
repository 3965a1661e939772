//! Where bytes are kept under names: a folder or a bucket.

use std::io;

use thiserror::Error;

use super::bucket::Bucket;
use super::dir::Dir;

/// Bytes could not be kept or found.
#[derive(Debug, Error)]
pub(crate) enum ShelfError {
    #[error("neither a folder nor a bucket is named")]
    Nowhere,
    #[error("another process uses it; end that one first")]
    Taken,
    #[error("{path}")]
    Io {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{path}")]
    Bucket {
        path: String,
        #[source]
        source: object_store::Error,
    },
    #[error("its keys cannot be read")]
    Keys(#[source] service::SecretError),
    #[error("{path} is damaged: {problem}; move the instance's folder away, or restore it")]
    Damaged { path: String, problem: &'static str },
    #[error("{path} is longer than anything that is kept here")]
    TooLong { path: String },
}

/// Something kept.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// When it was written, in seconds since the epoch.
    pub(crate) written_at: u64,
}

/// Where bytes are kept. Paths are relative, and made of checked names only.
#[derive(Debug)]
pub(crate) enum Shelf {
    Dir(Dir),
    Bucket(Bucket),
}

impl Shelf {
    /// Keeps `bytes` under `path`, whole or not at all. The bytes are durable when this returns, the
    /// name once its folder was settled.
    pub(crate) async fn write(&self, path: String, bytes: Vec<u8>) -> Result<(), ShelfError> {
        match self {
            Self::Dir(dir) => dir.write(path, bytes).await,
            Self::Bucket(bucket) => bucket.write(path, bytes).await,
        }
    }

    /// As [`Shelf::write`], but nothing is replaced: what lies there under the name is another's.
    pub(crate) async fn write_new(&self, path: String, bytes: Vec<u8>) -> Result<(), ShelfError> {
        match self {
            Self::Dir(dir) => dir.write_new(path, bytes).await,
            Self::Bucket(bucket) => bucket.write_new(path, bytes).await,
        }
    }

    /// Makes the names in a folder durable.
    pub(crate) async fn settle(&self, folder: String) -> Result<(), ShelfError> {
        match self {
            Self::Dir(dir) => dir.settle(folder).await,
            Self::Bucket(_) => Ok(()),
        }
    }

    /// The bytes under `path`, if there are any; more than `bytes_max` are an error.
    pub(crate) async fn read(&self, path: String, bytes_max: u64) -> Result<Option<Vec<u8>>, ShelfError> {
        match self {
            Self::Dir(dir) => dir.read(path, bytes_max).await,
            Self::Bucket(bucket) => bucket.read(path, bytes_max).await,
        }
    }

    /// Removes what is there.
    pub(crate) async fn remove(&self, path: String) -> Result<(), ShelfError> {
        match self {
            Self::Dir(dir) => dir.remove(path).await,
            Self::Bucket(bucket) => bucket.remove(path).await,
        }
    }

    /// What is in a folder.
    pub(crate) async fn list(&self, folder: String) -> Result<Vec<Entry>, ShelfError> {
        match self {
            Self::Dir(dir) => dir.list(folder).await,
            Self::Bucket(bucket) => bucket.list(folder).await,
        }
    }

    /// The folders at the top.
    pub(crate) async fn folders(&self) -> Result<Vec<String>, ShelfError> {
        match self {
            Self::Dir(dir) => dir.folders().await,
            Self::Bucket(bucket) => bucket.folders().await,
        }
    }

    /// Removes an instance's folder if nothing is in it but empty folders. A bucket has no folders.
    pub(crate) async fn remove_empty(&self, folder: String) -> Result<(), ShelfError> {
        match self {
            Self::Dir(dir) => dir.remove_empty(folder).await,
            Self::Bucket(_) => Ok(()),
        }
    }

    /// Whether what is kept has to be looked at for damage. A bucket does that itself, and takes money for
    /// each look.
    pub(crate) const fn may_rot(&self) -> bool {
        match self {
            Self::Dir(_) => true,
            Self::Bucket(_) => false,
        }
    }

    /// How many more bytes may be kept, if that is known.
    pub(crate) fn room_bytes(&self) -> Result<Option<u64>, ShelfError> {
        match self {
            Self::Dir(dir) => dir.room_bytes().map(Some),
            Self::Bucket(_) => Ok(None),
        }
    }

    /// How long something may lie there unexplained before it is taken for a leftover. A folder is
    /// locked; of a bucket, a predecessor on another host may not have let go yet.
    pub(crate) const fn leftover_secs(&self) -> u64 {
        match self {
            Self::Dir(_) => 0,
            Self::Bucket(_) => 24 * 3600,
        }
    }
}

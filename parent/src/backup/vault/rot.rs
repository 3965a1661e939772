//! Disks forget. An object that no snapshot changes is read by nobody until the day of the restore, so it is
//! read here now and then; one that is damaged is said to be lacking, and the next snapshot sends it anew.

use nix::libc::EIO;
use protocol::parent::backup::{OBJECT_BYTES_MAX, ObjectId};

use super::Vault;
use crate::backup::shelf::ShelfError;

/// What an object counts for at least, in bytes: small ones cost a seek.
const LOOK_BYTES: u64 = 64 * 1024;

impl Vault {
    /// Looks at the objects whose turn it is, each once, until `bytes` bytes were read.
    pub(crate) async fn check_some(&self, bytes: u64) {
        let mut left = bytes;
        let objects = self.index().count();
        for _ in 0..objects {
            let Some(object) = self.index().next_to_check() else { return };
            match self.is_whole(object).await {
                Ok(Some(len)) => left = left.saturating_sub(len.max(LOOK_BYTES)),
                Ok(None) => {
                    left = left.saturating_sub(LOOK_BYTES);
                    self.give_up(object);
                }
                Err(e) => {
                    tracing::warn!("an object cannot be looked at: {e}");
                    return;
                }
            }
            if left == 0 {
                return;
            }
        }
    }

    /// How many bytes the object has, if they are what its name says.
    pub(super) async fn is_whole(&self, object: ObjectId) -> Result<Option<u64>, ShelfError> {
        match self.shelf.read(self.object_path(object), OBJECT_BYTES_MAX.into()).await {
            Ok(Some(bytes)) if ObjectId::of(&bytes) == object => {
                Ok(Some(u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
            }
            Ok(_) | Err(ShelfError::TooLong { .. }) => Ok(None),
            // What the disk says of a place that it cannot read.
            Err(ShelfError::Io { source, .. }) if source.raw_os_error() == Some(EIO) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn give_up(&self, object: ObjectId) {
        if self.index().lose(object) {
            metrics::counter!("backup_rotten_objects_total").increment(1);
            tracing::error!(
                instance = %self.instance, %object,
                "an object is damaged or gone: older backups with it cannot be restored, the next one brings it anew; look at the disk"
            );
        }
    }
}

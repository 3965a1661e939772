//! The folder that is being restored: hidden until it is whole.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use protocol::parent::backup::ObjectId;
use tempfile::TempDir;

use crate::error::RestoreError;
use crate::manifest::{SourceEntry, chunk_bytes, plain_bytes};

/// Whose files these are is nobody else's business.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// How much is written before the disk is made to work on it: often enough to keep it busy, seldom
/// enough not to wait for its every answer.
const SYNC_BYTES: u64 = 64 * 1024 * 1024;

pub(super) struct Target {
    into: PathBuf,
    /// Beside `into`, so that a rename publishes it. Removed with everything in it when dropped.
    partial: TempDir,
    files: Vec<(File, u64)>,
    /// Bytes that were written and not yet sent to the disk.
    unsynced_bytes: AtomicU64,
    folders: BTreeSet<PathBuf>,
}

impl Target {
    /// Makes every file in its size; what nobody writes to stays a hole.
    pub(super) fn create(into: &Path, entries: &[SourceEntry]) -> Result<Self, RestoreError> {
        if into.symlink_metadata().is_ok() {
            return Err(RestoreError::TargetExists(into.to_owned()));
        }
        let write_error = |e| RestoreError::Write(into.to_owned(), e);
        let partial = tempfile::Builder::new()
            .prefix(".restore-")
            .permissions(Permissions::from_mode(FOLDER_MODE))
            .tempdir_in(beside(into))
            .map_err(write_error)?;
        let mut folders = BTreeSet::from([partial.path().to_owned()]);
        let mut files = Vec::with_capacity(entries.len());
        for entry in entries {
            let path = partial.path().join(entry.name.as_path());
            let inner = path.ancestors().skip(1).take_while(|folder| *folder != partial.path());
            folders.extend(inner.map(Path::to_owned));
            let file = make_file(&path, entry.bytes).map_err(|e| RestoreError::Write(path, e))?;
            files.push((file, entry.bytes));
        }
        Ok(Self { into: into.to_owned(), partial, files, unsynced_bytes: AtomicU64::new(0), folders })
    }

    /// Writes the content of `object` to its place, whose size it must have.
    pub(super) fn write(
        &self,
        place: (usize, u64),
        plain: &[u8],
        object: ObjectId,
    ) -> Result<(), RestoreError> {
        let (source, chunk) = place;
        let (file, bytes) = self.files.get(source).ok_or(RestoreError::Worker)?;
        if plain.len() != plain_bytes(*bytes, chunk) {
            return Err(RestoreError::ObjectName(object));
        }
        file.write_all_at(plain, chunk.saturating_mul(chunk_bytes())).map_err(|e| self.write_error(e))?;
        self.unsynced_bytes.fetch_add(chunk_bytes(), Ordering::Relaxed);
        Ok(())
    }

    /// Whether it is time to have the disk work on what was written.
    pub(super) fn is_sync_due(&self) -> bool {
        let due = |bytes| (bytes >= SYNC_BYTES).then_some(0);
        self.unsynced_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok()
    }

    /// Sends what was written to the disk, so that not everything is left to the end.
    pub(super) fn sync(&self) -> Result<(), RestoreError> {
        self.files.iter().try_for_each(|(file, _)| file.sync_data()).map_err(|e| self.write_error(e))
    }

    fn write_error(&self, error: io::Error) -> RestoreError {
        RestoreError::Write(self.into.clone(), error)
    }

    /// Makes everything durable and gives it its name, unless something has it by now.
    pub(super) fn publish(self) -> Result<(), RestoreError> {
        let Self { into, partial, files, folders, .. } = self;
        let sync = || {
            files.iter().try_for_each(|(file, _)| file.sync_all())?;
            folders.iter().rev().try_for_each(|folder| File::open(folder)?.sync_all())
        };
        sync().map_err(|e: io::Error| RestoreError::Write(into.clone(), e))?;
        match renameat2(AT_FDCWD, partial.path(), AT_FDCWD, &into, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EEXIST) => return Err(RestoreError::TargetExists(into)),
            Err(e) => return Err(RestoreError::Write(into, e.into())),
        }
        // Its name is gone; there is nothing left to remove.
        drop(partial.keep());
        File::open(beside(&into))
            .and_then(|folder| folder.sync_all())
            .map_err(|e| RestoreError::Write(into, e))
    }
}

fn beside(into: &Path) -> &Path {
    into.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn make_file(path: &Path, bytes: u64) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.set_len(bytes)?;
    Ok(file)
}

//! A folder. What has a name is whole: files are written aside, synced, and then renamed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use nix::sys::statvfs::statvfs;
use tempfile::{NamedTempFile, PersistError};

use super::shelf::{Entry, ShelfError};

/// Where files are written before they have their name. Emptied at the start.
const ASIDE: &str = "incoming";
/// Held while the folder is used.
const LOCK: &str = "lock";

/// Gives a file its name.
type Persist = fn(NamedTempFile, &Path) -> Result<File, PersistError>;

/// A folder, held by this process alone.
#[derive(Debug)]
pub(crate) struct Dir {
    root: Arc<Path>,
    min_free_bytes: u64,
    _lock: File,
}

impl Dir {
    pub(crate) async fn open(root: &Path, min_free_bytes: u64) -> Result<Self, ShelfError> {
        let root: Arc<Path> = Arc::from(root);
        let lock = blocking(&root, LOCK.to_owned(), |path| {
            let lock = File::create(path)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
                Err(std::fs::TryLockError::Error(e)) => return Err(e),
            }
            let aside = path.with_file_name(ASIDE);
            match std::fs::remove_dir_all(&aside) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                Ok(()) | Err(_) => std::fs::create_dir(&aside)?,
            }
            Ok(Some(lock))
        });
        let lock = lock.await?.ok_or(ShelfError::Taken)?;
        Ok(Self { root, min_free_bytes, _lock: lock })
    }

    pub(crate) async fn write(&self, path: String, bytes: Vec<u8>) -> Result<(), ShelfError> {
        self.write_as(path, bytes, |file, path| file.persist(path)).await
    }

    pub(crate) async fn write_new(&self, path: String, bytes: Vec<u8>) -> Result<(), ShelfError> {
        self.write_as(path, bytes, |file, path| file.persist_noclobber(path)).await
    }

    async fn write_as(&self, path: String, bytes: Vec<u8>, persist: Persist) -> Result<(), ShelfError> {
        let aside = self.root.join(ASIDE);
        blocking(&self.root, path, move |path| {
            let mut file = NamedTempFile::new_in(aside)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            let Err(failed) = persist(file, path) else { return Ok(()) };
            // The first of its folder, most likely.
            make_folders(path)?;
            persist(failed.file, path).map_err(|e| e.error)?;
            Ok(())
        })
        .await
    }

    pub(crate) async fn settle(&self, folder: String) -> Result<(), ShelfError> {
        blocking(&self.root, folder, |path| File::open(path)?.sync_all()).await
    }

    pub(crate) async fn read(&self, path: String, bytes_max: u64) -> Result<Option<Vec<u8>>, ShelfError> {
        let read = blocking(&self.root, path.clone(), move |path| {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(e),
            };
            let bytes = file.metadata()?.len();
            if bytes > bytes_max {
                return Ok(Some(None));
            }
            let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
            file.take(bytes_max).read_to_end(&mut content)?;
            Ok(Some(Some(content)))
        });
        read.await?.map(|content| content.ok_or(ShelfError::TooLong { path })).transpose()
    }

    pub(crate) async fn remove(&self, path: String) -> Result<(), ShelfError> {
        blocking(&self.root, path, |path| match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            Ok(()) | Err(_) => Ok(()),
        })
        .await
    }

    pub(crate) async fn remove_empty(&self, folder: String) -> Result<(), ShelfError> {
        blocking(&self.root, folder, |path| {
            // Those within first. One that is not there, or not empty, is no failure.
            for inner in entries_of(path)?.into_iter().chain([path.to_owned()]) {
                match std::fs::remove_dir(inner) {
                    Ok(()) => {}
                    Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                    Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn list(&self, folder: String) -> Result<Vec<Entry>, ShelfError> {
        let entries = entries(&self.root, folder, |metadata| metadata.is_file()).await?;
        Ok(entries)
    }

    pub(crate) async fn folders(&self) -> Result<Vec<String>, ShelfError> {
        let folders = entries(&self.root, String::new(), |metadata| metadata.is_dir()).await?;
        Ok(folders.into_iter().map(|entry| entry.name).filter(|name| name != ASIDE).collect())
    }

    pub(crate) fn room_bytes(&self) -> Result<u64, ShelfError> {
        let space = statvfs(&*self.root).map_err(|e| io_error(self.root.display().to_string(), e.into()))?;
        let free = space.blocks_available().saturating_mul(space.fragment_size());
        Ok(free.saturating_sub(self.min_free_bytes))
    }
}

fn entries_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(listing) => listing.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

fn io_error(path: String, source: io::Error) -> ShelfError {
    ShelfError::Io { path, source }
}

/// Makes the folders above `path`, each of them durable in the one above it.
fn make_folders(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().skip(1).take_while(|folder| !folder.is_dir()).collect();
    for folder in missing.into_iter().rev() {
        match std::fs::create_dir(folder) {
            // Another object came first.
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            Ok(()) | Err(_) => {}
        }
        if let Some(above) = folder.parent() {
            File::open(above)?.sync_all()?;
        }
    }
    Ok(())
}

async fn entries(
    root: &Arc<Path>,
    folder: String,
    wanted: fn(&std::fs::Metadata) -> bool,
) -> Result<Vec<Entry>, ShelfError> {
    blocking(root, folder, move |path| {
        let listing = match std::fs::read_dir(path) {
            Ok(listing) => listing,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut entries = Vec::new();
        for entry in listing {
            let entry = entry?;
            let metadata = entry.metadata()?;
            // Nothing of ours has a name that is no text.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if wanted(&metadata) {
                let written = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
                entries.push(Entry { name, written_at: written.as_secs() });
            }
        }
        Ok(entries)
    })
    .await
}

/// Runs what waits for the disk on a thread of its own.
async fn blocking<T: Send + 'static>(
    root: &Arc<Path>,
    path: String,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, ShelfError> {
    let at: PathBuf = root.join(&path);
    match tokio::task::spawn_blocking(move || work(&at)).await {
        Ok(done) => done.map_err(|e| io_error(path, e)),
        Err(e) => Err(io_error(path, io::Error::other(e))),
    }
}

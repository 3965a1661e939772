//! Copies of volumes from before an upgrade, kept beside the volume until the upgrade is over.
//!
//! A copy is named by its upgrade, so that what a crash or a cancelled copy left behind is never taken for
//! another's; and it has that name only once all of it is on disk.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backup::copy_frozen;
use nix::sys::statvfs::statvfs;
use nostr::key::PublicKey;

use super::{NEW, VolumeError, Volumes, absent, at};

/// How a whole copy is called, and one that is being made.
const SAVED: &str = "saved";
const SAVING: &str = "saving";
/// Of what `st_blocks` counts, whatever the file system's own blocks are (`stat(2)`).
const BLOCK_BYTES: u64 = 512;

impl Volumes {
    fn copy_of(&self, pubkey: &PublicKey, upgrade: i64, extension: &str) -> PathBuf {
        self.dir.join(name_of(pubkey, upgrade, extension))
    }

    /// The whole copy of a container's volume from before an upgrade, if there is one.
    pub(in crate::runtime) fn saved(&self, pubkey: &PublicKey, upgrade: i64) -> Option<PathBuf> {
        let saved = self.copy_of(pubkey, upgrade, SAVED);
        saved.is_file().then_some(saved)
    }

    /// Checks that the disk takes a second copy of what a container's volume holds.
    pub(in crate::runtime) fn check_room(&self, pubkey: &PublicKey) -> Result<(), VolumeError> {
        let stat = at(&self.dir, statvfs(&self.dir).map_err(io::Error::from))?;
        self.check_room_of(pubkey, stat.fragment_size().saturating_mul(stat.blocks_available()))
    }

    fn check_room_of(&self, pubkey: &PublicKey, free_bytes: u64) -> Result<(), VolumeError> {
        let file = self.file(pubkey);
        let taken_bytes = match std::fs::metadata(&file) {
            Ok(found) => found.blocks().saturating_mul(BLOCK_BYTES),
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(source) => return Err(VolumeError::Io { path: file, source }),
        };
        if taken_bytes <= free_bytes {
            return Ok(());
        }
        Err(VolumeError::Io { path: file, source: io::ErrorKind::StorageFull.into() })
    }

    /// Copies a stopped container's volume for an upgrade; false if it has none. A copy made before is made
    /// anew. Once this is dropped no copy appears any more.
    pub(in crate::runtime) async fn save(
        &self,
        pubkey: &PublicKey,
        upgrade: i64,
    ) -> Result<bool, VolumeError> {
        self.detach(pubkey).await?;
        let file = self.file(pubkey);
        if !file.exists() {
            return Ok(false);
        }
        let (saving, saved) = (self.copy_of(pubkey, upgrade, SAVING), self.copy_of(pubkey, upgrade, SAVED));
        let wanted = Wanted::default();
        let still_wanted = Arc::clone(&wanted.0);
        let copied = tokio::task::spawn_blocking(move || {
            let copied = copy_anew(&file, &saving);
            // Held until it has its name: whoever gives it up either finds it, or it never comes.
            let abandoned = lock(&still_wanted);
            if *abandoned {
                return at(&saving, absent(std::fs::remove_file(&saving)));
            }
            at(&saving, copied)?;
            at(&saved, std::fs::rename(&saving, &saved).and_then(|()| sync_folder(&saved)))
        });
        copied.await.unwrap_or_else(|e| Err(self.broken(io::Error::other(e))))?;
        Ok(true)
    }

    /// Puts the copy of a stopped container's volume back in its place; what was written since is gone. If
    /// there was no volume, there is none afterwards. May be done twice.
    pub(in crate::runtime) async fn restore(
        &self,
        pubkey: &PublicKey,
        upgrade: i64,
        had_volume: bool,
    ) -> Result<(), VolumeError> {
        self.detach(pubkey).await?;
        let file = self.file(pubkey);
        if !had_volume {
            return at(&file, absent(std::fs::remove_file(&file)));
        }
        let saved = self.copy_of(pubkey, upgrade, SAVED);
        // Renaming is the whole of it: with the copy gone, it is in its place.
        let restored = absent(std::fs::rename(&saved, &file)).and_then(|()| sync_folder(&file));
        at(&file, restored)
    }

    /// Removes the copies of a container's volume.
    pub(in crate::runtime) fn forget_saved(&self, pubkey: &PublicKey) -> Result<(), VolumeError> {
        let prefix = format!("{}.", pubkey.to_hex());
        for entry in at(&self.dir, std::fs::read_dir(&self.dir))? {
            let path = at(&self.dir, entry)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_copy = [SAVED, SAVING].iter().any(|extension| name.ends_with(&format!(".{extension}")));
            if name.starts_with(&prefix) && is_copy {
                at(&path, absent(std::fs::remove_file(&path)))?;
            }
        }
        Ok(())
    }

    /// Removes copies that belong to none of the upgrades under way, whole or not, and volumes that were
    /// never finished. Nobody may copy or make any meanwhile.
    pub(in crate::runtime) fn forget_strays(
        &self,
        under_way: &[(PublicKey, i64)],
    ) -> Result<(), VolumeError> {
        let kept: BTreeSet<String> = under_way.iter().map(|(pubkey, id)| saved_name(pubkey, *id)).collect();
        for entry in at(&self.dir, std::fs::read_dir(&self.dir))? {
            let path = at(&self.dir, entry)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if [SAVED, SAVING, NEW].contains(&extension) && !kept.contains(name) {
                tracing::info!(name, "what an older life of the server left of a copy is removed");
                at(&path, absent(std::fs::remove_file(&path)))?;
            }
        }
        Ok(())
    }

    fn broken(&self, source: io::Error) -> VolumeError {
        VolumeError::Io { path: self.dir.clone(), source }
    }
}

/// Whoever waits for a copy. The thread that makes it cannot be stopped; it learns that nobody waits.
#[derive(Debug, Default)]
struct Wanted(Arc<Mutex<bool>>);

impl Drop for Wanted {
    fn drop(&mut self) {
        *lock(&self.0) = true;
    }
}

fn lock(abandoned: &Mutex<bool>) -> MutexGuard<'_, bool> {
    abandoned.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Copies all of it to a new file, and has it on disk.
fn copy_anew(file: &Path, saving: &Path) -> io::Result<()> {
    absent(std::fs::remove_file(saving))?;
    copy_frozen(file, saving)?;
    std::fs::File::open(saving)?.sync_all()
}

/// Name of the file that holds a container's volume as it was before an upgrade.
pub(crate) fn saved_name(pubkey: &PublicKey, upgrade: i64) -> String {
    name_of(pubkey, upgrade, SAVED)
}

fn name_of(pubkey: &PublicKey, upgrade: i64, extension: &str) -> String {
    format!("{}.{upgrade}.{extension}", pubkey.to_hex())
}

/// Makes a rename last.
fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().ok_or(io::ErrorKind::NotFound)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::super::file_name;
    use super::*;

    fn volumes() -> (tempfile::TempDir, Volumes, PublicKey) {
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(&dir.path().join("volumes"), 0).unwrap();
        (dir, volumes, Keys::generate().public_key())
    }

    fn names(volumes: &Volumes) -> Vec<String> {
        let entries = std::fs::read_dir(&volumes.dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn copy_comes_back_byte_for_byte_and_may_come_back_twice() {
        let (_dir, volumes, pubkey) = volumes();
        let before: Vec<u8> = (0..200_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        std::fs::write(volumes.file(&pubkey), &before).unwrap();
        assert!(volumes.save(&pubkey, 7).await.unwrap());
        // Half a copy of a crash before does not matter, and a whole one is made anew.
        std::fs::write(volumes.copy_of(&pubkey, 7, SAVING), b"half").unwrap();
        assert!(volumes.save(&pubkey, 7).await.unwrap());
        std::fs::write(volumes.file(&pubkey), b"spoilt by the new image").unwrap();
        for _ in 0..2 {
            volumes.restore(&pubkey, 7, true).await.unwrap();
            assert_eq!(std::fs::read(volumes.file(&pubkey)).unwrap(), before);
        }
        volumes.forget_saved(&pubkey).unwrap();
        assert_eq!(names(&volumes), [format!("{}.img", pubkey.to_hex())]);
    }

    #[tokio::test]
    async fn copy_of_another_upgrade_or_container_is_not_taken() {
        let (_dir, volumes, pubkey) = volumes();
        let other = Keys::generate().public_key();
        for key in [pubkey, other] {
            std::fs::write(volumes.file(&key), key.to_hex()).unwrap();
            assert!(volumes.save(&key, 7).await.unwrap());
        }
        std::fs::write(volumes.file(&pubkey), b"newer").unwrap();
        volumes.restore(&pubkey, 8, true).await.unwrap();
        assert_eq!(std::fs::read(volumes.file(&pubkey)).unwrap(), b"newer");
        volumes.forget_saved(&pubkey).unwrap();
        assert!(volumes.copy_of(&other, 7, SAVED).exists());
    }

    /// The thread that copies waits at the volume, which is a pipe here, until the container is long gone.
    #[test]
    fn copy_that_was_given_up_does_not_outlive_its_container() {
        let (_dir, volumes, pubkey) = volumes();
        let file = volumes.file(&pubkey);
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut saving = Box::pin(volumes.save(&pubkey, 7));
            assert!(futures_util::poll!(&mut saving).is_pending());
            drop(saving);
            volumes.forget_saved(&pubkey).unwrap();
        });
        drop(std::fs::File::options().write(true).open(&file).unwrap());
        // Waits for its threads.
        drop(runtime);
        assert_eq!(names(&volumes), [format!("{}.img", pubkey.to_hex())]);
    }

    #[test]
    fn copies_of_upgrades_that_are_not_under_way_go_at_the_start() {
        let (_dir, volumes, pubkey) = volumes();
        let other = Keys::generate().public_key();
        let under_way = saved_name(&pubkey, 7);
        let strays = [
            saved_name(&pubkey, 6),
            saved_name(&other, 7),
            name_of(&pubkey, 7, SAVING),
            format!("{}.{NEW}", other.to_hex()),
        ];
        let kept = [under_way, file_name(&pubkey), file_name(&other), "notes".to_owned()];
        for name in strays.iter().chain(&kept) {
            std::fs::write(volumes.dir.join(name), b"x").unwrap();
        }
        std::fs::create_dir(volumes.dir.join(pubkey.to_hex())).unwrap();
        volumes.forget_strays(&[(pubkey, 7)]).unwrap();
        let expected: BTreeSet<_> = kept.into_iter().chain([pubkey.to_hex()]).collect();
        assert_eq!(names(&volumes).into_iter().collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn room_for_a_copy_is_looked_for_before_it_is_made() {
        let (_dir, volumes, pubkey) = volumes();
        let is_full = |free_bytes| match volumes.check_room_of(&pubkey, free_bytes) {
            Ok(()) => false,
            Err(VolumeError::Io { source, .. }) => {
                assert_eq!(source.kind(), io::ErrorKind::StorageFull);
                true
            }
            Err(other) => panic!("{other}"),
        };
        assert!(!is_full(0), "there is nothing to copy");
        // Only what is written takes room: holes stay holes.
        let file = std::fs::File::create(volumes.file(&pubkey)).unwrap();
        file.set_len(10_000_000).unwrap();
        io::Write::write_all(&mut &file, &[1; 100_000]).unwrap();
        file.sync_all().unwrap();
        assert!(is_full(90_000) && !is_full(1_000_000));
        volumes.check_room(&pubkey).unwrap();
    }

    #[tokio::test]
    async fn volume_that_only_the_new_image_had_goes_with_it() {
        let (_dir, volumes, pubkey) = volumes();
        assert!(!volumes.save(&pubkey, 7).await.unwrap());
        std::fs::write(volumes.file(&pubkey), b"made on trial").unwrap();
        for _ in 0..2 {
            volumes.restore(&pubkey, 7, false).await.unwrap();
            assert_eq!(names(&volumes), [""; 0]);
        }
    }
}

//! Copies of volumes from before an upgrade, kept beside the volume until the upgrade is over.
//!
//! A copy is named by its upgrade, so that what a crash or a cancelled copy left behind is never taken for
//! another's; and it has that name only once all of it is on disk.

use std::io;
use std::path::{Path, PathBuf};

use backup::copy_frozen;
use nostr::key::PublicKey;

use super::{VolumeError, Volumes, absent, at};

/// How a whole copy is called, and one that is being made.
const SAVED: &str = "saved";
const SAVING: &str = "saving";

impl Volumes {
    fn copy_of(&self, pubkey: &PublicKey, upgrade: i64, extension: &str) -> PathBuf {
        self.dir.join(name_of(pubkey, upgrade, extension))
    }

    /// The whole copy of a container's volume from before an upgrade, if there is one.
    pub(in crate::runtime) fn saved(&self, pubkey: &PublicKey, upgrade: i64) -> Option<PathBuf> {
        let saved = self.copy_of(pubkey, upgrade, SAVED);
        saved.is_file().then_some(saved)
    }

    /// Copies a stopped container's volume for an upgrade; false if it has none. A copy made before is made
    /// anew.
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
        let copied = tokio::task::spawn_blocking(move || {
            at(&saving, absent(std::fs::remove_file(&saving)))?;
            at(&saving, copy_frozen(&file, &saving))?;
            at(&saving, std::fs::File::open(&saving).and_then(|copy| copy.sync_all()))?;
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

    fn broken(&self, source: io::Error) -> VolumeError {
        VolumeError::Io { path: self.dir.clone(), source }
    }
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
